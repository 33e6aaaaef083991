#include "engine/sampling/constrain.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "base/error.h"
#include "base/rng.h"

namespace throng::engine {
namespace {

using Json = nlohmann::ordered_json;

std::shared_ptr<const Vocabulary> MakeVocabulary(std::vector<std::string> tokens) {
  tokens.push_back("");  // the end of generation, last
  const auto end = static_cast<int32_t>(tokens.size() - 1);
  return std::make_shared<Vocabulary>(tokens, std::vector<int32_t>{end});
}

// All single bytes, and random fragments of JSON and of UTF-8 that begin and end anywhere.
std::shared_ptr<const Vocabulary> OddVocabulary(uint64_t seed) {
  const std::string text =
      "{\"a\":true,\"bc\":[1,-23.5e4,null],\"é\":\"ünï 漢字 😀\\n\\u001f\\\\\"},{\"x y\":false}]0.10";
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  CounterRng rng(seed, 77);
  for (int i = 0; i < 200; ++i) {
    const size_t begin = rng.NextBelow(text.size());
    tokens.push_back(text.substr(begin, 1 + rng.NextBelow(7)));
  }
  // Long ones, of plain text alone and with an end.
  for (const size_t length : {17, 20, 31, 33, 40, 64}) {
    tokens.emplace_back(length, 'b');
    tokens.push_back("é" + std::string(length, 'a'));
    tokens.push_back(std::string(length, 'a') + "\"}");
  }
  return MakeVocabulary(tokens);
}

std::vector<int32_t> Allowed(Matcher& matcher, const Vocabulary& vocabulary) {
  std::vector<uint64_t> mask(vocabulary.MaskWords());
  matcher.AllowedTokens(mask);
  std::vector<int32_t> tokens;
  for (size_t t = 0; t < vocabulary.NumTokens(); ++t) {
    if (mask[t / 64] >> (t % 64) & 1) tokens.push_back(static_cast<int32_t>(t));
  }
  return tokens;
}

// An answer of random allowed tokens; after `patience` tokens it prefers tokens that close something.
std::string RandomAnswer(const std::shared_ptr<Constraint>& constraint, uint64_t seed, int patience = 60) {
  const Vocabulary& vocabulary = constraint->GetVocabulary();
  Matcher matcher(constraint);
  CounterRng rng(seed, 5);
  std::string text;
  int count = 0;
  while (true) {
    const std::vector<int32_t> allowed = Allowed(matcher, vocabulary);
    EXPECT_FALSE(allowed.empty()) << text;
    EXPECT_LT(count, 5000);
    if (allowed.empty() || count >= 5000) return text.substr(0, 500);
    EXPECT_EQ(matcher.IsComplete(), vocabulary.IsEndOfGeneration(allowed.back())) << text;
    EXPECT_EQ(matcher.OnlyEndIsLeft(), matcher.IsComplete() && allowed.size() == 1) << text;
    int32_t token = allowed[rng.NextBelow(allowed.size())];
    for (const char* closer : {"}", "]", "\""}) {
      const auto closing = [&](int32_t t) { return vocabulary.Bytes(t) == closer; };
      const auto found = std::find_if(allowed.begin(), allowed.end(), closing);
      if (count > patience && found != allowed.end()) token = *found;
    }
    if (count > patience && vocabulary.IsEndOfGeneration(allowed.back())) token = allowed.back();
    ++count;
    EXPECT_TRUE(matcher.Accept(token));
    if (vocabulary.IsEndOfGeneration(token)) break;
    text += vocabulary.Bytes(token);
  }
  EXPECT_TRUE(matcher.IsFinished());
  EXPECT_TRUE(Allowed(matcher, vocabulary).empty());
  if (const auto longest = constraint->LongestAnswerTokens()) {
    EXPECT_LE(static_cast<int64_t>(text.size()) + 1, *longest) << text;
  }
  return text;
}

size_t CountCodePoints(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// An independent reading of the schemas that RandomSchema makes.
bool IsValid(const Json& schema, const Json& value) {
  if (schema.contains("const")) return value == schema["const"];
  if (schema.contains("enum"))
    return std::find(schema["enum"].begin(), schema["enum"].end(), value) != schema["enum"].end();
  if (schema.contains("anyOf")) {
    return std::any_of(schema["anyOf"].begin(), schema["anyOf"].end(),
                       [&](const Json& part) { return IsValid(part, value); });
  }
  const std::string type = schema["type"];
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer" || type == "number") {
    if (type == "integer" ? !value.is_number_integer() : !value.is_number()) return false;
    return value.get<double>() >= schema.value("minimum", -1e300) &&
           value.get<double>() <= schema.value("maximum", 1e300);
  }
  if (type == "string") {
    if (!value.is_string()) return false;
    const std::string text = value;
    if (schema.contains("pattern") &&
        !std::regex_match(text, std::regex(schema["pattern"].get<std::string>())))
      return false;
    const size_t count = CountCodePoints(text);
    return count >= schema.value("minLength", size_t{0}) &&
           count <= schema.value("maxLength", size_t{1} << 40);
  }
  if (type == "array") {
    if (!value.is_array() || value.size() < schema.value("minItems", size_t{0})) return false;
    if (value.size() > schema.value("maxItems", size_t{1} << 40)) return false;
    return std::all_of(value.begin(), value.end(),
                       [&](const Json& item) { return IsValid(schema["items"], item); });
  }
  if (!value.is_object()) return false;
  for (const auto& name : schema.value("required", Json::array())) {
    if (!value.contains(name.get<std::string>())) return false;
  }
  size_t last = 0;
  for (const auto& [name, member] : value.items()) {
    const auto found = schema["properties"].find(name);
    if (found == schema["properties"].end()) return false;
    const auto index = static_cast<size_t>(std::distance(schema["properties"].begin(), found)) + 1;
    if (index <= last || !IsValid(*found, member)) return false;
    last = index;
  }
  return true;
}

Json RandomSchema(CounterRng& rng, int depth) {
  const char* kKeys[] = {"a", "bc", "é\"", "x y", "\\", "name"};
  const auto small = [&](uint64_t n) { return static_cast<int64_t>(rng.NextBelow(n)); };
  Json schema;
  switch (rng.NextBelow(depth > 0 ? 11 : 8)) {
    case 0:
      return {{"enum", {"red", "re", 1, nullptr, "r\"\n", {{"k", {1, 2}}}}}};
    case 1:
      return {{"const", kKeys[rng.NextBelow(6)]}};
    case 2:
      return {{"type", rng.NextBelow(2) ? "boolean" : "null"}};
    case 3: {
      const int64_t low = small(4000) - 2000;
      return {{"type", "integer"}, {"minimum", low}, {"maximum", low + small(rng.NextBelow(2) ? 5 : 3000)}};
    }
    case 4: {
      const int64_t low = small(40) - 20;
      return {{"type", "number"}, {"minimum", low}, {"maximum", low + small(30)}};
    }
    case 5:
      return {{"type", rng.NextBelow(2) ? "integer" : "number"}};
    case 6: {
      const int64_t low = small(4);
      return {{"type", "string"}, {"minLength", low}, {"maxLength", low + small(9)}};
    }
    case 7:
      return {{"type", "string"},
              {"pattern", rng.NextBelow(2) ? "^([01][0-9]|2[0-3]):00$" : "^[a-z\" ]{1,6}(x|yy*)?$"}};
    case 8: {
      schema = {{"type", "array"}, {"items", RandomSchema(rng, depth - 1)}};
      const int64_t low = small(3);
      if (rng.NextBelow(2)) schema["minItems"] = low;
      if (rng.NextBelow(3)) schema["maxItems"] = low + small(3);
      return schema;
    }
    case 9:
      return {{"anyOf", {RandomSchema(rng, depth - 1), RandomSchema(rng, depth - 1)}}};
    default: {
      schema = {{"type", "object"},
                {"properties", Json::object()},
                {"required", Json::array()},
                {"additionalProperties", false}};
      for (const char* key : kKeys) {
        if (rng.NextBelow(2)) continue;
        schema["properties"][key] = RandomSchema(rng, depth - 1);
        if (rng.NextBelow(2)) schema["required"].push_back(key);
      }
      return schema;
    }
  }
}

TEST(Constrain, RandomTokensAlwaysMakeAValidAnswer) {
  for (uint64_t seed = 0; seed < 250; ++seed) {
    CounterRng rng(seed);
    const Json schema = RandomSchema(rng, 3);
    llm::Constraint spec;
    spec.json_schema = schema.dump();
    const auto constraint = std::make_shared<Constraint>(spec, OddVocabulary(seed % 5));
    for (uint64_t round = 0; round < 4; ++round) {
      const std::string text = RandomAnswer(constraint, seed * 10 + round);
      Json value;
      ASSERT_NO_THROW(value = Json::parse(text)) << text << "\n" << spec.json_schema;
      ASSERT_TRUE(IsValid(schema, value)) << text << "\n" << spec.json_schema;
      const bool has_fractions = spec.json_schema.find("\"number\"") != std::string::npos;
      ASSERT_TRUE(has_fractions || value.dump() == text) << text;
    }
  }
}

TEST(Constrain, ChoicesGiveOneOfTheChoices) {
  llm::Constraint spec;
  spec.choices = {"yes", "yes, please", "no", "né", "home", "library", "lib"};
  const auto constraint = std::make_shared<Constraint>(spec, OddVocabulary(1));
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 300; ++seed) seen.insert(RandomAnswer(constraint, seed));
  EXPECT_EQ(seen, std::set<std::string>(spec.choices.begin(), spec.choices.end()));
  EXPECT_EQ(constraint->LongestAnswerTokens(), 12);
}

TEST(Constrain, TheEndCompetesWhereAChoiceBeginsAnother) {
  llm::Constraint spec;
  spec.choices = {"yes", "yes!"};
  const auto vocabulary = MakeVocabulary({"yes", "ye", "s", "!", "s!", "yes!", "yesterday", "y", "e"});
  const auto constraint = std::make_shared<Constraint>(spec, vocabulary);
  Matcher matcher(constraint);
  EXPECT_EQ(Allowed(matcher, *vocabulary), (std::vector<int32_t>{0, 1, 5, 7}));
  EXPECT_FALSE(matcher.Accept(6));
  EXPECT_FALSE(matcher.Accept(9));  // the end comes too early
  EXPECT_FALSE(matcher.Accept(-1));
  EXPECT_FALSE(matcher.Accept(10));
  ASSERT_TRUE(matcher.Accept(1));
  EXPECT_EQ(Allowed(matcher, *vocabulary), (std::vector<int32_t>{2, 4}));
  ASSERT_TRUE(matcher.Accept(2));
  EXPECT_TRUE(matcher.IsComplete());
  EXPECT_FALSE(matcher.OnlyEndIsLeft());
  EXPECT_EQ(Allowed(matcher, *vocabulary), (std::vector<int32_t>{3, 9}));
  ASSERT_TRUE(matcher.Accept(3));
  EXPECT_TRUE(matcher.OnlyEndIsLeft());
  ASSERT_TRUE(matcher.Accept(9));
  EXPECT_TRUE(matcher.IsFinished());
  EXPECT_FALSE(matcher.Accept(9));
}

TEST(Constrain, AvoidsDeadEndsOfVocabulariesWithoutSingleBytes) {
  llm::Constraint spec;
  spec.choices = {"abab", "abac", "zz"};
  const auto vocabulary = MakeVocabulary({"ab", "a", "abab", "ac", "z"});
  const auto constraint = std::make_shared<Constraint>(spec, vocabulary);
  Matcher matcher(constraint);
  EXPECT_EQ(Allowed(matcher, *vocabulary), (std::vector<int32_t>{0, 2, 4}));  // "b" cannot follow "a"
  EXPECT_FALSE(matcher.Accept(1));
  spec.choices = {"b", "ba"};
  EXPECT_THROW(Constraint(spec, vocabulary), Error);
  spec.choices.clear();
  spec.json_schema = R"({"type":"array","items":{"enum":[12,3]},"minItems":1,"maxItems":4})";
  const auto numbers =
      std::make_shared<Constraint>(spec, MakeVocabulary({"[1", "[", "2", "12,", "2]", "]", ",1", "3,3]"}));
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const std::string text = RandomAnswer(numbers, seed);
    EXPECT_TRUE(IsValid(Json::parse(spec.json_schema), Json::parse(text))) << text;
  }
}

