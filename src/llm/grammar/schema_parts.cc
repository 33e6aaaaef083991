#include "llm/grammar/schema_parts.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "llm/effort.h"
#include "llm/grammar/schema_keywords.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxSchemaBytes = 1 << 20;
constexpr size_t kMaxCases = 256;  // alternatives of one value
constexpr const char* kMovedTo = "#/$defs/root";

std::string WithoutPercents(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    int value = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::sscanf(std::string(text.substr(i + 1, 2)).c_str(), "%2x", &value) == 1) {
      out.push_back(static_cast<char>(value));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

// Whether a schema is a const or an enum and, perhaps, the type of its values.
bool IsPlainList(const Json& schema) {
  if (!schema.is_object()) return false;
  const Json* values = Find(schema, "enum");
  if ((values != nullptr) == (Find(schema, "const") != nullptr)) return false;
  if (values != nullptr && (!values->is_array() || values->empty())) return false;
  return std::all_of(schema.items().begin(), schema.items().end(), [](const auto& member) {
    return member.key() == "enum" || member.key() == "const" || member.key() == "type" ||
           IsAnnotation(member.key());
  });
}

}  // namespace

Error WrongSchema(std::string_view path, std::string_view what) {
  return MakeError(ErrorCode::kInvalid, "JSON schema: {} {}", path, what);
}

Error UnsupportedSchema(std::string_view path, std::string_view what) {
  return MakeError(ErrorCode::kUnsupported, "JSON schema: {} {}", path, what);
}

const Json* Find(const Json& schema, const char* keyword) {
  const auto found = schema.find(keyword);
  return found == schema.end() ? nullptr : &*found;
}

SchemaDocument::SchemaDocument(std::string_view text) {
  if (text.size() > kMaxSchemaBytes) {
    throw MakeError(ErrorCode::kInvalid, "JSON schema: it has {} bytes, more than {}", text.size(),
                    kMaxSchemaBytes);
  }
  // The parser keeps its own stack; what reads the result recurses.
  int deepest = 0;
  const auto measure = [&](int depth, Json::parse_event_t, Json&) {
    deepest = std::max(deepest, depth);
    return depth <= 2 * kMaxDepth;
  };
  root_ = Json::parse(text, measure, /*allow_exceptions=*/false);
  if (deepest > 2 * kMaxDepth) throw WrongSchema("#", "is nested too deeply");
  if (root_.is_discarded()) throw MakeError(ErrorCode::kInvalid, "JSON schema: it is not JSON");
  std::vector<std::string> path;
  FindNames(root_, path);
}

// path: the steps from the root to the value, as a pointer has them unescaped.
void SchemaDocument::FindNames(const Json& value, std::vector<std::string>& path) {
  if (value.is_object()) {
    for (const char* keyword : {"$id", "id", "$anchor"}) {
      const Json* name = Find(value, keyword);
      if (name == nullptr || !name->is_string()) continue;
      std::string pointer = "#";
      for (const std::string& step : path) pointer += "/" + EscapedForPointer(step);
      const std::string text = *name;
      names_.try_emplace(std::string_view(keyword) == "$anchor" ? "#" + text : text,
                         SchemaPart{&value, std::move(pointer)});
    }
  }
  if (!value.is_structured()) return;
  for (const auto& [key, member] : value.items()) {
    if (!member.is_structured()) continue;
    path.push_back(key);
    FindNames(member, path);
    path.pop_back();
  }
}

const Json* SchemaDocument::Make(Json schema) { return &made_.emplace_back(std::move(schema)); }

