#include "llm/grammar/json_schema.h"

#include "llm/grammar/schema_lowering.h"

namespace throng::llm {

Grammar::Node LowerJsonSchema(std::string_view schema, Grammar& grammar, const JsonStyle& style) {
  SchemaDocument document(schema);
  try {
    return SchemaLowering(document, style, grammar).Values({document.Root()});
  } catch (const NoValue& nothing) {
    throw nothing.why;
  }
}

Grammar::Node LowerParts(SchemaDocument& document, const SchemaParts& parts, Grammar& grammar,
                         const JsonStyle& style) {
  return SchemaLowering(document, style, grammar).Values(parts);
}

}  // namespace throng::llm
