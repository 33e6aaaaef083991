// What SchemaDocument excludes: by not, by the other branches of a oneOf, and by an if.
#include <algorithm>
#include <map>

#include "llm/grammar/json_scalar.h"
#include "llm/grammar/object_names.h"
#include "llm/grammar/schema_keywords.h"
#include "llm/grammar/schema_parts.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxCompared = 4;  // objects within objects that are compared

bool AllowsAll(const Json& schema) { return schema == Json(true) || schema == Json::object(); }

// Whether a member is what the schema says, because one of its own schemas says the same.
bool IsSurely(const ObjectNames& names, const std::string& name, const Json& schema) {
  if (AllowsAll(schema)) return true;
  const SchemaParts parts = names.PartsOf(name);
  return std::any_of(parts.begin(), parts.end(),
                     [&](const SchemaPart& part) { return *part.schema == schema; });
}

// Whether the members that an object's schemas do not name, if it has any, are all what the other says of
// them: it has the same patterns, and says the same by each.
bool OthersAreSurely(const ObjectNames& names, const ObjectNames& other) {
  const size_t num_patterns = names.Patterns().size();
  const auto is_false = [](const SchemaPart& part) { return *part.schema == Json(false); };
  if (names.HasOthers() && std::ranges::none_of(names.OthersWith(std::vector<bool>(num_patterns)), is_false))
    return false;
  if (num_patterns == 0) return true;
  const auto said_by = [](const ObjectNames& of, const std::string& pattern) {
    std::vector<bool> matched;
    for (const std::string& each : of.Patterns()) matched.push_back(each == pattern);
    return of.OthersWith(matched);
  };
  return num_patterns == other.Patterns().size() &&
         std::ranges::all_of(names.Patterns(), [&](const std::string& pattern) {
           const SchemaParts here = said_by(names, pattern), there = said_by(other, pattern);
           return std::ranges::count(other.Patterns(), pattern) == 1 &&
                  std::ranges::any_of(
                      here, [&](const SchemaPart& part) { return *part.schema == *there[0].schema; });
         });
}

}  // namespace

// What is not allowed by the part, as far as schemas can say it.
SchemaDocument::Cases SchemaDocument::Negate(const SchemaPart& part, const SchemaParts& answer) {
  const Json* schema = part.schema;
  const std::string& path = part.path;
  if (AllowsAll(*schema)) return {};
  if (*schema == Json(false)) return {{}};
  if (!schema->is_object()) throw WrongSchema(path, "must be an object or a boolean");
  if (++steps_ > kMaxSteps || path_.size() > kMaxDepth)
    throw UnsupportedSchema(path, "cannot be excluded: too large");
  path_.push_back(schema);
  Cases cases;  // one keyword fails, or another
  for (const auto& [keyword, value] : schema->items()) {
    const Cases more = NegateKeyword(keyword, part, answer);
    cases.insert(cases.end(), more.begin(), more.end());
  }
  if (Find(*schema, "additionalProperties") != nullptr || Find(*schema, "patternProperties") != nullptr) {
    const Cases more = NegateMembers(part, answer);
    cases.insert(cases.end(), more.begin(), more.end());
  }
  path_.pop_back();
  return cases;
}

