// Lowers JSON schemas to grammars of compact JSON.
#pragma once

#include <string_view>

#include "llm/grammar/grammar.h"
#include "llm/grammar/json_style.h"
#include "llm/grammar/schema_parts.h"

namespace throng::llm {

// JSON Schema 2020-12 and its older drafts; docs/constrained-answers.md lists what is known. Answers are a
// subset of what the schema allows: members come in the schema's order, objects and tuples have no more than
// the schema speaks of unless it says so, numbers are written in few ways, strings escape only what must be.
// Throws kUnsupported for what cannot be enforced, and kInvalid for a wrong schema, with one sentence that
// names keyword and path.
Grammar::Node LowerJsonSchema(std::string_view schema, Grammar& grammar, const JsonStyle& style = {});

// The values that all parts of a document allow. Throws NoValue if there are none, and the same as above.
Grammar::Node LowerParts(SchemaDocument& document, const SchemaParts& parts, Grammar& grammar,
                         const JsonStyle& style = {});

}  // namespace throng::llm
