#include "llm/answer/schema_check.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "llm/answer/pattern_check.h"
#include "llm/json_type.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxDepth = 200;  // of references and values while judging
constexpr size_t kMaxShown = 60;

const std::set<std::string_view> kAnnotations = {
    "title",         "description", "default",         "examples",
    "deprecated",    "readOnly",    "writeOnly",       "$schema",
    "$id",           "$comment",    "format",          "contentSchema",
    "$defs",         "definitions", "contentEncoding", "contentMediaType",
    "discriminator", "strict"};
const std::set<std::string_view> kSchemas = {"not",   "if",       "then",          "else",
                                             "items", "contains", "propertyNames", "additionalProperties"};
const std::set<std::string_view> kSchemaLists = {"allOf", "anyOf", "oneOf", "prefixItems"};
const std::set<std::string_view> kSchemaMaps = {"properties", "patternProperties", "dependentSchemas",
                                                "$defs", "definitions"};
const std::set<std::string_view> kCounts = {"minLength",     "maxLength",     "minItems",    "maxItems",
                                            "minProperties", "maxProperties", "minContains", "maxContains"};
const std::set<std::string_view> kNumbers = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
                                             "multipleOf"};
const std::set<std::string_view> kTypes = {"object",  "array",   "string", "number",
                                           "integer", "boolean", "null"};

// Exact for all 64-bit integers and doubles.
long double NumberOf(const Json& value) {
  if (value.is_number_unsigned()) return static_cast<long double>(value.get<uint64_t>());
  if (value.is_number_integer()) return static_cast<long double>(value.get<int64_t>());
  return static_cast<long double>(value.get<double>());
}

// Equal as JSON Schema says: 1 is 1.0, and the order of keys does not count.
bool Equal(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return NumberOf(a) == NumberOf(b);
  if (a.type() != b.type()) return false;
  if (a.is_array()) return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), Equal);
  if (!a.is_object()) return a == b;
  if (a.size() != b.size()) return false;
  return std::all_of(a.items().begin(), a.items().end(), [&](const auto& member) {
    const auto other = b.find(member.key());
    return other != b.end() && Equal(member.value(), *other);
  });
}

size_t CodePoints(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(),
                                           [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

std::string Shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= kMaxShown) return text;
  return value.is_object() ? "an object" : value.is_array() ? "an array" : text.substr(0, kMaxShown) + "...";
}

}  // namespace

class SchemaCheck::Judge {
 public:
  Judge(std::string_view text, bool explains) : explains_(explains) {
    root_ = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (root_.is_discarded()) throw MakeError(ErrorCode::kInvalid, "JSON schema: it is not JSON");
    CheckSchema(root_, "#", 0);
  }

  const Json& Root() const { return root_; }

  // Empty if the schema allows the value.
  std::string Check(const Json& schema, const Json& value, const std::string& at, int depth) const {
    if (depth > kMaxDepth) return At(at) + " is nested too deeply";
    if (schema.is_boolean()) return schema.get<bool>() ? "" : At(at) + " is not allowed";
    std::string wrong = CheckOwn(schema, value, at);
    if (wrong.empty()) wrong = CheckCombined(schema, value, at, depth + 1);
    if (wrong.empty() && value.is_object()) wrong = CheckObject(schema, value, at, depth + 1);
    if (wrong.empty() && value.is_array()) wrong = CheckArray(schema, value, at, depth + 1);
    return wrong;
  }

  Json InForm(const Json& schema, const Json& value, int depth) const {
    if (!schema.is_object() || depth > kMaxDepth) return value;
    Json out = value;
    if (schema.contains("$ref")) out = InForm(*Target(schema["$ref"]), out, depth + 1);
    for (const char* keyword : {"allOf", "anyOf", "oneOf"}) {
      if (!schema.contains(keyword)) continue;
      for (const Json& part : schema[keyword]) {
        if (!Check(part, value, "", depth + 1).empty()) continue;
        out = InForm(part, out, depth + 1);
        if (keyword != std::string_view("allOf")) break;
      }
    }
    if (out.is_number_float() && AsksForInteger(schema) && std::abs(out.get<double>()) < 0x1p63 &&
        IsWhole(out)) {
      return static_cast<int64_t>(out.get<double>());
    }
    if (out.is_array()) return ArrayInForm(schema, out, depth);
    if (out.is_object()) return ObjectInForm(schema, out, depth);
    return out;
  }