SchemaPart SchemaDocument::Target(const Json& reference, const std::string& path) {
  if (!reference.is_string()) throw WrongSchema(path, "must be a string");
  const std::string text = reference;
  const auto named = names_.find(text);
  if (named != names_.end()) return named->second;
  const size_t hash = text.find('#');
  std::string base = text.substr(0, hash);
  SchemaPart from = Root();
  if (!base.empty()) {
    auto found = names_.find(base);
    if (found == names_.end()) found = names_.find(base + "#");
    if (found == names_.end())
      throw UnsupportedSchema(path, fmt::format("refers to {:?}, which is not in the schema", text));
    from = found->second;
  }
  const std::string fragment = hash == text.npos ? "" : WithoutPercents(text.substr(hash + 1));
  if (fragment.empty()) return from;
  if (fragment[0] != '/')
    throw WrongSchema(path, fmt::format("refers to {:?}, which is not in the schema", text));
  const Json* target = from.schema;
  for (size_t begin = 1; begin <= fragment.size() && target != nullptr;) {
    const size_t end = std::min(fragment.find('/', begin), fragment.size());
    const std::string key = UnescapedFromPointer(fragment.substr(begin, end - begin));
    if (target->is_array()) {
      const size_t index = key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != key.npos
                               ? target->size()
                               : std::stoul(key);
      target = index < target->size() ? &(*target)[index] : nullptr;
    } else {
      target = target->is_object() ? Find(*target, key.c_str()) : nullptr;
    }
    begin = end + 1;
  }
  if (target == nullptr)
    throw WrongSchema(path, fmt::format("refers to {:?}, which is not in the schema", text));
  return {target, from.path + fragment};
}

SchemaDocument::Cases SchemaDocument::And(const Cases& a, const Cases& b, const std::string& path) const {
  if (a.size() * b.size() > kMaxCases) {
    throw UnsupportedSchema(path, fmt::format("combines to more than {} alternatives", kMaxCases));
  }
  const auto add = [](SchemaParts& to, const SchemaParts& from) {
    for (const SchemaPart& part : from) {
      const auto is_same = [&](const SchemaPart& other) { return other.schema == part.schema; };
      if (std::none_of(to.begin(), to.end(), is_same)) to.push_back(part);
    }
  };
  Cases both;
  for (const Case& left : a) {
    for (const Case& right : b) {
      Effort::Spend(1 + left.parts.size() + left.excluded.size() + right.parts.size() +
                    right.excluded.size());
      Case& one = both.emplace_back(left);
      add(one.parts, right.parts);
      add(one.excluded, right.excluded);
    }
  }
  return both;
}

SchemaDocument::Cases SchemaDocument::ExpandAll(const SchemaParts& parts) {
  Cases cases = {{}};
  for (const SchemaPart& part : parts) cases = And(cases, Expand(part), part.path);
  return cases;
}

// Each schema once: those that a oneOf excludes are asked for by each of its other branches.
const SchemaDocument::Cases& SchemaDocument::Expand(const SchemaPart& part) {
  static const Cases kAll = {{}}, kNothing;
  const Json* schema = part.schema;
  const std::string& path = part.path;
  if (*schema == Json(true)) return kAll;
  if (*schema == Json(false)) return kNothing;
  if (const auto found = expanded_.find(schema); found != expanded_.end()) return found->second;
  if (!schema->is_object()) throw WrongSchema(path, "must be an object or a boolean");
  if (std::find(path_.begin(), path_.end(), schema) != path_.end())
    throw UnsupportedSchema(path, "refers to itself without a property or an item between");
  if (path_.size() > kMaxDepth) throw WrongSchema(path, "is nested too deeply");
  Effort::Spend(8);
  if (++steps_ > kMaxSteps)
    throw UnsupportedSchema(path, fmt::format("and the rest need more than {} steps to combine", kMaxSteps));
  path_.push_back(schema);

  Cases cases = {{{part}, {}}};
  const auto list = [&](const char* keyword) {
    const Json& parts = *Find(*schema, keyword);
    const std::string where = fmt::format("{}/{}", path, keyword);
    if (!parts.is_array() || parts.empty()) throw WrongSchema(where, "must be an array that is not empty");
    SchemaParts all;
    for (size_t i = 0; i < parts.size(); ++i) all.push_back({&parts[i], fmt::format("{}/{}", where, i)});
    return all;
  };
  if (const Json* reference = Find(*schema, "$ref"))
    cases = And(cases, Expand(Target(*reference, path + "/$ref")), path);
  if (Find(*schema, "allOf") != nullptr) cases = And(cases, ExpandAll(list("allOf")), path + "/allOf");
  if (Find(*schema, "anyOf") != nullptr) {
    Cases any;
    for (const SchemaPart& one : WithListsMerged(list("anyOf"), path + "/anyOf")) {
      const Cases& more = Expand(one);
      any.insert(any.end(), more.begin(), more.end());
    }
    cases = And(cases, any, path + "/anyOf");
  }
  if (Find(*schema, "oneOf") != nullptr) {
    Cases one;
    const SchemaParts parts = list("oneOf");
    for (size_t i = 0; i < parts.size(); ++i) {
      for (Case option : Expand(parts[i])) {
        for (size_t j = 0; j < parts.size(); ++j)
          if (j != i) option.excluded.push_back(parts[j]);
        one.push_back(std::move(option));
      }
    }
    cases = And(cases, one, path + "/oneOf");
  }
  if (const Json* no = Find(*schema, "not")) cases = And(cases, {{{}, {{no, path + "/not"}}}}, path);
  if (Find(*schema, "if") != nullptr) cases = And(cases, IfThenElse(part), path + "/if");
  for (const char* keyword : {"dependentRequired", "dependentSchemas", "dependencies"}) {
    if (const Json* map = Find(*schema, keyword))
      cases = And(cases, Dependencies({map, fmt::format("{}/{}", path, keyword)}), path);
  }
  path_.pop_back();
  return expanded_[schema] = std::move(cases);
}

