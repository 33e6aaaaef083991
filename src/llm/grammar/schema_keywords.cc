#include "llm/grammar/schema_keywords.h"

#include <algorithm>
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

// The keyword that a word most likely means; empty if it is a word of its own.
std::string_view Meant(std::string_view word) {
  constexpr size_t kLeast = 5, kLong = 8;
  if (word.size() < kLeast || word.size() > 32 || word.starts_with("x-") || word.starts_with("_") ||
      kAnnotations.contains(word))
    return {};
  const std::string lower = Lower(word);
  for (const std::string_view keyword : kAssertions) {
    const size_t most = keyword.size() >= kLong ? 2 : 1;
    const bool is_near = lower.size() <= keyword.size() + most && keyword.size() <= lower.size() + most;
    if (keyword.size() < kLeast || !is_near) continue;
    if (Distance(lower, Lower(keyword)) <= most) return keyword;
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