 private:
  static std::string At(const std::string& at) { return at.empty() ? "the answer" : at; }

  // allowed(): words for it.
  template <typename Allowed>
  std::string Not(const Json& value, const std::string& at, const Allowed& allowed) const {
    if (!explains_) return "not allowed";
    return fmt::format("{} is {}, allowed is {}", At(at), Shown(value), allowed());
  }

  [[noreturn]] static void Wrong(const std::string& path, std::string_view must) {
    throw MakeError(ErrorCode::kInvalid, "JSON schema: {} must be {}", path, must);
  }

  // Refuses what could not be judged later.
  void CheckSchema(const Json& schema, const std::string& path, int depth) {
    if (depth > kMaxDepth) throw MakeError(ErrorCode::kInvalid, "JSON schema: {} is nested too deeply", path);
    if (schema.is_boolean()) return;
    if (!schema.is_object()) Wrong(path, "an object, true or false");
    for (const auto& [name, value] : schema.items()) CheckKeyword(name, value, path + "/" + name, depth);
  }

  void CheckKeyword(const std::string& name, const Json& value, const std::string& path, int depth) {
    if (kSchemas.contains(name)) return CheckSchema(value, path, depth + 1);
    if (kSchemaLists.contains(name)) {
      if (!value.is_array() || value.empty()) Wrong(path, "a list of schemas");
      for (size_t i = 0; i < value.size(); ++i)
        CheckSchema(value[i], fmt::format("{}/{}", path, i), depth + 1);
      return;
    }
    if (kSchemaMaps.contains(name)) {
      if (!value.is_object()) Wrong(path, "an object of schemas");
      for (const auto& [key, part] : value.items()) {
        if (name == "patternProperties") Compile(key, path);
        CheckSchema(part, path + "/" + key, depth + 1);
      }
      return;
    }
    if (kCounts.contains(name)) {
      if (!IsWhole(value) || NumberOf(value) < 0) Wrong(path, "a whole number from 0");
      return;
    }
    if (kNumbers.contains(name)) {
      if (!value.is_number() || (name == "multipleOf" && NumberOf(value) <= 0)) Wrong(path, "a number");
      return;
    }
    if (name == "type") return CheckType(value, path);
    if (name == "enum") {
      if (!value.is_array() || value.empty()) Wrong(path, "a list that is not empty");
    } else if (name == "required") {
      CheckNames(value, path);
    } else if (name == "dependentRequired") {
      if (!value.is_object()) Wrong(path, "an object of lists of names");
      for (const auto& [key, names] : value.items()) CheckNames(names, path + "/" + key);
    } else if (name == "uniqueItems") {
      if (!value.is_boolean()) Wrong(path, "true or false");
    } else if (name == "pattern") {
      if (!value.is_string()) Wrong(path, "a string");
      Compile(value.get<std::string>(), path);
    } else if (name == "$ref") {
      if (!value.is_string() || Target(value) == nullptr)
        Wrong(path, "a pointer into this schema, such as #/$defs/a");
    } else if (name != "const" && !kAnnotations.contains(name)) {
      throw MakeError(ErrorCode::kUnsupported, "JSON schema: {} is not supported", path);
    }
  }

  static void CheckType(const Json& value, const std::string& path) {
    const auto known = [](const Json& type) {
      return type.is_string() && kTypes.contains(type.get_ref<const std::string&>());
    };
    const bool good =
        value.is_array() ? !value.empty() && std::all_of(value.begin(), value.end(), known) : known(value);
    if (!good) Wrong(path, fmt::format("one or several of {}", fmt::join(kTypes, ", ")));
  }

  static void CheckNames(const Json& names, const std::string& path) {
    const auto is_name = [](const Json& name) { return name.is_string(); };
    if (!names.is_array() || !std::all_of(names.begin(), names.end(), is_name))
      Wrong(path, "a list of names");
  }

