#include "llm/grammar/schema_members.h"

#include <fmt/format.h>

#include <algorithm>

#include "llm/grammar/json_scalar.h"
#include "llm/grammar/json_schema.h"
#include "llm/grammar/object_names.h"
#include "llm/grammar/schema_keywords.h"
#include "llm/grammar/schema_parts.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

// The schema as one list of parts that hold together.
SchemaParts ObjectParts(SchemaDocument& document) {
  const std::vector<SchemaParts> alternatives = document.Alternatives({document.Root()});
  if (alternatives.size() != 1) {
    throw UnsupportedSchema(
        "#", "has alternatives, and the model's form of calls has one argument after the other");
  }
  for (const SchemaPart& part : alternatives[0]) {
    CheckKeywords(*part.schema, part.path);
    for (const char* keyword :
         {"patternProperties", "propertyNames", "minProperties", "maxProperties", "enum", "const"}) {
      if (Find(*part.schema, keyword) == nullptr) continue;
      throw UnsupportedSchema(fmt::format("{}/{}", part.path, keyword),
                              "is not supported in the model's form of calls");
    }
  }
  if ((TypesOf(alternatives[0]) & kObject) == 0) throw WrongSchema("#", "allows no object");
  return alternatives[0];
}

// The strings of one alternative.
Grammar::Node PlainTexts(SchemaDocument& document, const SchemaParts& parts, std::string_view end,
                         Grammar& grammar) {
  for (const SchemaPart& part : parts) {
    const Json* list = Find(*part.schema, "enum");
    const Json* constant = Find(*part.schema, "const");
    if (list == nullptr && constant == nullptr) continue;
    const Json single = constant != nullptr ? Json::array({*constant}) : Json();
    const SchemaDocument::Check check = document.CheckOf(parts);
    std::vector<Grammar::Node> choices;
    for (const Json& value : constant != nullptr ? single : *list) {
      if (!value.is_string() || !check.Allows(value)) continue;
      if (value.get_ref<const std::string&>().find(end) == std::string::npos)
        choices.push_back(grammar.Bytes(value));
    }
    if (choices.empty()) throw NoValue{WrongSchema(part.path, "allows no value")};
    return grammar.Choice(std::move(choices));
  }
  return LowerPlainString(parts, end, grammar);
}

Grammar::Node LowerValue(SchemaDocument& document, const SchemaParts& parts, const MemberStyle& style,
                         Grammar& grammar, bool& is_text) {
  const std::vector<SchemaParts> alternatives = document.Alternatives(parts);
  is_text = !alternatives.empty() &&
            std::ranges::all_of(alternatives, [](const SchemaParts& one) { return TypesOf(one) == kString; });
  if (!is_text || !style.plain_end) return LowerParts(document, parts, grammar, style.json);
  std::vector<Grammar::Node> choices;
  std::optional<NoValue> nothing;
  for (const SchemaParts& one : alternatives) {
    try {
      for (const SchemaPart& part : one) CheckKeywords(*part.schema, part.path);
      choices.push_back(PlainTexts(document, one, *style.plain_end, grammar));
    } catch (const NoValue& none) {
      nothing = none;
    }
  }
  if (choices.empty()) throw *nothing;
  return grammar.Choice(std::move(choices));
}

}  // namespace

std::vector<SchemaMember> LowerMembers(std::string_view schema, const MemberStyle& style, Grammar& grammar) {
  SchemaDocument document(schema);
  const ObjectNames names(ObjectParts(document));
  std::vector<SchemaMember> members;
  for (const std::string& name : names.Named()) {
    const bool is_required = names.IsRequired(name);
    if (!names.MayHave(name)) {
      if (is_required) throw WrongSchema("#/required", fmt::format("has {}, which is not allowed", name));
      continue;
    }
    try {
      bool is_text = false;
      const Grammar::Node value = LowerValue(document, names.PartsOf(name), style, grammar, is_text);
      members.push_back({name, is_required, is_text, value});
    } catch (const NoValue& nothing) {
      if (is_required) throw nothing.why;
    }
  }
  return members;
}

}  // namespace throng::llm
