#define PCRE2_CODE_UNIT_WIDTH 8

#include "llm/regular/unicode_property.h"

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/text/utf8.h"

namespace throng::llm {
namespace {

using Name = std::pair<std::string_view, std::string_view>;  // long, short

// ECMA-262, table "Value aliases for General_Category".
constexpr std::array<Name, 40> kCategories = {{
    {"Cased_Letter", "LC"},
    {"Close_Punctuation", "Pe"},
    {"Connector_Punctuation", "Pc"},
    {"Control", "Cc"},
    {"Currency_Symbol", "Sc"},
    {"Dash_Punctuation", "Pd"},
    {"Decimal_Number", "Nd"},
    {"Enclosing_Mark", "Me"},
    {"Final_Punctuation", "Pf"},
    {"Format", "Cf"},
    {"Initial_Punctuation", "Pi"},
    {"Letter", "L"},
    {"Letter_Number", "Nl"},
    {"Line_Separator", "Zl"},
    {"Lowercase_Letter", "Ll"},
    {"Mark", "M"},
    {"Combining_Mark", "M"},
    {"Math_Symbol", "Sm"},
    {"Modifier_Letter", "Lm"},
    {"Modifier_Symbol", "Sk"},
    {"Nonspacing_Mark", "Mn"},
    {"Number", "N"},
    {"Open_Punctuation", "Ps"},
    {"Other", "C"},
    {"Other_Letter", "Lo"},
    {"Other_Number", "No"},
    {"Other_Punctuation", "Po"},
    {"Other_Symbol", "So"},
    {"Paragraph_Separator", "Zp"},
    {"Private_Use", "Co"},
    {"Punctuation", "P"},
    {"Separator", "Z"},
    {"Space_Separator", "Zs"},
    {"Spacing_Mark", "Mc"},
    {"Surrogate", "Cs"},
    {"Symbol", "S"},
    {"Titlecase_Letter", "Lt"},
    {"Unassigned", "Cn"},
    {"Uppercase_Letter", "Lu"},
    {"cntrl", "Cc"},
}};

// ECMA-262, table "Binary Unicode property aliases", as far as PCRE2 knows them.
constexpr std::array<std::string_view, 96> kBinary = {
    "ASCII",
    "ASCII_Hex_Digit",
    "AHex",
    "Alphabetic",
    "Alpha",
    "Any",
    "Bidi_Control",
    "Bidi_C",
    "Bidi_Mirrored",
    "Bidi_M",
    "Case_Ignorable",
    "CI",
    "Cased",
    "Changes_When_Casefolded",
    "CWCF",
    "Changes_When_Casemapped",
    "CWCM",
    "Changes_When_Lowercased",
    "CWL",
    "Changes_When_Titlecased",
    "CWT",
    "Changes_When_Uppercased",
    "CWU",
    "Dash",
    "Default_Ignorable_Code_Point",
    "DI",
    "Deprecated",
    "Dep",
    "Diacritic",
    "Dia",
    "Emoji",
    "Emoji_Component",
    "EComp",
    "Emoji_Modifier",
    "EMod",
    "Emoji_Modifier_Base",
    "EBase",
    "Emoji_Presentation",
    "EPres",
    "Extended_Pictographic",
    "ExtPict",
    "Extender",
    "Ext",
    "Grapheme_Base",
    "Gr_Base",
    "Grapheme_Extend",
    "Gr_Ext",
    "Hex_Digit",
    "Hex",
    "IDS_Binary_Operator",
    "IDSB",
    "IDS_Trinary_Operator",
    "IDST",
    "ID_Continue",
    "IDC",
    "ID_Start",
    "IDS",
    "Ideographic",
    "Ideo",
    "Join_Control",
    "Join_C",
    "Logical_Order_Exception",
    "LOE",
    "Lowercase",
    "Lower",
    "Math",
    "Noncharacter_Code_Point",
    "NChar",
    "Pattern_Syntax",
    "Pat_Syn",
    "Pattern_White_Space",
    "Pat_WS",
    "Quotation_Mark",
    "QMark",
    "Radical",
    "Regional_Indicator",
    "RI",
    "Sentence_Terminal",
    "STerm",
    "Soft_Dotted",
    "SD",
    "Terminal_Punctuation",
    "Term",
    "Unified_Ideograph",
    "UIdeo",
    "Uppercase",
    "Upper",
    "Variation_Selector",
    "VS",
    "White_Space",
    "space",
    "XID_Continue",
    "XIDC",
    "XID_Start",
    "XIDS",
};

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

// Every code point that a text can have, in order.
std::string AllCodePoints() {
  std::string all;
  for (const auto& [first, last] : Complement({}))
    for (uint32_t c = first; c <= last; ++c) AppendUtf8(c, all);
  return all;
}

uint32_t CodePointAt(std::string_view text, size_t at) {
  const auto lead = static_cast<uint8_t>(text[at]);
  if (lead < 0x80) return lead;
  const size_t tail = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
  uint32_t value = lead & (0x3fu >> tail);
  for (size_t i = 1; i <= tail; ++i) value = value << 6 | (static_cast<uint8_t>(text[at + i]) & 0x3f);
  return value;
}

// Nothing if PCRE2 does not know it. The class finds runs of its characters in the text of all: each is a
// range.
std::optional<CodePoints> Find(const std::string& property) {
  static const std::string all = AllCodePoints();
  const std::string source = "\\p{" + property + "}+";
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::unique_ptr<pcre2_code, FreeCode> code(pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(), PCRE2_UTF, &error, &offset, nullptr));
  if (code == nullptr) return std::nullopt;
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // without it the interpreter matches, only slower
  const std::unique_ptr<pcre2_match_data, FreeCode> data(pcre2_match_data_create(1, nullptr));
  CodePoints found;
  for (size_t at = 0; at < all.size();) {
    const int rc = pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(all.data()), all.size(), at,
                               PCRE2_NO_UTF_CHECK, data.get(), nullptr);
    if (rc == PCRE2_ERROR_NOMATCH) break;
    THRONG_CHECK(rc > 0);
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
    size_t last = range[1] - 1;
    while ((static_cast<uint8_t>(all[last]) & 0xc0) == 0x80) --last;
    found.emplace_back(CodePointAt(all, range[0]), CodePointAt(all, last));
    at = range[1];
  }
  return Normalised(std::move(found));
}

