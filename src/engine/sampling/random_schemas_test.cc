// Walks by the masks of random schemas, with all keywords, beside each other and nested: what they write is
// valid by an independent reading of the schema.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "engine/sampling/constrain.h"
#include "llm/answer/schema_check.h"
#include "llm/effort.h"

namespace throng::engine {
namespace {

using Json = nlohmann::ordered_json;

// Makes schemas whose keywords meet: small values, few names.
class RandomSchemas {
 public:
  explicit RandomSchemas(uint64_t seed) : rng_(seed, 0x5c4e) {}

  Json Root() {
    Json root = Schema(3);
    if (!root.is_object()) root = Json::object();
    root["$defs"] = {{"a", Schema(1)}, {"b", Schema(2)}};
    return root;
  }

 private:
  uint64_t Below(uint64_t n) { return rng_.NextBelow(n); }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  int64_t Small(int64_t most) { return static_cast<int64_t>(Below(static_cast<uint64_t>(most) + 1)); }
  Json Name() { return kNames[Below(4)]; }
  Json Names() {
    Json names = Json::array();
    for (const char* name : kNames)
      if (OneIn(3)) names.push_back(name);
    return names;
  }

  Json Value(int depth) {
    switch (Below(depth > 0 ? 7 : 5)) {
      case 0:
        return nullptr;
      case 1:
        return OneIn(2);
      case 2:
        return Small(6) - 2;
      case 3:
        return OneIn(2) ? "a" : "b\"é";
      case 4:
        return OneIn(2) ? Json(0.5) : Json("abc");
      case 5:
        return Json::array({Value(depth - 1), 1});
      default:
        return {{kNames[Below(4)], Value(depth - 1)}};
    }
  }

  Json List(int depth, uint64_t most) {
    Json list = Json::array();
    for (uint64_t i = 0; i <= Below(most); ++i) list.push_back(Schema(depth - 1));
    return list;
  }

  Json Schema(int depth) {
    if (OneIn(20)) return !OneIn(4);
    Json schema = Json::object();
    if (depth > 0 && OneIn(8)) schema["$ref"] = OneIn(3) ? "#" : OneIn(2) ? "#/$defs/a" : "#/$defs/b";
    if (!OneIn(5)) schema["type"] = Type(depth);
    const uint64_t groups = 1 + Below(2);
    for (uint64_t i = 0; i < groups; ++i) AddKeywords(schema, depth);
    if (depth > 0 && OneIn(3)) AddCombination(schema, depth);
    return schema;
  }

  Json Type(int depth) {
    const char* kTypes[] = {"null", "boolean", "integer", "number", "string", "array", "object"};
    const uint64_t kinds = depth > 0 ? 7 : 5;
    if (OneIn(4)) return Json::array({kTypes[Below(kinds)], kTypes[Below(kinds)]});
    return kTypes[depth > 0 && OneIn(2) ? 5 + Below(2) : Below(kinds)];
  }

  void AddKeywords(Json& schema, int depth) {
    const std::string type =
        schema.contains("type") && schema["type"].is_string() ? schema["type"] : Json("");
    if (OneIn(12)) schema["enum"] = Json::array({Value(1), Value(1), Value(1), Value(2)});
    if (OneIn(25)) schema["const"] = Value(1);
    if (type == "integer" || type == "number" || OneIn(8)) AddBounds(schema);
    if (type == "string" || OneIn(8)) AddLengths(schema);
    if (depth > 0 && (type == "array" || OneIn(10))) AddItems(schema, depth);
    if (depth > 0 && (type == "object" || OneIn(10))) AddMembers(schema, depth);
  }

  void AddBounds(Json& schema) {
    if (OneIn(2)) schema["minimum"] = Small(10) - 5;
    if (OneIn(3)) schema["maximum"] = Small(10) + (OneIn(3) ? 0.5 : 0);
    if (OneIn(6)) schema["exclusiveMinimum"] = Small(4) - 4;
    if (OneIn(6)) schema["exclusiveMaximum"] = Small(6);
    if (OneIn(6)) schema["multipleOf"] = OneIn(2) ? Json(3) : Json(0.25);
  }

  void AddLengths(Json& schema) {
    if (OneIn(2)) schema["minLength"] = Small(3);
    if (OneIn(2)) schema["maxLength"] = Small(5) + 1;
    const char* kPatterns[] = {"^a", "b$", "^[a-c]*$", "^(a|b\"|é)+$", "\\d", "^(?!ab).*$", "^.{2}"};
    if (OneIn(4)) schema["pattern"] = kPatterns[Below(7)];
  }

  void AddItems(Json& schema, int depth) {
    if (OneIn(2)) schema["items"] = Schema(depth - 1);
    if (OneIn(4)) schema["prefixItems"] = List(depth, 3);
    if (OneIn(3)) schema["minItems"] = Small(2);
    if (OneIn(2)) schema["maxItems"] = Small(3) + 1;
    if (OneIn(8)) schema["uniqueItems"] = true;
    if (!OneIn(8)) return;
    schema["contains"] = Schema(depth - 1);
    if (OneIn(3)) schema["minContains"] = Small(2);
    if (OneIn(3)) schema["maxContains"] = Small(2) + 1;
  }