// Branches that only list values, as one: hundreds of them are common, and multiplied by other alternatives.
SchemaParts SchemaDocument::WithListsMerged(const SchemaParts& any, const std::string& where) {
  SchemaParts lists, merged;
  for (const SchemaPart& one : any) (IsPlainList(*one.schema) ? lists : merged).push_back(one);
  if (lists.size() < 2) return any;
  const Json*& whole = merged_[lists[0].schema];
  if (whole == nullptr) {
    Json values = Json::array();
    for (const SchemaPart& one : lists) {
      CheckKeywords(*one.schema, one.path);
      const Json* constant = Find(*one.schema, "const");
      const Json some = constant == nullptr ? *Find(*one.schema, "enum") : Json::array({*constant});
      const uint32_t types = NamedTypesOf({one});
      for (const Json& value : some)
        if ((types & TypeOf(value)) != 0) values.push_back(value);
      Effort::Spend(some.size());
    }
    whole = Make({{"enum", values}});
  }
  merged.push_back({whole, where});
  return merged;
}

SchemaDocument::Cases SchemaDocument::IfThenElse(const SchemaPart& part) {
  const Json* schema = part.schema;
  const std::string& path = part.path;
  const SchemaPart condition = {Find(*schema, "if"), path + "/if"};
  const auto branch = [&](const char* keyword) -> Cases {
    const Json* then = Find(*schema, keyword);
    return then == nullptr ? Cases{{}} : Expand({then, fmt::format("{}/{}", path, keyword)});
  };
  Cases cases = And(Expand(condition), branch("then"), path);
  const Cases otherwise = And({{{}, {condition}}}, branch("else"), path);
  cases.insert(cases.end(), otherwise.begin(), otherwise.end());
  return cases;
}

// Of each name: it is absent, or it is there and what depends on it holds.
SchemaDocument::Cases SchemaDocument::Dependencies(const SchemaPart& part) {
  const auto& [map, path] = part;
  if (!map->is_object()) throw WrongSchema(path, "must be an object");
  Cases cases = {{}};
  for (const auto& [name, needed] : map->items()) {
    const std::string where = path + "/" + EscapedForPointer(name);
    Json required = Json::array({name});
    Cases rest = {{}};
    if (needed.is_array()) {
      required.insert(required.end(), needed.begin(), needed.end());
    } else {
      rest = Expand({&needed, where});
    }
    const Cases there = And({{{{Make({{"required", required}}), where}}, {}}}, rest, where);
    Cases either = {{{{Make({{"properties", {{name, false}}}}), where}}, {}}};
    either.insert(either.end(), there.begin(), there.end());
    cases = And(cases, either, where);
  }
  return cases;
}

