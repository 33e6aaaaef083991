#include "engine/sampling/text_stream.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace throng::engine {
namespace {

// The length of an incomplete UTF-8 character at the end of the text; 0 if the text ends with a whole one or
// with bytes that are no UTF-8.
size_t IncompleteTail(std::string_view text) {
  for (size_t length = 1; length <= std::min<size_t>(3, text.size()); ++length) {
    const auto byte = static_cast<unsigned char>(text[text.size() - length]);
    if ((byte & 0xc0) == 0x80) continue;  // a continuation: look further back for its lead
    const size_t wanted = byte > 0xf4 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length < wanted ? length : 0;
  }
  return 0;
}

}  // namespace

TextStream::TextStream(std::vector<std::string> stop) : stop_(std::move(stop)) {
  std::erase_if(stop_, [](const std::string& text) { return text.empty(); });
  for (const std::string& text : stop_) longest_stop_ = std::max(longest_stop_, text.size());
}

bool TextStream::Append(std::string_view bytes, bool may_stop) {
  THRONG_DCHECK(!stopped_);
  const size_t old_size = text_.size();
  text_.append(bytes);
  if (!may_stop) return false;
  size_t first = std::string::npos;
  for (const std::string& stop : stop_) {
    // A match that is new ends in the new bytes. Older ones are there if they did not count.
    const size_t from = old_size - std::min(old_size, stop.size() - 1);
    first = std::min(first, text_.find(stop, from));
  }
  if (first == std::string::npos) return false;
  text_.resize(first);
  stopped_ = true;
  return true;
}

size_t TextStream::FinalEnd() const {
  size_t end = text_.size() - IncompleteTail(text_);
  // The longest tail that begins some stop string stays back.
  const size_t from = text_.size() - std::min(text_.size(), longest_stop_ > 0 ? longest_stop_ - 1 : 0);
  for (size_t begin = from; begin < end; ++begin) {
    const std::string_view tail = std::string_view(text_).substr(begin);
    if (std::any_of(stop_.begin(), stop_.end(),
                    [&](const std::string& stop) { return stop.starts_with(tail); })) {
      end = begin;
    }
  }
  return end;
}

std::string_view TextStream::TakeFinal() {
  const size_t end = stopped_ ? text_.size() : FinalEnd();
  if (end <= taken_) return {};
  const size_t begin = std::exchange(taken_, end);
  return std::string_view(text_).substr(begin, end - begin);
}

std::string_view TextStream::TakeRest() {
  const size_t begin = std::exchange(taken_, text_.size());
  return std::string_view(text_).substr(begin);
}

}  // namespace throng::engine