  void Compile(const std::string& pattern, const std::string& path) {
    if (patterns_.contains(pattern)) return;
    patterns_.emplace(pattern, std::make_unique<PatternCheck>(pattern, "JSON schema: " + path));
  }

  // Null if the reference leads nowhere.
  const Json* Target(const Json& reference) const {
    const auto& text = reference.get_ref<const std::string&>();
    if (!text.starts_with('#')) return nullptr;
    try {
      return &root_.at(Json::json_pointer(text.substr(1)));
    } catch (const Json::exception&) {
      return nullptr;
    }
  }

  std::string CheckTypeOf(const Json& types, const Json& value, const std::string& at) const {
    const auto fits = [&](const Json& type) { return HasType(value, type.get_ref<const std::string&>()); };
    if (types.is_string() ? fits(types) : std::any_of(types.begin(), types.end(), fits)) return "";
    return Not(value, at, [&] {
      std::string names;
      for (const Json& type : types.is_string() ? Json::array({types}) : types) {
        const auto name = type.get<std::string>();
        const bool vowel = name == "object" || name == "array" || name == "integer";
        names += (names.empty() ? "" : " or ") +
                 std::string(name == "null" ? ""
                             : vowel        ? "an "
                                            : "a ") +
                 name;
      }
      return names;
    });
  }

  // The keywords that look at the value alone.
  std::string CheckOwn(const Json& schema, const Json& value, const std::string& at) const {
    const auto find = [&](const char* keyword) -> const Json* {
      const auto found = schema.find(keyword);
      return found == schema.end() ? nullptr : &*found;
    };
    if (const Json* types = find("type")) {
      if (std::string wrong = CheckTypeOf(*types, value, at); !wrong.empty()) return wrong;
    }
    if (const Json* only = find("const"); only != nullptr && !Equal(*only, value))
      return Not(value, at, [&] { return Shown(*only); });
    if (const Json* list = find("enum")) {
      if (std::none_of(list->begin(), list->end(), [&](const Json& one) { return Equal(one, value); })) {
        return Not(value, at, [&] {
          std::string allowed = list->size() > 1 ? "one of " : "";
          for (const Json& one : *list) allowed += (&one == &list->front() ? "" : ", ") + Shown(one);
          return allowed;
        });
      }
    }
    if (value.is_number()) return CheckNumber(schema, value, at);
    if (!value.is_string()) return "";
    const auto& text = value.get_ref<const std::string&>();
    const auto length = static_cast<long double>(CodePoints(text));
    if (const Json* least = find("minLength"); least != nullptr && length < NumberOf(*least))
      return Not(value, at, [&] { return fmt::format("a text of at least {} characters", least->dump()); });
    if (const Json* most = find("maxLength"); most != nullptr && length > NumberOf(*most))
      return Not(value, at, [&] { return fmt::format("a text of at most {} characters", most->dump()); });
    if (const Json* pattern = find("pattern"); pattern != nullptr && !patterns_.at(*pattern)->Finds(text))
      return Not(value, at,
                 [&] { return fmt::format("a text that matches {}", pattern->get<std::string>()); });
    return "";
  }

  std::string CheckNumber(const Json& schema, const Json& value, const std::string& at) const {
    const long double number = NumberOf(value);
    const auto breaks = [&](const char* keyword, auto holds) {
      const auto bound = schema.find(keyword);
      return bound != schema.end() && !holds(NumberOf(*bound));
    };
    const auto bounded = [&](const char* keyword, const char* words) {
      return Not(value, at, [&] { return fmt::format("{} {}", words, schema[keyword].dump()); });
    };
    if (breaks("minimum", [&](long double bound) { return number >= bound; }))
      return bounded("minimum", "at least");
    if (breaks("maximum", [&](long double bound) { return number <= bound; }))
      return bounded("maximum", "at most");
    if (breaks("exclusiveMinimum", [&](long double bound) { return number > bound; }))
      return bounded("exclusiveMinimum", "more than");
    if (breaks("exclusiveMaximum", [&](long double bound) { return number < bound; }))
      return bounded("exclusiveMaximum", "less than");
    // Decimal fractions are not exact in binary: 0.3 is a multiple of 0.1.
    const auto is_multiple = [&](long double of) {
      const long double times = number / of;
      return std::abs(times - std::round(times)) <= 1e-9L * std::max(1.0L, std::abs(times));
    };
    if (breaks("multipleOf", is_multiple)) return bounded("multipleOf", "a multiple of");
    return "";
  }

