#include "engine/sampling/thought_limit.h"

#include <algorithm>

#include "engine/sampling/constrain.h"

namespace throng::engine {

void ThoughtWatch::Read(std::string_view text) {
  // A literal may have begun in what was read before.
  const auto finds = [&](const std::string& literal) {
    return text.find(literal, read_ - std::min(read_, literal.size())) != std::string_view::npos;
  };
  if (is_over_) return;
  if (!is_open_) is_open_ = finds(limit_.begin);
  if (is_open_) is_over_ = finds(limit_.end);
  read_ = text.size();
}

std::optional<int32_t> ThoughtWatch::Next(int num_tokens, std::string_view text, Matcher& matcher) const {
  if (!is_open_ || is_over_ || num_tokens < limit_.most_tokens) return std::nullopt;
  // As many of the end's tokens as the text has already.
  std::string spelled;
  size_t done = 0;
  for (size_t i = 0; i + 1 < limit_.end_tokens.size(); ++i) {
    spelled += limit_.spelling->Bytes(limit_.end_tokens[i]);
    if (text.ends_with(spelled)) done = i + 1;
  }
  const int32_t next = limit_.end_tokens[done];
  return matcher.Allows(next) ? std::optional(next) : std::nullopt;
}

}  // namespace throng::engine
