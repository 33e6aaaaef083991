#include <algorithm>

#include "llm/grammar/schema_parts.h"
#include "llm/json_type.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

const std::map<std::string_view, uint32_t> kTypes = {
    {"null", kNull},     {"boolean", kBoolean}, {"integer", kInteger}, {"number", kInteger | kFraction},
    {"string", kString}, {"array", kArray},     {"object", kObject},   {"x-fraction", kFraction}};

// The types that a schema has keywords for, if it does not name any.
uint32_t ImpliedTypes(const Json& schema) {
  uint32_t types = 0;
  for (const auto& [keyword, value] : schema.items()) types |= TypesOfKeyword(keyword);
  return types;
}

// Of one schema, as it names them; empty if it does not.
std::optional<uint32_t> NamedTypes(const SchemaPart& part) {
  const Json* named = Find(*part.schema, "type");
  if (named == nullptr) return std::nullopt;
  uint32_t types = 0;
  for (const Json& name : named->is_array() ? *named : Json::array({*named})) {
    const auto found = name.is_string() ? kTypes.find(name.get_ref<const std::string&>()) : kTypes.end();
    if (found == kTypes.end()) {
      throw WrongSchema(part.path + "/type",
                        "must be object, array, string, integer, number, boolean, null or an array of these");
    }
    types |= found->second;
  }
  if (types == 0) throw WrongSchema(part.path + "/type", "must name a type");
  const Json* nullable = Find(*part.schema, "nullable");
  return nullable != nullptr && *nullable == Json(true) ? types | kNull : types;
}

bool HasValues(const SchemaPart& part) {
  const Json* list = Find(*part.schema, "enum");
  return Find(*part.schema, "const") != nullptr || (list != nullptr && list->is_array());
}

// The values of const and enum, if there are any.
std::optional<Json> ValuesOf(const SchemaParts& parts) {
  std::optional<Json> values;
  for (const SchemaPart& part : parts) {
    Json some;
    if (const Json* value = Find(*part.schema, "const")) {
      some = Json::array({*value});
    } else if (const Json* list = Find(*part.schema, "enum"); list != nullptr && list->is_array()) {
      some = *list;
    } else {
      continue;
    }
    if (!values) {
      values = some;
      continue;
    }
    Json both = Json::array();
    for (const Json& value : *values)
      if (std::find(some.begin(), some.end(), value) != some.end()) both.push_back(value);
    values = both;
  }
  return values;
}

}  // namespace

uint32_t TypesOfKeyword(std::string_view keyword) {
  static const std::map<std::string_view, uint32_t> kKeywords = {{"properties", kObject},
                                                                 {"required", kObject},
                                                                 {"additionalProperties", kObject},
                                                                 {"patternProperties", kObject},
                                                                 {"propertyNames", kObject},
                                                                 {"minProperties", kObject},
                                                                 {"maxProperties", kObject},
                                                                 {"items", kArray},
                                                                 {"prefixItems", kArray},
                                                                 {"minItems", kArray},
                                                                 {"maxItems", kArray},
                                                                 {"uniqueItems", kArray},
                                                                 {"contains", kArray},
                                                                 {"minLength", kString},
                                                                 {"maxLength", kString},
                                                                 {"pattern", kString},
                                                                 {"minimum", kTypes.at("number")},
                                                                 {"maximum", kTypes.at("number")},
                                                                 {"exclusiveMinimum", kTypes.at("number")},
                                                                 {"exclusiveMaximum", kTypes.at("number")},
                                                                 {"multipleOf", kTypes.at("number")}};
  const auto found = kKeywords.find(keyword);
  return found == kKeywords.end() ? 0 : found->second;
}

uint32_t NamedTypesOf(const SchemaParts& parts) {
  uint32_t types = kAnyType;
  for (const SchemaPart& part : parts) types &= NamedTypes(part).value_or(kAnyType);
  return types;
}

bool HaveNoValue(const SchemaParts& a, const SchemaParts& b) {
  const std::optional<Json> in_a = ValuesOf(a), in_b = ValuesOf(b);
  if (!in_a && !in_b) return false;
  const Json& values = in_a ? *in_a : *in_b;
  const uint32_t types = TypesOf(a) & NamedTypesOf(b);
  return std::none_of(values.begin(), values.end(), [&](const Json& value) {
    const bool in_both = !in_a || !in_b || std::find(in_b->begin(), in_b->end(), value) != in_b->end();
    return in_both && (types & TypeOf(value)) != 0;
  });
}

Json NamesOfTypes(uint32_t types) {
  Json names = Json::array();
  for (const auto& [name, bits] : kTypes)
    if ((types & bits) == bits) names.push_back(name);
  return names;
}

uint32_t TypeOf(const Json& value) {
  if (value.is_null()) return kNull;
  if (value.is_boolean()) return kBoolean;
  if (value.is_number()) return IsWhole(value) ? kInteger : kFraction;
  return value.is_string() ? kString : value.is_array() ? kArray : kObject;
}

uint32_t TypesOf(const SchemaParts& parts) {
  const uint32_t named = NamedTypesOf(parts);
  if (named != kAnyType || std::any_of(parts.begin(), parts.end(), HasValues)) return named;
  // A schema of properties alone means an object.
  uint32_t implied = 0;
  for (const SchemaPart& part : parts) implied |= ImpliedTypes(*part.schema);
  return implied != 0 ? implied : named;
}

}  // namespace throng::llm