  std::string CheckCombined(const Json& schema, const Json& value, const std::string& at, int depth) const {
    if (schema.contains("$ref")) {
      if (std::string wrong = Check(*Target(schema["$ref"]), value, at, depth); !wrong.empty()) return wrong;
    }
    if (schema.contains("allOf")) {
      for (const Json& part : schema["allOf"]) {
        if (std::string wrong = Check(part, value, at, depth); !wrong.empty()) return wrong;
      }
    }
    for (const char* keyword : {"anyOf", "oneOf"}) {
      if (!schema.contains(keyword)) continue;
      std::string first;
      int fitting = 0;
      for (const Json& part : schema[keyword]) {
        const std::string wrong = Check(part, value, at, depth);
        fitting += wrong.empty();
        if (first.empty()) first = wrong;
      }
      if (fitting == 0) return schema[keyword].size() == 1 ? first : first + ", or another of the forms";
      if (fitting > 1 && keyword == std::string_view("oneOf"))
        return Not(value, at, [] { return "what has one of the forms only"; });
    }
    if (schema.contains("not") && Check(schema["not"], value, at, depth).empty())
      return Not(value, at, [] { return "anything else"; });
    if (schema.contains("if")) {
      const char* branch = Check(schema["if"], value, at, depth).empty() ? "then" : "else";
      if (schema.contains(branch)) return Check(schema[branch], value, at, depth);
    }
    return "";
  }

  std::string CheckObject(const Json& schema, const Json& value, const std::string& at, int depth) const {
    const auto requires_key = [&](const Json& names) -> std::string {
      for (const Json& name : names) {
        if (!value.contains(name.get_ref<const std::string&>()))
          return fmt::format("{} has no {}", At(at), name.dump());
      }
      return "";
    };
    std::string wrong = schema.contains("required") ? requires_key(schema["required"]) : "";
    for (const char* keyword : {"dependentRequired", "dependentSchemas"}) {
      if (!wrong.empty() || !schema.contains(keyword)) continue;
      for (const auto& [key, part] : schema[keyword].items()) {
        if (!wrong.empty() || !value.contains(key)) continue;
        wrong = part.is_array() ? requires_key(part) : Check(part, value, at, depth);
      }
    }
    if (wrong.empty()) wrong = CheckCount(schema, "Properties", value.size(), at, "keys");
    for (const auto& [key, member] : value.items()) {
      if (!wrong.empty()) return wrong;
      wrong = CheckMember(schema, key, member, at + "/" + key, depth);
    }
    return wrong;
  }

  std::string CheckMember(const Json& schema, const std::string& key, const Json& member,
                          const std::string& at, int depth) const {
    bool known = false;
    std::string wrong;
    if (schema.contains("propertyNames"))
      wrong = Check(schema["propertyNames"], key, at + " (the key)", depth);
    if (const auto properties = schema.find("properties");
        properties != schema.end() && properties->contains(key)) {
      known = true;
      if (wrong.empty()) wrong = Check((*properties)[key], member, at, depth);
    }
    if (schema.contains("patternProperties")) {
      for (const auto& [pattern, part] : schema["patternProperties"].items()) {
        if (!patterns_.at(pattern)->Finds(key)) continue;
        known = true;
        if (wrong.empty()) wrong = Check(part, member, at, depth);
      }
    }
    if (!known && wrong.empty() && schema.contains("additionalProperties"))
      wrong = Check(schema["additionalProperties"], member, at, depth);
    return wrong;
  }