SchemaDocument::Cases SchemaDocument::NegateKeyword(const std::string& keyword, const SchemaPart& part,
                                                    const SchemaParts& answer) {
  const Json& value = (*part.schema)[keyword];
  const std::string where = fmt::format("{}/{}", part.path, keyword);
  const auto one = [&](Json schema) -> Cases { return {{{{Make(std::move(schema)), where}}, {}}}; };
  // Of the type, and this besides.
  if (keyword == "type") {
    const uint32_t types = TypesOf({{Make({{"type", value}}), part.path}});
    const Json others = NamesOfTypes(kAnyType & ~types);
    return others.empty() ? Cases{} : one({{"type", others}});
  }
  if (keyword == "$ref") return Negate(Target(value, where), answer);
  if (keyword == "not") return Expand({&value, where});
  if (keyword == "allOf" || keyword == "anyOf") {
    Cases cases;
    if (keyword == "anyOf") cases = {{}};
    for (size_t i = 0; i < value.size(); ++i) {
      const Cases more = Negate({&value[i], fmt::format("{}/{}", where, i)}, answer);
      if (keyword == "anyOf") {
        cases = And(cases, more, where);
      } else {
        cases.insert(cases.end(), more.begin(), more.end());
      }
    }
    return cases;
  }
  if (keyword == "required") {
    Cases cases;
    for (const Json& name : value) {
      if (!name.is_string()) throw WrongSchema(where, "must be an array of strings");
      const Cases more = one({{"type", "object"}, {"properties", {{name.get<std::string>(), false}}}});
      cases.insert(cases.end(), more.begin(), more.end());
    }
    return cases;
  }
  if (keyword == "properties") {
    const ObjectNames names(answer);
    Cases cases;
    for (const auto& [name, property] : value.items())
      if (!IsSurely(names, name, property)) cases.push_back(WithMemberNot(name, property, where));
    return cases;
  }
  if (keyword == "const" || keyword == "enum")
    return one({{kExcept, keyword == "enum" ? value : Json::array({value})}});
  if (keyword == "minimum") return one({{"type", "number"}, {"exclusiveMaximum", value}});
  if (keyword == "maximum") return one({{"type", "number"}, {"exclusiveMinimum", value}});
  if (keyword == "exclusiveMinimum" && value.is_number())
    return one({{"type", "number"}, {"maximum", value}});
  if (keyword == "exclusiveMaximum" && value.is_number())
    return one({{"type", "number"}, {"minimum", value}});
  if (keyword == "pattern") return one({{"type", "string"}, {kNotPattern, value}});
  if (const std::optional<Cases> cases = NegateCount(keyword, value, where)) return *cases;
  if (keyword == "items" || keyword == "contains") {
    for (const char* other : {"prefixItems", "additionalItems", "minContains", "maxContains"})
      if (Find(*part.schema, other) != nullptr)
        throw UnsupportedSchema(where, fmt::format("cannot be excluded beside {}", other));
    if (value.is_array()) throw UnsupportedSchema(where, "cannot be excluded as a list");
    return one({{"type", "array"}, {keyword == "items" ? "contains" : "items", {{"not", value}}}});
  }
  if (keyword == "oneOf") return NegateOneOf(value, where, answer);
  if (keyword == "if") {
    const SchemaPart condition = {&value, where};
    const auto fails = [&](const char* branch) -> Cases {
      const Json* schema = Find(*part.schema, branch);
      return schema == nullptr ? Cases{} : Negate({schema, fmt::format("{}/{}", part.path, branch)}, answer);
    };
    Cases cases = And(Expand(condition), fails("then"), where);
    const Cases otherwise = And({{{}, {condition}}}, fails("else"), where);
    cases.insert(cases.end(), otherwise.begin(), otherwise.end());
    return cases;
  }
  if (keyword == "dependentRequired") {
    Cases cases;
    for (const auto& [name, needed] : value.items()) {
      for (const Json& other : needed) {
        const Cases more = one({{"type", "object"},
                                {"properties", {{other.get<std::string>(), false}}},
                                {"required", Json::array({name})}});
        cases.insert(cases.end(), more.begin(), more.end());
      }
    }
    return cases;
  }
  if (keyword == "then" || keyword == "else" || keyword == "$defs" || keyword == "definitions") return {};
  const bool is_on = value != Json(false);
  if (IsAnnotation(keyword) || ((keyword == "uniqueItems" || keyword == "nullable") && !is_on)) return {};
  if (keyword == "additionalProperties" || keyword == "patternProperties") return {};  // NegateMembers
  throw UnsupportedSchema(where, "cannot be excluded by a not, a oneOf or an if");
}

// An object with this member, whose value is not allowed by the schema.
SchemaDocument::Case SchemaDocument::WithMemberNot(const std::string& name, const Json& schema,
                                                   const std::string& where) {
  const Json value = schema == Json(false) ? Json(true) : Json{{"not", schema}};
  Json object = {{"type", "object"}, {"required", Json::array({name})}};
  object["properties"][name] = value;
  return {{{Make(std::move(object)), where}}, {}};
}

