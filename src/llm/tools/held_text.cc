#include "llm/tools/held_text.h"

#include <algorithm>

#include "base/text/trim.h"

namespace throng::llm {
namespace {

bool IsDigit(char byte) { return byte >= '0' && byte <= '9'; }

}  // namespace

std::string HeldText::Take(size_t bytes) {
  std::string text = text_.substr(0, bytes);
  text_.erase(0, bytes);
  return text;
}

size_t HeldText::LeadingSpace(size_t from) const {
  return std::min(text_.find_first_not_of(kSpaces, from), text_.size()) - from;
}

HeldText::Found HeldText::Match(std::string_view literal, size_t from, size_t& length) const {
  size_t at = from;
  for (const char wanted : literal) {
    if (IsSpace(wanted)) continue;
    at += LeadingSpace(at);
    if (at == text_.size()) return Found::kMore;
    if (wanted == '#') {
      if (!IsDigit(text_[at])) return Found::kNo;
      while (at < text_.size() && IsDigit(text_[at])) ++at;
    } else if (text_[at++] != wanted) {
      return Found::kNo;
    }
  }
  length = at - from;
  return Found::kYes;
}

size_t HeldText::Find(std::string_view literal, size_t from, size_t& length) const {
  const std::string_view solid = Trimmed(literal);
  for (size_t at = from; (at = text_.find(solid[0], at)) != std::string::npos; ++at) {
    if (Match(solid, at, length) == Found::kYes) return at;
  }
  return std::string::npos;
}

bool HeldText::FindFirst(const std::vector<std::string_view>& literals, bool is_final, size_t& at,
                         std::string_view& literal) const {
  const std::string_view text = text_;
  at = text.size();
  bool found = false;
  for (const std::string_view one : literals) {
    if (one.empty()) continue;
    const size_t place = text.find(one);
    if (place == std::string_view::npos || (found && place >= at)) continue;
    found = true;
    at = place;
    literal = one;
  }
  if (found || is_final) return found;
  for (const std::string_view one : literals) {
    for (size_t length = std::min(one.size(), text.size()); length > 0; --length) {
      if (!text.ends_with(one.substr(0, length))) continue;
      at = std::min(at, text.size() - length);
      break;
    }
  }
  return false;
}

}  // namespace throng::llm
