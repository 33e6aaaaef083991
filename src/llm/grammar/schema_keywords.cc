#include "llm/grammar/schema_keywords.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "base/error.h"

namespace throng::llm {
namespace {

const std::set<std::string_view> kAssertions = {"type",
                                                "enum",
                                                "const",
                                                "allOf",
                                                "anyOf",
                                                "oneOf",
                                                "not",
                                                "if",
                                                "then",
                                                "else",
                                                "$ref",
                                                "dependentRequired",
                                                "dependentSchemas",
                                                "dependencies",
                                                "properties",
                                                "required",
                                                "additionalProperties",
                                                "patternProperties",
                                                "propertyNames",
                                                "minProperties",
                                                "maxProperties",
                                                "unevaluatedProperties",
                                                "items",
                                                "prefixItems",
                                                "additionalItems",
                                                "minItems",
                                                "maxItems",
                                                "uniqueItems",
                                                "unevaluatedItems",
                                                "contains",
                                                "minContains",
                                                "maxContains",
                                                "minLength",
                                                "maxLength",
                                                "pattern",
                                                "format",
                                                "minimum",
                                                "maximum",
                                                "exclusiveMinimum",
                                                "exclusiveMaximum",
                                                "multipleOf",
                                                "nullable",
                                                "$defs",
                                                "definitions"};

const std::set<std::string_view> kUnsupported = {"$dynamicRef", "$recursiveRef"};

// Words near a keyword that are none: those of JSON Schema, OpenAPI and of common tools.
const std::set<std::string_view> kAnnotations = {"title",
                                                 "description",
                                                 "default",
                                                 "example",
                                                 "examples",
                                                 "deprecated",
                                                 "readOnly",
                                                 "writeOnly",
                                                 "$schema",
                                                 "$id",
                                                 "id",
                                                 "$anchor",
                                                 "$comment",
                                                 "$vocabulary",
                                                 "discriminator",
                                                 "strict",
                                                 "contentEncoding",
                                                 "contentMediaType",
                                                 "contentSchema",
                                                 "$dynamicAnchor",
                                                 "$recursiveAnchor",
                                                 "options",
                                                 "label",
                                                 "optional"};

// Insertions, deletions and replacements of one character from one word to the other.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::string Lower(std::string_view word) {
  std::string lower(word);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return lower;
}

// Bits for the letters of a word. An edit of one character changes two of them at most.
uint32_t LettersOf(std::string_view lower) {
  uint32_t letters = 0;
  for (const char c : lower) letters |= 1u << (c & 31);
  return letters;
}

// A keyword that a word may be meant to be.
struct Likely {
  std::string_view keyword;
  std::string lower;
  uint32_t letters;
};

constexpr size_t kLeastLikely = 5;  // characters

const std::vector<Likely>& LikelyKeywords() {
  static const std::vector<Likely> kAll = [] {
    std::vector<Likely> all;
    for (const std::string_view keyword : kAssertions)
      if (keyword.size() >= kLeastLikely) all.push_back({keyword, Lower(keyword), LettersOf(Lower(keyword))});
    return all;
  }();
  return kAll;
}

// The keyword that a word most likely means; empty if it is a word of its own.
std::string_view Meant(std::string_view word) {
  constexpr size_t kLong = 8;
  if (word.size() < kLeastLikely || word.size() > 32 || word.starts_with("x-") || word.starts_with("_") ||
      kAnnotations.contains(word))
    return {};
  const std::string lower = Lower(word);
  const uint32_t letters = LettersOf(lower);
  for (const Likely& one : LikelyKeywords()) {
    const size_t most = one.lower.size() >= kLong ? 2 : 1;
    const bool is_near = lower.size() <= one.lower.size() + most && one.lower.size() <= lower.size() + most;
    if (!is_near || static_cast<size_t>(std::popcount(letters ^ one.letters)) > 2 * most) continue;
    if (Distance(lower, one.lower) <= most) return one.keyword;
  }
  return {};
}

}  // namespace

bool IsAnnotation(std::string_view keyword) {
  return !kAssertions.contains(keyword) && !kUnsupported.contains(keyword);
}

bool IsCombination(std::string_view keyword) {
  static const std::set<std::string_view> kCombinations = {"$ref",
                                                           "allOf",
                                                           "anyOf",
                                                           "oneOf",
                                                           "not",
                                                           "if",
                                                           "then",
                                                           "else",
                                                           "dependentRequired",
                                                           "dependentSchemas",
                                                           "dependencies",
                                                           "nullable",
                                                           "$defs",
                                                           "definitions"};
  return kCombinations.contains(keyword);
}

void CheckKeywords(const nlohmann::ordered_json& schema, std::string_view path) {
  for (const auto& [keyword, value] : schema.items()) {
    if (kUnsupported.contains(keyword)) {
      throw MakeError(ErrorCode::kUnsupported, "JSON schema: the keyword {} at {} is not supported", keyword,
                      path);
    }
    if (kAssertions.contains(keyword)) continue;
    if (const std::string_view meant = Meant(keyword); !meant.empty()) {
      throw MakeError(ErrorCode::kUnsupported,
                      "JSON schema: the keyword {} at {} is not known; if {} is meant, write it so", keyword,
                      path, meant);
    }
  }
}

std::string EscapedForPointer(std::string_view name) {
  std::string out;
  for (const char c : name) c == '~' ? out += "~0" : c == '/' ? out += "~1" : out += c;
  return out;
}

std::string UnescapedFromPointer(std::string_view part) {
  std::string out;
  for (size_t i = 0; i < part.size(); ++i) {
    if (part[i] == '~' && i + 1 < part.size() && (part[i + 1] == '0' || part[i + 1] == '1')) {
      out += part[++i] == '0' ? '~' : '/';
    } else {
      out += part[i];
    }
  }
  return out;
}

}  // namespace throng::llm