std::vector<SchemaParts> SchemaDocument::Alternatives(const SchemaParts& all) {
  steps_ = 0;
  std::vector<SchemaParts> alternatives;
  Cases work = ExpandAll(all);
  std::reverse(work.begin(), work.end());  // the first comes last, and is taken first
  size_t seen = 0;
  while (!work.empty()) {
    if (++seen > 4 * kMaxCases)
      throw UnsupportedSchema(all[0].path, fmt::format("combines to more than {} alternatives", kMaxCases));
    Case one = std::move(work.back());
    work.pop_back();
    // Some are excluded already by what the answer is so far. Not for good: the parts that exclude others can
    // name members, which it may then have, too.
    SchemaParts dismissed;
    while (!one.excluded.empty() && AreDisjoint({{one.parts, {}}}, Expand(one.excluded.back()), 0)) {
      dismissed.push_back(std::move(one.excluded.back()));
      one.excluded.pop_back();
    }
    if (one.excluded.empty()) {
      alternatives.push_back(std::move(one.parts));
      continue;
    }
    const SchemaPart excluded = one.excluded.back();
    one.excluded.pop_back();
    one.excluded.insert(one.excluded.end(), dismissed.begin(), dismissed.end());
    Cases rest = And({one}, Negate(excluded, one.parts), excluded.path);
    std::reverse(rest.begin(), rest.end());
    for (Case& next : rest)
      if (NamedTypesOf(next.parts) != 0) work.push_back(std::move(next));
  }
  return alternatives;
}

// With references as pointers to where CheckOf moves the document.
Json SchemaDocument::Moved(const Json& value, const std::string& path) {
  if (!value.is_structured()) return value;
  Json moved = value;
  for (auto it = moved.begin(); it != moved.end(); ++it) {
    const bool is_reference = moved.is_object() && it.key() == "$ref" && it->is_string();
    *it = is_reference ? Json(kMovedTo + Target(*it, path + "/$ref").path.substr(1)) : Moved(*it, path);
  }
  return moved;
}

bool SchemaDocument::Check::Allows(const Json& value) const {
  Effort::Spend(1);
  return std::all_of(parts_.begin(), parts_.end(),
                     [&](const SchemaCheck* part) { return part->WhatIsWrong(value).empty(); });
}

SchemaDocument::Check SchemaDocument::CheckOf(const SchemaParts& parts, uint32_t types, const Json* known) {
  Check check;
  for (const SchemaPart& part : parts)
    if (const SchemaCheck* one = CheckOf(part, types, known)) check.parts_.push_back(one);
  return check;
}

// What the part says by itself, and the document, moved to where references then point to.
const SchemaCheck* SchemaDocument::CheckOf(const SchemaPart& part, uint32_t types, const Json* known) {
  const auto key = std::make_tuple(part.schema, types, known);
  if (const auto found = checks_.find(key); found != checks_.end()) return found->second.get();
  Json one = Json::object();
  for (const auto& [keyword, value] : part.schema->items()) {
    if (keyword == kExcept) one["not"] = {{"enum", value}};
    if (keyword == kNotPattern) one["not"] = {{"pattern", value}};
    const uint32_t about = TypesOfKeyword(keyword);
    if (&value == known || (about != 0 && (about & types) == 0)) continue;
    if (!IsAnnotation(keyword) && !IsCombination(keyword)) one[keyword] = Moved(value, part.path);
  }
  std::unique_ptr<SchemaCheck> check;
  if (!one.empty()) {
    std::string text = one.dump();
    if (text.find(kMovedTo) != std::string::npos) {
      if (!moved_) moved_ = Moved(root_, "#");
      one["$defs"] = {{"root", *moved_}};
      text = one.dump();
    }
    Effort::Spend(text.size());
    check = std::make_unique<SchemaCheck>(text, /*explains=*/false);
  }
  return (checks_[key] = std::move(check)).get();
}

}  // namespace throng::llm