  std::string CheckArray(const Json& schema, const Json& value, const std::string& at, int depth) const {
    std::string wrong = CheckCount(schema, "Items", value.size(), at, "items");
    const auto prefix = schema.find("prefixItems");
    const size_t ordered = prefix == schema.end() ? 0 : prefix->size();
    size_t contained = 0;
    for (size_t i = 0; i < value.size() && wrong.empty(); ++i) {
      const std::string item = fmt::format("{}/{}", at, i);
      if (i < ordered) {
        wrong = Check((*prefix)[i], value[i], item, depth);
      } else if (schema.contains("items")) {
        wrong = Check(schema["items"], value[i], item, depth);
      }
      if (schema.contains("contains")) contained += Check(schema["contains"], value[i], item, depth).empty();
      if (wrong.empty() && schema.value("uniqueItems", false) &&
          std::any_of(value.begin(), value.begin() + static_cast<ptrdiff_t>(i),
                      [&](const Json& before) { return Equal(before, value[i]); })) {
        wrong = item + " is there twice";
      }
    }
    if (!wrong.empty() || !schema.contains("contains")) return wrong;
    const long double least = schema.contains("minContains") ? NumberOf(schema["minContains"]) : 1;
    const bool too_many = schema.contains("maxContains") && contained > NumberOf(schema["maxContains"]);
    if (static_cast<long double>(contained) >= least && !too_many) return "";
    return fmt::format("{} has {} items of the form that it must contain", At(at), contained);
  }

  // suffix: of minItems and maxItems, minProperties and maxProperties.
  static std::string CheckCount(const Json& schema, const char* suffix, size_t count, const std::string& at,
                                const char* things) {
    const auto least = schema.find(fmt::format("min{}", suffix));
    const auto most = schema.find(fmt::format("max{}", suffix));
    if (least != schema.end() && static_cast<long double>(count) < NumberOf(*least))
      return fmt::format("{} has {} {}, allowed are at least {}", At(at), count, things, least->dump());
    if (most != schema.end() && static_cast<long double>(count) > NumberOf(*most))
      return fmt::format("{} has {} {}, allowed are at most {}", At(at), count, things, most->dump());
    return "";
  }

  static bool AsksForInteger(const Json& schema) {
    const auto type = schema.find("type");
    if (type == schema.end()) return false;
    return *type == "integer" ||
           (type->is_array() && std::find(type->begin(), type->end(), "integer") != type->end() &&
            std::find(type->begin(), type->end(), "number") == type->end());
  }

  Json ArrayInForm(const Json& schema, const Json& value, int depth) const {
    const auto prefix = schema.find("prefixItems");
    Json out = Json::array();
    for (size_t i = 0; i < value.size(); ++i) {
      if (prefix != schema.end() && i < prefix->size()) {
        out.push_back(InForm((*prefix)[i], value[i], depth + 1));
      } else {
        out.push_back(schema.contains("items") ? InForm(schema["items"], value[i], depth + 1) : value[i]);
      }
    }
    return out;
  }

  Json ObjectInForm(const Json& schema, const Json& value, int depth) const {
    Json out = Json::object();
    if (schema.contains("properties")) {
      for (const auto& [name, part] : schema["properties"].items()) {
        if (value.contains(name)) out[name] = InForm(part, value[name], depth + 1);
      }
    }
    for (const auto& [name, member] : value.items()) {
      if (out.contains(name)) continue;
      out[name] = schema.contains("additionalProperties")
                      ? InForm(schema["additionalProperties"], member, depth + 1)
                      : member;
    }
    return out;
  }

  const bool explains_;
  Json root_;
  std::unordered_map<std::string, std::unique_ptr<PatternCheck>> patterns_;
};

SchemaCheck::SchemaCheck(std::string_view schema, bool explains)
    : judge_(std::make_unique<Judge>(schema, explains)) {}
SchemaCheck::~SchemaCheck() = default;

std::string SchemaCheck::WhatIsWrong(const Json& value) const {
  return judge_->Check(judge_->Root(), value, "", 0);
}

Json SchemaCheck::InForm(const Json& value) const { return judge_->InForm(judge_->Root(), value, 0); }

}  // namespace throng::llm