// By additionalProperties and patternProperties: one of the answer's members is not what they say. Where the
// names of its members are free, schemas cannot say so.
SchemaDocument::Cases SchemaDocument::NegateMembers(const SchemaPart& part, const SchemaParts& answer) {
  const ObjectNames names(answer);
  Json by_name = Json::object();  // without what it says of its properties, but for their names
  if (const Json* properties = Find(*part.schema, "properties"))
    for (const auto& [name, property] : properties->items()) by_name["properties"][name] = true;
  for (const char* others : {"patternProperties", "additionalProperties"})
    if (const Json* value = Find(*part.schema, others)) by_name[others] = *value;
  const ObjectNames excluded({{&by_name, part.path}});
  const char* keyword =
      Find(*part.schema, "additionalProperties") != nullptr ? "additionalProperties" : "patternProperties";
  const std::string where = fmt::format("{}/{}", part.path, keyword);
  const Json* more = Find(by_name, "additionalProperties");
  if (excluded.Patterns().empty() && (more == nullptr || AllowsAll(*more))) return {};
  if ((TypesOf(answer) & kObject) != 0 && !OthersAreSurely(names, excluded))
    throw UnsupportedSchema(where,
                            "cannot be excluded by a not, a oneOf or an if where other members are free");
  Cases cases;
  for (const std::string& name : names.Named()) {
    if (!names.MayHave(name)) continue;
    for (const SchemaPart& one : excluded.PartsOf(name))
      if (!IsSurely(names, name, *one.schema)) cases.push_back(WithMemberNot(name, *one.schema, where));
  }
  return cases;
}

// Of a count such as minItems; nothing if the keyword is none.
std::optional<SchemaDocument::Cases> SchemaDocument::NegateCount(const std::string& keyword,
                                                                 const Json& value,
                                                                 const std::string& where) {
  static const std::map<std::string_view, const char*> kTypes = {
      {"Length", "string"}, {"Items", "array"}, {"Properties", "object"}};
  const bool is_min = keyword.starts_with("min"), is_max = keyword.starts_with("max");
  const auto type = kTypes.find(std::string_view(keyword).substr(std::min<size_t>(keyword.size(), 3)));
  if (!(is_min || is_max) || type == kTypes.end()) return std::nullopt;
  const int64_t count =
      CountOf({{Make({{keyword, value}}), where}}, keyword.c_str(), is_min ? 0 : Grammar::kUnbounded);
  if (is_max && count == Grammar::kUnbounded) return Cases{};
  if (is_min && count == 0) return Cases{};
  Json schema = {{"type", type->second}};
  schema[(is_min ? "max" : "min") + keyword.substr(3)] = is_min ? count - 1 : count + 1;
  return Cases{{{{Make(std::move(schema)), where}}, {}}};
}

// None of them holds, or two do.
SchemaDocument::Cases SchemaDocument::NegateOneOf(const Json& list, const std::string& where,
                                                  const SchemaParts& answer) {
  Cases cases = {{}};
  SchemaParts parts;
  for (size_t i = 0; i < list.size(); ++i) parts.push_back({&list[i], fmt::format("{}/{}", where, i)});
  for (const SchemaPart& part : parts) cases = And(cases, Negate(part, answer), where);
  for (size_t i = 0; i < parts.size(); ++i) {
    for (size_t j = i + 1; j < parts.size(); ++j) {
      const Cases two = And(Expand(parts[i]), Expand(parts[j]), where);
      cases.insert(cases.end(), two.begin(), two.end());
    }
  }
  return cases;
}

// Whether no answer to the first cases is allowed by the second ones.
bool SchemaDocument::AreDisjoint(const Cases& answers, const Cases& others, int depth) {
  return std::all_of(answers.begin(), answers.end(), [&](const Case& answer) {
    return std::all_of(others.begin(), others.end(),
                       [&](const Case& other) { return AreDisjoint(answer.parts, other.parts, depth); });
  });
}

bool SchemaDocument::AreDisjoint(const SchemaParts& answer, const SchemaParts& other, int depth) {
  const uint32_t types = TypesOf(answer) & NamedTypesOf(other);
  if (types == 0 || HaveNoValue(answer, other)) return true;
  if (types != kObject || depth >= kMaxCompared) return false;
  // Answers have only the members that their own schema names.
  const ObjectNames names(answer), other_names(other);
  for (const std::string& name : other_names.Required())
    if (!names.MayHave(name)) return true;
  for (const std::string& name : names.Required()) {
    if (AreDisjoint(ExpandAll(names.PartsOf(name)), ExpandAll(other_names.PartsOf(name)), depth + 1))
      return true;
  }
  return false;
}

}  // namespace throng::llm
