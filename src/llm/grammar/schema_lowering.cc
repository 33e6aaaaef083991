#include "llm/grammar/schema_lowering.h"

#include <algorithm>

#include "llm/grammar/json_scalar.h"
#include "llm/grammar/schema_keywords.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxDepth = 128;          // schemas within schemas: the lowering recurses
constexpr size_t kMaxNodes = 1 << 20;   // of the grammar
constexpr size_t kMaxValues = 100'000;  // of an enum
constexpr size_t kMaxStrings = 32;      // alternatives of strings, each with an automaton of its own

bool HasAny(const SchemaParts& parts, std::initializer_list<const char*> keywords) {
  return std::any_of(parts.begin(), parts.end(), [&](const SchemaPart& part) {
    return std::any_of(keywords.begin(), keywords.end(),
                       [&](const char* keyword) { return Find(*part.schema, keyword) != nullptr; });
  });
}

// What the parts say by a keyword, for what depends on it.
void AddToKey(const SchemaParts& parts, const char* keyword, std::string& key) {
  for (const SchemaPart& part : parts)
    if (const Json* value = Find(*part.schema, keyword)) key += fmt::format(",{}:{}", keyword, value->dump());
}

}  // namespace

// The values that all parts allow; a rule, if they recurse.
Grammar::Node SchemaLowering::Values(const SchemaParts& written) {
  SchemaParts parts;
  for (const SchemaPart& part : written) parts.push_back(Meant(part));
  std::vector<const Json*> key;
  for (const SchemaPart& part : parts) key.push_back(part.schema);
  std::sort(key.begin(), key.end());
  key.erase(std::unique(key.begin(), key.end()), key.end());
  if (const auto none = without_value_.find(key); none != without_value_.end()) throw NoValue{none->second};
  if (const auto found = rules_.find(key); found != rules_.end()) return found->second;
  const std::string path = parts.empty() ? "#" : parts[0].path;
  if (depth_ > kMaxDepth) throw WrongSchema(path, "is nested too deeply");
  CheckSize(path);
  const Grammar::Node rule = grammar_.DeclareRule(path);
  rules_[key] = rule;
  ++depth_;
  std::vector<Grammar::Node> choices;
  std::optional<Error> why_not;
  std::vector<SchemaParts> alternatives = document_.Alternatives(parts);
  const bool are_strings =
      alternatives.size() > kMaxStrings && style_.IsJson() && NamedTypesOf(parts) == kString;
  if (are_strings) alternatives = {parts};
  for (const SchemaParts& alternative : alternatives) {
    try {
      choices.push_back(are_strings ? Strings(alternative) : Alternative(alternative));
    } catch (const NoValue& nothing) {
      why_not = nothing.why;
    }
  }
  --depth_;
  const bool has_value = !choices.empty();
  grammar_.Define(rule, Choice(std::move(choices)));
  if (has_value) return rule;
  throw NoValue{
      without_value_.emplace(key, why_not.value_or(WrongSchema(path, "allows no value"))).first->second};
}

// A schema that says no more than another, to which it refers, is that one: what many places refer to is
// lowered once.
SchemaPart SchemaLowering::Meant(SchemaPart part) {
  for (int hops = 0; hops < kMaxDepth && part.schema->is_object(); ++hops) {
    const Json* reference = Find(*part.schema, "$ref");
    if (reference == nullptr) break;
    const SchemaPart target = document_.Target(*reference, part.path + "/$ref");
    const bool says_more =
        std::any_of(part.schema->items().begin(), part.schema->items().end(), [&](const auto& member) {
          if (member.key() == "type" && target.schema->is_object()) {
            const Json* type = Find(*target.schema, "type");
            return type == nullptr || *type != member.value();
          }
          return member.key() != "$ref" && member.key() != "$defs" && member.key() != "definitions" &&
                 !IsAnnotation(member.key());
        });
    if (says_more) break;
    CheckKeywordsOf(part);
    part = target;
  }
  return part;
}

void SchemaLowering::CheckKeywordsOf(const SchemaPart& part) {
  if (checked_.insert(part.schema).second) CheckKeywords(*part.schema, part.path);
}

void SchemaLowering::CheckSize(const std::string& path) const {
  if (grammar_.Size() > kMaxNodes)
    throw WrongSchema(path,
                      fmt::format("and what comes before it need more than {} grammar nodes", kMaxNodes));
}

// The values of parts, or nothing.
std::optional<Grammar::Node> SchemaLowering::ValuesIfAny(const SchemaParts& parts) {
  try {
    return Values(parts);
  } catch (const NoValue&) {
    return std::nullopt;
  }
}

Grammar::Node SchemaLowering::Choice(std::vector<Grammar::Node> choices) {
  return choices.size() == 1 ? choices[0] : grammar_.Choice(std::move(choices));
}

