// Characters of UTF-8 text as Python knows them: code points, white space, letters and case.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace throng::jinja {

struct CodePoint {
  char32_t value;  // 0xDC80 and up for a byte that is not UTF-8, as Python's surrogateescape
  size_t length;   // in bytes, at least 1
};

// The character at `pos`, which must be inside the text.
CodePoint CodePointAt(std::string_view text, size_t pos);
void AppendCodePoint(char32_t value, std::string& text);

size_t CountCodePoints(std::string_view text);
// The byte at which the character of that index begins; the size of the text if it has fewer.
size_t ByteOfCodePoint(std::string_view text, size_t index);

bool IsSpace(char32_t c);  // str.isspace
bool IsAlpha(char32_t c);
bool IsDigit(char32_t c);
bool IsUpper(char32_t c);
bool IsLower(char32_t c);
bool IsPrintable(char32_t c);  // repr writes it as it is

// Of a character alone: a final sigma is none.
std::u32string ToUpper(char32_t c);
std::u32string ToTitle(char32_t c);  // as a word begins
std::u32string ToLower(char32_t c);

// Bytes of white space at the begin and at the end of a text.
size_t LeadingSpace(std::string_view text);
size_t TrailingSpace(std::string_view text);

}  // namespace throng::jinja
