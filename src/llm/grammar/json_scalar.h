// Lowers the strings and numbers of JSON schemas to grammars.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llm/grammar/grammar.h"
#include "llm/grammar/schema_parts.h"
#include "llm/regular/regular.h"

namespace throng::llm {

// The strings, with their quotes, that all parts allow. Throws kInvalid or kUnsupported with keyword and
// path, and NoValue, as the others do.
Grammar::Node LowerString(const SchemaParts& parts, Grammar& grammar);

// The same strings as plain texts, without quotes and escapes, in which `without` is not found.
Grammar::Node LowerPlainString(const SchemaParts& parts, std::string_view without, Grammar& grammar);

// The strings, without quotes, that a schema allows by its own keywords, combinations aside; perhaps none.
Regular StringsOf(const SchemaPart& part);

// The numbers that all parts allow: whole ones, written without a fraction, or all.
Grammar::Node LowerNumber(const SchemaParts& parts, bool whole, Grammar& grammar);

// Names of members, with their quotes: all but some, or those of a language, which is not empty.
Grammar::Node LowerNameExcept(const std::vector<std::string>& except, Grammar& grammar);
Grammar::Node LowerName(Regular names, Grammar& grammar);

// The names that propertyNames allows (one of these, as far as they are about strings; any if there are
// none), but those of a list.
Regular NameTexts(const std::vector<SchemaParts>& allowed, const std::vector<std::string>& except,
                  const std::string& path);

// The values that the parts exclude by kExcept.
std::vector<nlohmann::ordered_json> ExceptOf(const SchemaParts& parts);

// A count such as minItems: the largest of all parts' (or the smallest, for words that begin with "max"), or
// `otherwise` if none has it.
int64_t CountOf(const SchemaParts& parts, const char* keyword, int64_t otherwise);

}  // namespace throng::llm