std::optional<CodePoints> Category(std::string_view name) {
  for (const auto& [full, abbreviated] : kCategories)
    if (name == full || name == abbreviated) return Find(std::string(abbreviated));
  if (name == "punct") return Find("P");
  if (name == "digit") return Find("Nd");
  return std::nullopt;
}

}  // namespace

std::optional<CodePoints> UnicodeProperty(std::string_view name) {
  const size_t equals = name.find('=');
  if (equals == name.npos) {
    if (std::find(kBinary.begin(), kBinary.end(), name) != kBinary.end()) return Find(std::string(name));
    if (name == "Assigned") {
      const auto unassigned = Find("Cn");
      return unassigned ? std::optional(Complement(*unassigned)) : std::nullopt;
    }
    return Category(name);
  }
  const std::string_view property = name.substr(0, equals);
  const std::string_view value = name.substr(equals + 1);
  if (property == "General_Category" || property == "gc") return Category(value);
  // PCRE2 ignores case, _ and spaces in names of scripts; ECMA-262 does not.
  const bool is_name = !value.empty() && value[0] >= 'A' && value[0] <= 'Z' &&
                       std::all_of(value.begin(), value.end(), [](char c) {
                         return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
                       });
  if (!is_name) return std::nullopt;
  if (property == "Script" || property == "sc") return Find("sc:" + std::string(value));
  if (property == "Script_Extensions" || property == "scx") return Find("scx:" + std::string(value));
  return std::nullopt;
}

}  // namespace throng::llm