  void AddMembers(Json& schema, int depth) {
    Json properties = Json::object();
    for (const char* name : kNames)
      if (OneIn(2)) properties[name] = Schema(depth - 1);
    if (!OneIn(5)) schema["properties"] = properties;
    if (OneIn(3)) schema["required"] = Names();
    if (OneIn(3)) schema["additionalProperties"] = OneIn(2) ? Json(false) : Schema(depth - 1);
    if (OneIn(8)) schema["patternProperties"] = {{"^[ab]", Schema(depth - 1)}, {"c$", Schema(depth - 1)}};
    if (OneIn(8)) schema["propertyNames"] = {{"maxLength", Small(3) + 1}};
    if (OneIn(8)) schema["minProperties"] = Small(3);
    if (OneIn(6)) schema["maxProperties"] = Small(3) + 1;
    if (OneIn(8)) schema["dependentRequired"] = {{kNames[Below(4)], Names()}};
    if (OneIn(12)) schema["dependentSchemas"] = {{kNames[Below(4)], Schema(depth - 1)}};
  }

  void AddCombination(Json& schema, int depth) {
    switch (Below(5)) {
      case 0:
        schema["allOf"] = List(depth, 2);
        break;
      case 1:
        schema["anyOf"] = List(depth, 3);
        break;
      case 2:
        schema["oneOf"] = List(depth, 3);
        break;
      case 3:
        schema["not"] = Schema(depth - 1);
        break;
      default:
        schema["if"] = Schema(depth - 1);
        if (!OneIn(4)) schema["then"] = Schema(depth - 1);
        if (OneIn(2)) schema["else"] = Schema(depth - 1);
    }
  }

  static constexpr const char* kNames[] = {"a", "b", "abc", "é\""};
  CounterRng rng_;
};

// All single bytes, and pieces of JSON with ends of values in them.
std::shared_ptr<const Vocabulary> Pieces() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (const char* piece :
       {"{\"", "\":", "\",\"", "}}", "]}", "\"}", "true", "null", "12", "aa", "é", "[{", "},{", "0.5",
        "\":\"", "abc", "ab", "\\\"", "a long piece of text that fits nowhere else"})
    tokens.emplace_back(piece);
  tokens.emplace_back();
  return std::make_shared<Vocabulary>(tokens, std::vector<int32_t>{static_cast<int32_t>(tokens.size() - 1)});
}

// Empty if it does not end soon.
std::string Walk(const std::shared_ptr<Constraint>& constraint, uint64_t seed) {
  constexpr int kPatience = 40, kMost = 600;
  const Vocabulary& vocabulary = constraint->GetVocabulary();
  Matcher matcher(constraint);
  CounterRng rng(seed, 3);
  std::vector<uint64_t> mask(vocabulary.MaskWords());
  std::string text;
  for (int step = 0; step < kMost; ++step) {
    matcher.AllowedTokens(mask);
    std::vector<int32_t> allowed;
    for (int32_t t = 0; t < static_cast<int32_t>(vocabulary.NumTokens()); ++t)
      if ((mask[static_cast<size_t>(t) / 64] >> (t & 63) & 1) != 0) allowed.push_back(t);
    EXPECT_FALSE(allowed.empty()) << text;
    if (allowed.empty()) return text;
    int32_t token = allowed[rng.NextBelow(allowed.size())];
    for (const char* closer : {"}", "]", "\""}) {
      const auto closes = [&](int32_t t) { return vocabulary.Bytes(t) == closer; };
      const auto found = std::find_if(allowed.begin(), allowed.end(), closes);
      if (step > kPatience && found != allowed.end()) token = *found;
    }
    if (step > kPatience && matcher.IsComplete()) token = vocabulary.EndsOfGeneration()[0];
    EXPECT_TRUE(matcher.Accept(token));
    if (matcher.IsFinished()) return text;
    text += vocabulary.Bytes(token);
  }
  return "";
}

TEST(RandomSchemas, WhatMasksAllowIsValid) {
  const auto vocabulary = Pieces();
  int compiled = 0, walks = 0, ended = 0;
  constexpr int kSchemas = 1500;
  for (uint64_t seed = 0; seed < kSchemas; ++seed) {
    const Json schema = RandomSchemas(seed).Root();
    llm::Constraint spec;
    spec.json_schema = schema.dump();
    std::shared_ptr<Constraint> constraint;
    try {
      const llm::Effort effort(2'000'000);
      constraint = std::make_shared<Constraint>(spec, vocabulary);
    } catch (const Error&) {
      continue;
    } catch (const llm::Effort::Spent&) {
      continue;
    }
    ++compiled;
    const llm::SchemaCheck check(spec.json_schema);
    for (uint64_t round = 0; round < 4; ++round) {
      ++walks;
      const std::string text = Walk(constraint, seed * 10 + round);
      if (text.empty()) continue;
      ++ended;
      const Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
      ASSERT_FALSE(value.is_discarded()) << text << "\n" << spec.json_schema;
      ASSERT_EQ(check.WhatIsWrong(value), "") << text << "\n" << spec.json_schema;
    }
  }
  RecordProperty("compiled", compiled);
  RecordProperty("ended", ended);
  EXPECT_GT(compiled, kSchemas / 3) << "most are contradictions";
  EXPECT_GT(ended, walks * 9 / 10);
}

}  // namespace
}  // namespace throng::engine
