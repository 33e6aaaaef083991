#include "model/tokenizer/tokenizer_normalize.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "base/check.h"
#include "model/tokenizer/tokenizer_encoder.h"
#include "model/tokenizer/tokenizer_utf8.h"

namespace throng::model {
namespace {

bool IsAscii(char c) { return static_cast<uint8_t>(c) < 0x80; }

// Can composing change the character, or what stands before it? False for most, so that text is seldom
// copied.
bool MayCompose(char32_t c) {
  if (c < 0x300) return false;
  if (c >= 0x1100 && c <= 0x11FF) return true;  // Hangul letters, which compose by arithmetic
  const utf8proc_property_t& property = *utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
  const bool decomposes = property.decomp_seqindex != UINT16_MAX && property.decomp_type == 0;
  return decomposes || property.combining_class != 0 || property.comb_index != UINT16_MAX;
}

// Where the first such character at or after pos begins; the text's end if there is none.
size_t FindMayCompose(std::string_view text, size_t pos) {
  constexpr uint64_t kHighBits = 0x8080808080808080;
  while (pos < text.size()) {
    uint64_t eight = kHighBits;
    if (pos + sizeof eight <= text.size()) std::memcpy(&eight, text.data() + pos, sizeof eight);
    if ((eight & kHighBits) == 0) {
      pos += sizeof eight;
      continue;
    }
    const Utf8Step step = NextUtf8(text.substr(pos));
    if (step.kind == Utf8Step::kValid && MayCompose(step.value)) return pos;
    pos += step.length;
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
  for (size_t at = first; at < text.size(); at = FindMayCompose(text, done)) {
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
    const size_t first = FindMayCompose(text, 0);
    if (first < text.size()) text = buffer = Compose(text, first);
  }
  if (spaces_as_symbols && text.find(kSpaceSymbol) != std::string_view::npos)
    text = buffer = SpacesOfSymbols(text);
  if (squeezes_spaces) text = buffer = SqueezeSpaces(text);
  return text;
}

}  // namespace throng::model