Grammar::Node SchemaLowering::Alternative(const SchemaParts& parts) {
  for (const SchemaPart& part : parts) CheckKeywordsOf(part);
  const uint32_t types = TypesOf(parts);
  const std::string path = parts.empty() ? "#" : parts[0].path;
  for (const SchemaPart& part : parts) {
    if (Find(*part.schema, "enum") != nullptr || Find(*part.schema, "const") != nullptr)
      return Listed(part, parts, types);
  }
  std::vector<Grammar::Node> choices;
  std::optional<Error> why_not;
  const auto add = [&](uint32_t type, const auto& lower) {
    if ((types & type) == 0) return;
    try {
      choices.push_back(lower());
    } catch (const NoValue& nothing) {
      why_not = nothing.why;
    }
  };
  const std::vector<Json> except = ExceptOf(parts);
  const auto literal = [&](const Json& value) {
    const bool is_allowed = std::find(except.begin(), except.end(), value) == except.end();
    if (is_allowed) choices.push_back(grammar_.Bytes(style_.Write(value)));
  };
  if ((types & kNull) != 0) literal(nullptr);
  if ((types & kBoolean) != 0) literal(false), literal(true);
  if ((types & (kInteger | kFraction)) == kFraction)
    throw UnsupportedSchema(path, "excludes whole numbers alone by a not, a oneOf or an if");
  add(kInteger | kFraction, [&] { return Number(parts, (types & kFraction) == 0); });
  add(kString, [&] { return String(parts); });
  for (const Json& value : except) {
    if (value.is_structured() && (types & TypeOf(value)) != 0)
      throw UnsupportedSchema(path, "excludes an array or an object by a not, a oneOf or an if");
  }
  add(kArray, [&] { return Array(parts); });
  add(kObject, [&] { return Object(parts); });
  if (choices.empty()) throw NoValue{why_not.value_or(WrongSchema(path, "allows no value"))};
  return Choice(std::move(choices));
}

// The values of an enum that all parts allow.
Grammar::Node SchemaLowering::Listed(const SchemaPart& list, const SchemaParts& parts, uint32_t types) {
  const Json* constant = Find(*list.schema, "const");
  const Json single = constant == nullptr ? Json() : Json::array({*constant});
  const Json& values = constant == nullptr ? *Find(*list.schema, "enum") : single;
  if (!values.is_array()) throw WrongSchema(list.path + "/enum", "must be an array");
  if (values.size() > kMaxValues)
    throw WrongSchema(list.path + "/enum", fmt::format("has more than {} values", kMaxValues));
  uint32_t listed = 0;
  for (const Json& value : values) listed |= TypeOf(value);
  int lists = 0;
  bool has_more = false;
  for (const SchemaPart& part : parts) {
    for (const auto& [keyword, value] : part.schema->items()) {
      const bool is_list = keyword == "enum" || keyword == "const";
      lists += is_list;
      const uint32_t about = TypesOfKeyword(keyword);
      if (about != 0 && (about & listed) == 0) continue;
      has_more =
          has_more || !(is_list || keyword == "type" || IsAnnotation(keyword) || IsCombination(keyword));
    }
  }
  has_more = has_more || lists > 1 || HasAny(parts, {kExcept, kNotPattern});
  const Json* known = constant == nullptr ? &values : constant;
  SchemaDocument::Check check;
  if (has_more) check = document_.CheckOf(parts, listed, known);
  std::vector<Grammar::Node> choices;
  for (const Json& value : values) {
    if ((types & TypeOf(value)) == 0 || !check.Allows(value)) continue;
    const bool has_quote = !style_.IsJson() && value.dump().find(style_.quote) != std::string::npos;
    if (has_quote) continue;
    choices.push_back(grammar_.Bytes(style_.Write(value)));
  }
  if (choices.empty()) throw NoValue{WrongSchema(list.path, "allows no value")};
  return Choice(std::move(choices));
}

// Strings and numbers with the same limits are the same everywhere.
Grammar::Node SchemaLowering::String(const SchemaParts& parts) {
  if (!style_.IsJson()) {
    const Grammar::Node quote = grammar_.Bytes(style_.quote);
    return grammar_.Sequence({quote, LowerPlainString(parts, style_.quote, grammar_), quote});
  }
  std::string key = "string";
  for (const char* keyword : {"minLength", "maxLength", "pattern", "format", kExcept, kNotPattern})
    AddToKey(parts, keyword, key);
  const auto found = scalars_.find(key);
  if (found != scalars_.end()) return found->second;
  return scalars_[key] = LowerString(parts, grammar_);
}

Grammar::Node SchemaLowering::Number(const SchemaParts& parts, bool whole) {
  std::string key = whole ? "integer" : "number";
  for (const char* keyword :
       {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", kExcept})
    AddToKey(parts, keyword, key);
  const auto found = scalars_.find(key);
  if (found != scalars_.end()) return found->second;
  return scalars_[key] = LowerNumber(parts, whole, grammar_);
}

}  // namespace throng::llm