TEST(Constrain, EveryTokenIdOfTheSameBytesIsAllowed) {
  llm::Constraint spec;
  spec.choices = {"a"};
  const auto vocabulary = MakeVocabulary({"a", "", "a", "b"});
  const auto constraint = std::make_shared<Constraint>(spec, vocabulary);
  Matcher matcher(constraint);
  EXPECT_EQ(Allowed(matcher, *vocabulary), (std::vector<int32_t>{0, 2}));
  EXPECT_FALSE(matcher.Accept(1));
}

// Regular, recursive, ambiguous, and counted ones.
std::vector<llm::Constraint> ManyConstraints() {
  std::vector<llm::Constraint> all;
  const auto schema = [&](const char* text) { all.emplace_back().json_schema = text; };
  const auto grammar = [&](const char* text) { all.emplace_back().grammar = text; };
  schema(
      R"({"type":"object","properties":{"a":{"type":"string","maxLength":6},"bc":{"type":"number"}},"required":["bc"]})");
  schema(R"({"type":"object"})");
  schema(
      R"({"type":"object","additionalProperties":{"type":"array","items":{"type":["string","null"],"maxLength":300},"maxItems":200}})");
  schema(
      R"({"type":"array","items":{"anyOf":[{"$ref":"#"},{"type":"object","properties":{"a":{"$ref":"#"},"x y":{"type":"boolean"}}}]}})");
  schema(
      R"({"anyOf":[{"type":"object","properties":{"a":{"$ref":"#"}}},{"type":"object","properties":{"a":{"$ref":"#"},"bc":{"type":"integer"}}},{"type":"null"}]})");
  grammar(
      "root ::= expr\nexpr ::= term ([-,.] term)*\nterm ::= [a-z0-9]+ | \"[\" expr \"]\" | \"{\" root \"}\"");
  grammar("root ::= \"[\" root root \"]\" | \"[\" root \"]\" | [a-z\"]* | \"\"");
  grammar("root ::= ([a-z] | \"[\" item{2,90} \"]\"){30,400}\nitem ::= root | \",\" | [0-9]{1,70}");
  all.emplace_back().regex = "(\\\\w+[,:. ]){2,}|[^a]{40,90}";
  return all;
}

// The mask is put together from what was found for other texts; here it is checked against trying each token,
// with a constraint that has seen no other text.
TEST(Constrain, TheMaskIsWhatAcceptAllows) {
  const auto vocabulary = OddVocabulary(3);
  for (const llm::Constraint& spec : ManyConstraints()) {
    const auto constraint = std::make_shared<Constraint>(spec, vocabulary);
    CounterRng rng(9);
    for (int round = 0; round < 4; ++round) {
      Matcher matcher(constraint);
      Matcher fresh(std::make_shared<Constraint>(spec, vocabulary));
      for (int step = 0; step < 40 && !matcher.IsFinished(); ++step) {
        const std::vector<int32_t> allowed = Allowed(matcher, *vocabulary);
        std::vector<int32_t> accepted;
        for (size_t t = 0; t < vocabulary->NumTokens(); ++t) {
          if (fresh.Allows(static_cast<int32_t>(t))) accepted.push_back(static_cast<int32_t>(t));
        }
        ASSERT_EQ(allowed, accepted) << spec.json_schema << spec.grammar << spec.regex;
        const int32_t token = allowed[rng.NextBelow(allowed.size())];
        ASSERT_TRUE(matcher.Accept(token));
        ASSERT_TRUE(fresh.Accept(token));
      }
    }
  }
}

// Near the limit on nesting, what may open is what can still be closed.
TEST(Constrain, DeepTextsCanBeClosed) {
  llm::Constraint spec;
  spec.grammar = "root ::= \"[\" list \"]\"\nlist ::= root (\",\" root)* | [0-9]*";
  const auto vocabulary = MakeVocabulary({"[", "]", "[[", "[[[[[", "]]", "],[", "7", "[7]", ",", "]]]]"});
  const auto constraint = std::make_shared<Constraint>(spec, vocabulary);
  for (uint64_t seed = 0; seed < 3; ++seed) {
    Matcher matcher(constraint);
    CounterRng rng(seed);
    std::string text;
    while (!matcher.IsFinished()) {
      const std::vector<int32_t> allowed = Allowed(matcher, *vocabulary);
      ASSERT_FALSE(allowed.empty());
      for (int32_t t = 0; t < static_cast<int32_t>(vocabulary->NumTokens()); ++t)
        ASSERT_EQ(matcher.Allows(t), std::find(allowed.begin(), allowed.end(), t) != allowed.end()) << text;
      const bool opens = text.size() < 900;
      int32_t token = allowed[rng.NextBelow(allowed.size())];
      for (const int32_t t : allowed) {
        const std::string& bytes = vocabulary->Bytes(t);
        if (bytes.find_first_not_of(opens ? '[' : ']') == bytes.npos) token = t;
      }
      if (!opens && matcher.IsComplete()) token = allowed.back();
      ASSERT_TRUE(matcher.Accept(token));
      text += vocabulary->Bytes(token);
    }
    EXPECT_GT(std::count(text.begin(), text.end(), '['), 200);
  }
}

// A vocabulary without a token for b alone.
TEST(Constrain, AvoidsDeadEndsOfRecursions) {
  llm::Constraint spec;
  spec.grammar = "root ::= \"(\" root \")\" | \"ab\" | \"b\"";
  const auto vocabulary = MakeVocabulary({"(", ")", "ab", "a", "(a", "ab)", "b)", "((", "))"});
  const auto constraint = std::make_shared<Constraint>(spec, vocabulary);
  for (uint64_t seed = 0; seed < 20; ++seed)
    EXPECT_NE(RandomAnswer(constraint, seed).find('b'), std::string::npos);
  EXPECT_THROW(Constraint(spec, MakeVocabulary({"(", ")", "a"})), Error);
}

// What is said to be known agrees with the mask.
TEST(Constrain, KnowsTheOnlyTokenAndTheLongest) {
  llm::Constraint spec;
  spec.json_schema = R"({"type":"object","properties":{"a":{"type":"boolean"},"bc":{"enum":["x y","x z"]}},)"
                     R"("required":["a","bc"]})";
  int num_only = 0, num_longest = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const auto vocabulary = OddVocabulary(seed);
    Matcher matcher(std::make_shared<Constraint>(spec, vocabulary));
    CounterRng rng(seed, 6);
    while (!matcher.IsFinished()) {
      const std::vector<int32_t> allowed = Allowed(matcher, *vocabulary);
      const std::optional<int32_t> only = matcher.OnlyToken();
      ASSERT_EQ(only.has_value(), allowed.size() == 1);
      ASSERT_EQ(only.value_or(allowed[0]), allowed[0]);
      num_only += only.has_value();

      std::string longest;
      for (const int32_t token : allowed)
        longest =
            std::max(longest, vocabulary->Bytes(token), [](auto& a, auto& b) { return a.size() < b.size(); });
      const bool bytes_are_known = std::ranges::all_of(allowed, [&](int32_t token) {
        return !vocabulary->IsEndOfGeneration(token) && longest.starts_with(vocabulary->Bytes(token));
      });
      const std::optional<int32_t> token = matcher.LongestToken();
      ASSERT_EQ(token.has_value(), bytes_are_known);
      if (token) {
        ASSERT_EQ(vocabulary->Bytes(*token), longest);
      }
      num_longest += token.has_value();
      ASSERT_TRUE(matcher.Accept(allowed[rng.NextBelow(allowed.size())]));
    }
    EXPECT_FALSE(matcher.OnlyToken());
    EXPECT_FALSE(matcher.LongestToken());
  }
  EXPECT_GT(num_only, 0);
  EXPECT_GT(num_longest, num_only);
}

// An ambiguous pattern has more deterministic states than are kept: they are dropped and made again.
TEST(Constrain, SurvivesPatternsThatExplode) {
  llm::Constraint spec;
  spec.grammar = "root ::= \"<\" ([ab]* \"a\" [ab]{14}){30} \"]\"";
  const auto constraint =
      std::make_shared<Constraint>(spec, MakeVocabulary({"a", "b", "aabbab", "]", "bbbaab", "<"}));
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const std::string text = RandomAnswer(constraint, seed, 300);
    ASSERT_GE(text.size(), 452u);
    const std::string inner = text.substr(1, text.size() - 2);
    EXPECT_EQ(inner.find_first_not_of("ab"), std::string::npos);
    EXPECT_EQ(inner[inner.size() - 15], 'a');
  }
}

}  // namespace
}  // namespace throng::engine
