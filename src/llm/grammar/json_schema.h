// Lowers JSON schemas, as far as they are regular languages, to grammars of compact JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "llm/grammar/grammar.h"

namespace throng::llm {

// Known: type (one or several of object, array, string, integer, number, boolean, null), enum, const, anyOf;
//   object: properties (answers have them in this order), required, additionalProperties false;
//   array: items, minItems, maxItems;  string: minLength, maxLength (code points), pattern (of the whole
//   string); integer, number: minimum, maximum, exclusiveMinimum, exclusiveMaximum (whole numbers; for
//   `number` inclusive ones only); title, description, default, examples, $schema, $id and $comment are
//   ignored.
// Answers are a subset of what the schema allows: numbers have at most 18 digits (15 + 15 if they are not
// integers), strings escape only what must be. Anything else throws kUnsupported, and a wrong schema
// kInvalid, with one sentence that names keyword and path.
Grammar::Node LowerJsonSchema(std::string_view schema, Grammar& grammar);

}  // namespace throng::llm
