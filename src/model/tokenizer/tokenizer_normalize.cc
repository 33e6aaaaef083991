#include "model/tokenizer/tokenizer_normalize.h"

#include <utf8proc.h>

#include <array>
#include <bitset>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "base/check.h"
#include "base/text/utf8.h"
#include "model/tokenizer/tokenizer_encoder.h"

namespace throng::model {
namespace {

bool IsAscii(char c) { return static_cast<uint8_t>(c) < 0x80; }

// The characters that are not as they are in normal form C, or that may join what stands before them. Others
// stay, whatever is around them.
using Changing = std::bitset<0x30000>;  // beyond are none

Changing FindChanging() {
  Changing changing;
  // Vowels and final consonants of Hangul, which compose by arithmetic.
  for (char32_t c = 0x1161; c <= 0x11C2; ++c) changing.set(c);
  for (utf8proc_int32_t c = 0x300; c < static_cast<utf8proc_int32_t>(changing.size()); ++c) {
    const utf8proc_property_t& property = *utf8proc_get_property(c);
    if (property.combining_class != 0) changing.set(static_cast<size_t>(c));
    if (property.decomp_seqindex == UINT16_MAX || property.decomp_type != 0) continue;
    std::array<utf8proc_int32_t, 16> parts;
    int boundary = 0;
    const utf8proc_ssize_t length =
        utf8proc_decompose_char(c, parts.data(), parts.size(), UTF8PROC_DECOMPOSE, &boundary);
    THRONG_CHECK(length > 0 && static_cast<size_t>(length) <= parts.size());
    for (utf8proc_ssize_t i = 1; i < length; ++i)
      changing.set(static_cast<size_t>(parts[static_cast<size_t>(i)]));
    const auto composed = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (utf8proc_normalize_utf32(parts.data(), length, composed) != 1 || parts[0] != c) {
      changing.set(static_cast<size_t>(c));
    }
  }
  return changing;
}

// The character that begins there, if the bytes are UTF-8; any number otherwise.
char32_t GuessUtf8(std::string_view text, size_t pos) {
  const auto bits = [&](size_t i, int mask) {
    return pos + i < text.size() ? static_cast<char32_t>(static_cast<uint8_t>(text[pos + i]) & mask) : 0;
  };
  const uint8_t lead = static_cast<uint8_t>(text[pos]);
  if (lead < 0xE0) return bits(0, 0x1F) << 6 | bits(1, 0x3F);
  if (lead < 0xF0) return bits(0, 0x0F) << 12 | bits(1, 0x3F) << 6 | bits(2, 0x3F);
  return bits(0, 0x07) << 18 | bits(1, 0x3F) << 12 | bits(2, 0x3F) << 6 | bits(3, 0x3F);
}

// Where the first such character at or after pos begins; the text's end if there is none. Most text has none,
// so that it is not copied; the bytes of each character are checked only where it would be one.
size_t FindChange(std::string_view text, size_t pos) {
  static const Changing changing = FindChanging();
  constexpr uint64_t kHighBits = 0x8080808080808080;
  while (pos < text.size()) {
    const auto byte = static_cast<uint8_t>(text[pos]);
    uint64_t eight = kHighBits;
    if (byte < 0x80 && pos + sizeof eight <= text.size())
      std::memcpy(&eight, text.data() + pos, sizeof eight);
    if ((eight & kHighBits) == 0) {
      pos += sizeof eight;
      continue;
    }
    // Below 0xCC are characters up to U+02FF, which do not change, and the further bytes of others.
    if (byte >= 0xCC) {
      const char32_t c = GuessUtf8(text, pos);
      const bool may_change = c < changing.size() && changing[c];
      if (may_change && NextUtf8(text.substr(pos)).kind == Utf8Step::kValid) return pos;
    }
    ++pos;
  }
  return text.size();
}

void AppendComposedValid(std::string_view text, std::string& result) {
  if (text.empty()) return;
  utf8proc_uint8_t* composed = nullptr;
  const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                   static_cast<utf8proc_ssize_t>(text.size()), &composed,
                                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(composed, &std::free);
  if (length == UTF8PROC_ERROR_NOMEM) throw std::bad_alloc();
  THRONG_CHECK(length >= 0);
  result.append(reinterpret_cast<const char*>(composed), static_cast<size_t>(length));
}

void AppendComposed(std::string_view text, std::string& result) {
  while (!text.empty()) {
    const size_t valid = ValidUtf8Prefix(text);
    AppendComposedValid(text.substr(0, valid), result);
    text.remove_prefix(valid);
    if (text.empty()) break;
    const size_t invalid = NextUtf8(text).length;
    result += text.substr(0, invalid);
    text.remove_prefix(invalid);
  }
}

// Composes from the ASCII character before a place that may change to the one after: no composition goes
// beyond, as an ASCII character never joins what is before it.
std::string Compose(std::string_view text, size_t first) {
  std::string result;
  size_t done = 0;
  for (size_t at = first; at < text.size(); at = FindChange(text, done)) {
    size_t begin = at, end = at;
    while (begin > done && !IsAscii(text[begin])) --begin;
    while (end < text.size() && !IsAscii(text[end])) ++end;
    result += text.substr(done, begin - done);
    AppendComposed(text.substr(begin, end - begin), result);
    done = end;
  }
  result += text.substr(done);
  return result;
}

std::string SqueezeSpaces(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c != ' ' || !(result.empty() || result.back() == ' ')) result += c;
  }
  if (result.ends_with(' ')) result.pop_back();
  return result;
}

}  // namespace

std::string SpacesOfSymbols(std::string_view text) {
  std::string result;
  while (true) {
    const size_t pos = text.find(kSpaceSymbol);
    result += text.substr(0, pos);
    if (pos == std::string_view::npos) return result;
    result += ' ';
    text.remove_prefix(pos + kSpaceSymbol.size());
  }
}

std::string_view Normalizer::Apply(std::string_view text, std::string& buffer) const {
  if (composes) {
    const size_t first = FindChange(text, 0);
    if (first < text.size()) text = buffer = Compose(text, first);
  }
  if (spaces_as_symbols && text.find(kSpaceSymbol) != std::string_view::npos)
    text = buffer = SpacesOfSymbols(text);
  if (squeezes_spaces) text = buffer = SqueezeSpaces(text);
  return text;
}

}  // namespace throng::model
