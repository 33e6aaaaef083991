#include "jinja/unicode.h"

#include <locale.h>
#include <wctype.h>

#include <algorithm>
#include <array>

#include "base/text/utf8.h"

namespace throng::jinja {
namespace {

// The C library's tables for all of Unicode, whatever the user's locale is.
locale_t Tables() {
  static const locale_t locale = [] {
    const locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    return utf8 != nullptr ? utf8 : newlocale(LC_CTYPE_MASK, "C", nullptr);  // ASCII only
  }();
  return locale;
}

// Of Unicode's categories Cf and Co, first and last.
constexpr std::array<char32_t, 2> kUnprinted[] = {
    {0xAD, 0xAD},       {0x600, 0x605},     {0x61C, 0x61C},     {0x6DD, 0x6DD},      {0x70F, 0x70F},
    {0x890, 0x891},     {0x8E2, 0x8E2},     {0x180E, 0x180E},   {0x200B, 0x200F},    {0x202A, 0x202E},
    {0x2060, 0x2064},   {0x2066, 0x206F},   {0xE000, 0xF8FF},   {0xFEFF, 0xFEFF},    {0xFFF9, 0xFFFB},
    {0x110BD, 0x110BD}, {0x110CD, 0x110CD}, {0x13430, 0x13438}, {0x1BCA0, 0x1BCA3},  {0x1D173, 0x1D17A},
    {0xE0001, 0xE0001}, {0xE0020, 0xE007F}, {0xF0000, 0xFFFFD}, {0x100000, 0x10FFFD}};

wint_t Wide(char32_t c) { return static_cast<wint_t>(c); }

}  // namespace

CodePoint CodePointAt(std::string_view text, size_t pos) {
  const Utf8Step step = NextUtf8(text.substr(pos));
  if (step.kind == Utf8Step::kValid) return {step.value, step.length};
  return {0xDC00 + char32_t{static_cast<unsigned char>(text[pos])}, 1};
}

void AppendCodePoint(char32_t c, std::string& text) {
  if (c >= 0xDC80 && c <= 0xDCFF) {
    text.push_back(static_cast<char>(c - 0xDC00));
  } else {
    AppendUtf8(c, text);
  }
}

size_t CountCodePoints(std::string_view text) {
  size_t count = 0;
  for (size_t pos = 0; pos < text.size(); pos += CodePointAt(text, pos).length) ++count;
  return count;
}

size_t ByteOfCodePoint(std::string_view text, size_t index) {
  size_t pos = 0;
  for (; index > 0 && pos < text.size(); --index) pos += CodePointAt(text, pos).length;
  return pos;
}

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

// The C library counts digits of other scripts as letters, Python does not.
bool IsAlpha(char32_t c) {
  return iswalpha_l(Wide(c), Tables()) != 0 && !IsDigit(c) && !(c >= 0x660 && c <= 0x669);
}
bool IsDigit(char32_t c) { return c >= '0' && c <= '9'; }
bool IsUpper(char32_t c) { return iswupper_l(Wide(c), Tables()) != 0; }
bool IsLower(char32_t c) { return iswlower_l(Wide(c), Tables()) != 0; }
// The C library prints characters that say how others are shown, and private ones; Python does not.
bool IsPrintable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  return iswprint_l(Wide(c), Tables()) != 0 && !IsSpace(c) &&
         std::ranges::none_of(kUnprinted, [c](const auto& range) { return c >= range[0] && c <= range[1]; });
}

char32_t ToUpper(char32_t c) { return static_cast<char32_t>(towupper_l(Wide(c), Tables())); }
char32_t ToLower(char32_t c) { return static_cast<char32_t>(towlower_l(Wide(c), Tables())); }

size_t LeadingSpace(std::string_view text) {
  size_t pos = 0;
  while (pos < text.size()) {
    const CodePoint c = CodePointAt(text, pos);
    if (!IsSpace(c.value)) break;
    pos += c.length;
  }
  return pos;
}

size_t TrailingSpace(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t begin = end - 1;
    while (begin > 0 && end - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    const CodePoint c = CodePointAt(text, begin);
    if (begin + c.length != end || !IsSpace(c.value)) break;
    end = begin;
  }
  return text.size() - end;
}

}  // namespace throng::jinja
