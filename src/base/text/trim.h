// Trims spaces from text.
#pragma once

#include <string_view>

namespace throng {

// The part of `text` from the first to the last character that is not one of `spaces`; empty if there is
// none.
constexpr std::string_view Trimmed(std::string_view text, std::string_view spaces = " \t\r\n") {
  const size_t begin = text.find_first_not_of(spaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(spaces) - begin + 1);
}

}  // namespace throng
