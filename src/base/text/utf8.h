// Reads UTF-8 character by character, and reports bytes that are not UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace throng {

struct Utf8Step {
  enum Kind { kValid, kInvalid, kIncomplete } kind;
  size_t length;   // bytes it covers, at least 1; for kInvalid the longest beginning of a character, else one
                   // byte
  char32_t value;  // set for kValid
};

// The first character of a text that is not empty. kIncomplete: the text ends inside a character.
Utf8Step NextUtf8(std::string_view text);

// Length of the longest valid prefix of the text.
size_t ValidUtf8Prefix(std::string_view text);

// The longest beginning of at most `max_bytes` bytes that does not end inside a character.
std::string_view CutUtf8(std::string_view text, size_t max_bytes);

void AppendUtf8(char32_t value, std::string& text);

// Each invalid sequence becomes one U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view text);

}  // namespace throng
