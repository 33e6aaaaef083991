#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/rng.h"
#include "llm/answer/schema_check.h"
#include "llm/effort.h"
#include "llm/grammar/answer_maker.h"
#include "llm/grammar/automaton.h"
#include "llm/testing/lowered_schema.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

// Texts that a schema allows, and others that it does not; and whatever is made up for it is allowed by an
// independent reading of the schema.
void Expect(const std::string& schema, const std::vector<std::string>& allowed,
            const std::vector<std::string>& refused) {
  const Grammar grammar = Lowered(schema);
  Automaton automaton(grammar);
  for (const std::string& text : allowed) EXPECT_TRUE(automaton.Matches(text)) << text << " by " << schema;
  for (const std::string& text : refused) EXPECT_FALSE(automaton.Matches(text)) << text << " by " << schema;
  const SchemaCheck check(schema);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    CounterRng rng(seed, 1);
    const std::string text = RandomText(grammar, rng);
    EXPECT_TRUE(automaton.Matches(text)) << text << " by " << schema;
    EXPECT_EQ(check.WhatIsWrong(Json::parse(text)), "") << text << " by " << schema;
  }
}

TEST(JsonSchema, AnyJson) {
  const std::vector<std::string> any = {
      "1", "-2.5", "\"x\"", "null", "[]", "{}", R"([1,[2,{"a":[]}]])", R"({"a":{"b":[null,true]},"c":"d"})"};
  const std::vector<std::string> none = {"", "[", "{]", "[1,]", R"({"a"})", R"({"a":1,})", "nul", "[1 ]"};
  for (const char* schema : {"true", "{}", R"({"title":"x","description":"anything"})"})
    Expect(schema, any, none);
  Expect(R"({"type":"object"})", {"{}", R"({"a":[{"b":1}]})"}, {"[]", "1", R"({1:2})"});
  Expect(R"({"type":"array"})", {"[]", "[1,{}]"}, {"{}", "null"});
  Expect(R"({"type":"object","properties":{}})", {"{}", R"({"a":1})"}, {"[]"});
  Expect(R"({"type":"object","properties":{},"additionalProperties":false})", {"{}"}, {R"({"a":1})"});
}

TEST(JsonSchema, References) {
  const char* list =
      R"({"type":"object","properties":{"word":{"type":"string","maxLength":3},"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["word","next"]})";
  Expect(list, {R"({"word":"a","next":null})", R"({"word":"a","next":{"word":"b","next":null}})"},
         {R"({"word":"a","next":{}})", R"({"word":"a"})", R"({"word":"a","next":{"word":"b","next":null})"});
  Expect(
      R"({"$defs":{"a/b":{"enum":[1]},"c_d":{"$ref":"#/$defs/a~1b"}},"type":"array","items":{"$ref":"#/$defs/c_d"}})",
      {"[]", "[1,1]"}, {"[2]"});
  Expect(R"({"definitions":{"W":{"type":"string","maxLength":2}},"$ref":"#/definitions/W","minLength":1})",
         {R"("a")", R"("ab")"}, {R"("")", R"("abc")"});
  Expect(
      R"({"properties":{"a":{"anyOf":[{"type":"null"},{"type":"array","items":{"type":"boolean"}}]},"b":{"$ref":"#/properties/a/anyOf/1"}},"required":["b"]})",
      {R"({"b":[true]})", R"({"a":null,"b":[]})"}, {R"({"b":null})"});
  Automaton named(Lowered(
      R"({"$id":"https://a.b/s","$defs":{"x":{"$anchor":"y","type":"null"}},"anyOf":[{"$ref":"#y"},{"$ref":"https://a.b/s#/$defs/x"}]})"));
  EXPECT_TRUE(named.Matches("null"));
  EXPECT_FALSE(named.Matches("1"));
  // Trees, where each child is the root again.
  Expect(
      R"({"type":"object","properties":{"v":{"type":"integer"},"kids":{"type":"array","items":{"$ref":"#"}}},"required":["kids"],"additionalProperties":false})",
      {R"({"kids":[]})", R"({"v":1,"kids":[{"kids":[]},{"v":2,"kids":[{"kids":[]}]}]})"},
      {R"({"kids":[{}]})", R"({"kids":[1]})"});
  EXPECT_THAT(ErrorOf(R"({"anyOf":[{"$ref":"#"},{"type":"string"}]})"), HasSubstr("refers to itself"));
  EXPECT_THAT(ErrorOf(R"({"$ref":"#/$defs/x"})"),
              HasSubstr("#/$ref refers to \"#/$defs/x\", which is not in the schema"));
  EXPECT_THAT(ErrorOf(R"({"$ref":"http://x.y/z"})"), HasSubstr("#/$ref refers to"));
  EXPECT_THAT(ErrorOf(R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})"),
              HasSubstr("allows no text that ends"));
}

TEST(JsonSchema, Combinations) {
  Expect(R"({"allOf":[{"type":"integer","minimum":3},{"type":"number","maximum":5}]})", {"3", "5"},
         {"2", "6", "3.5"});
  Expect(
      R"({"type":"object","properties":{"a":{"type":"integer"}},"allOf":[{"properties":{"a":{"maximum":2},"b":{"const":1}},"required":["b"]}],"required":["a"]})",
      {R"({"a":2,"b":1})"}, {R"({"a":3,"b":1})", R"({"a":1})", R"({"b":1})"});
  Expect(R"({"type":"string","maxLength":3,"anyOf":[{"pattern":"^a"},{"pattern":"b$"}]})",
         {R"("a")", R"("xb")", R"("ab")"}, {R"("x")", R"("abcd")"});
  // Branches of a oneOf that exclude each other, and others that do not.
  Expect(
      R"({"oneOf":[{"type":"object","properties":{"kind":{"const":"walk"},"km":{"type":"integer"}},"required":["kind","km"]},{"type":"object","properties":{"kind":{"const":"rest"}},"required":["kind"]}]})",
      {R"({"kind":"walk","km":1})", R"({"kind":"rest"})"}, {R"({"kind":"rest","km":1})", R"({"kind":"x"})"});
  Expect(
      R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"oneOf":[{"required":["a"]},{"required":["b"]}]})",
      {R"({"a":null})", R"({"b":null})"}, {"{}", R"({"a":null,"b":null})"});
  Expect(R"({"oneOf":[{"enum":[1,2]},{"enum":[2,3]}]})", {"1", "3"}, {"2"});
  Expect(R"({"oneOf":[{"type":"integer","minimum":5},{"type":"integer","maximum":7}]})", {"4", "8"},
         {"5", "7"});
  Expect(R"({"type":["string","integer","null"],"not":{"type":"null"}})", {"1", "\"\""}, {"null"});
  Expect(R"({"type":"string","not":{"enum":["ab","a"]}})", {R"("")", R"("b")", R"("abc")"},
         {R"("a")", R"("ab")"});
  Expect(
      R"({"type":"object","properties":{"t":{"enum":["x","y"]},"v":{"type":"null"}},"required":["t"],"if":{"properties":{"t":{"const":"x"}}},"then":{"required":["v"]}})",
      {R"({"t":"x","v":null})", R"({"t":"y"})", R"({"t":"y","v":null})"}, {R"({"t":"x"})"});
  Expect(
      R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"dependentRequired":{"a":["b"]}})",
      {"{}", R"({"b":null})", R"({"a":null,"b":null})"}, {R"({"a":null})"});
  EXPECT_THAT(ErrorOf(R"({"not":{}})"), HasSubstr("allows no value"));
  EXPECT_THAT(ErrorOf(R"({"type":"number","not":{"multipleOf":2}})"),
              HasSubstr("#/not/multipleOf cannot be excluded"));
  EXPECT_THAT(ErrorOf(R"({"allOf":[{"type":"string"},{"type":"null"}]})"), HasSubstr("allows no value"));
}

TEST(JsonSchema, BranchesThatListValuesAreOneList) {
  Expect(
      R"({"anyOf":[{"const":1},{"type":"string","enum":["a",2]},{"type":"boolean"},{"const":1,"title":"x"}],"not":{"const":"b"}})",
      {"1", R"("a")", "true"}, {"2", R"("b")", "null"});
  EXPECT_THAT(ErrorOf(R"({"anyOf":[{"const":1},{"const":2,"maxLenght":1}]})"), HasSubstr("maxLength"));
  // A thousand times a thousand of them, if each were taken by itself.
  nlohmann::json schema = {{"allOf", {{{"anyOf", {}}}, {{"anyOf", {}}}}}};
  for (int i = 0; i < 1000; ++i) {
    schema["allOf"][0]["anyOf"].push_back({{"const", i}});
    schema["allOf"][1]["anyOf"].push_back({{"enum", {2 * i, "x"}}});
  }
  Expect(schema.dump(), {"0", "2", "998"}, {"1", "1000", R"("x")"});
}

// Objects that have no members but those that they name.
TEST(JsonSchema, ExcludesClosedObjects) {
  const auto closed = [](const char* properties, const char* more = "") {
    return fmt::format(R"({{"type":"object","properties":{},"additionalProperties":false{}}})", properties,
                       more);
  };
  const auto one_of = [](const std::string& a, const std::string& b) {
    return fmt::format(R"({{"oneOf":[{},{}]}})", a, b);
  };
  // By a member that only one of them has, required or not.
  Expect(
      one_of(closed(R"({"a":{"type":"null"}})", R"(,"required":["a"])"), closed(R"({"b":{"type":"null"}})")),
      {R"({"a":null})", R"({"b":null})", "{}"}, {R"({"a":null,"b":null})"});
  Expect(one_of(closed(R"({"a":{"type":"null"},"c":{"type":"null"}})"), closed(R"({"b":{"type":"null"}})")),
         {R"({"a":null})", R"({"c":null})", R"({"a":null,"c":null})", R"({"b":null})"},
         {"{}", R"({"a":null,"b":null})"});
  // By an optional member's value.
  Expect(one_of(closed(R"({"kind":{"const":"x"},"a":{"type":"null"}})"),
                closed(R"({"kind":{"const":"y"},"a":{"type":"null"}})")),
         {R"({"kind":"x"})", R"({"kind":"y","a":null})"}, {"{}", R"({"a":null})"});
  // Three, of which two allow the same objects.
  Expect(fmt::format(R"({{"oneOf":[{},{},{}]}})", closed(R"({"a":{"type":"null"}})"),
                     closed(R"({"a":{"type":"null"},"b":{"type":"null"}})", R"(,"required":["a"])"),
                     closed(R"({"c":{"type":"null"}})", R"(,"required":["c"])")),
         {"{}", R"({"a":null,"b":null})", R"({"c":null})"}, {R"({"a":null})", R"({"b":null})"});
  // Others, by their names or values.
  Expect(
      R"({"type":"object","properties":{"ax":{"enum":[1,2]},"b":{"enum":[1,2]}},"not":{"patternProperties":{"^a":{"const":1}},"additionalProperties":{"const":2}}})",
      {R"({"ax":2})", R"({"b":1})", R"({"ax":2,"b":2})"},
      {"{}", R"({"ax":1})", R"({"b":2})", R"({"ax":1,"b":2})"});
  Expect(
      R"({"type":"object","properties":{"ax":{"enum":[1,2]}},"not":{"properties":{"ax":{"enum":[1,2]}},"patternProperties":{"^a":{"const":1}}}})",
      {R"({"ax":2})"}, {"{}", R"({"ax":1})"});
  // Members of some pattern, which both allow.
  Expect(one_of(closed(R"({"a":{"type":"null"}})",
                       R"(,"patternProperties":{"^x-":{"enum":[1]}},"required":["a"])"),
                closed(R"({"a":{},"b":{}})", R"(,"patternProperties":{"^x-":{"enum":[1]}})")),
         {R"({"b":0})", R"({"a":0,"x-y":1})", R"({"x-y":1})"}, {R"({"a":null})", R"({"a":null,"x-y":1})"});
  EXPECT_THAT(ErrorOf(one_of(R"({"type":"object","additionalProperties":{"type":"null"}})", closed("{}"))),
              HasSubstr("#/oneOf/1/additionalProperties cannot be excluded by a not, a oneOf or an if where "
                        "other members are free"));
}

// What excludes one branch can name a member that another requires.
TEST(JsonSchema, ExcludesAllBranchesAtOnce) {
  for (const char* others :
       {R"({"required":["x"],"properties":{"x":{}}},{"properties":{"x":{"type":"string"}}})",
        R"({"properties":{"x":{"type":"string"}}},{"required":["x"],"properties":{"x":{}}})"}) {
    Automaton automaton(Lowered(fmt::format(
        R"({{"oneOf":[{{"type":"object","properties":{{"a":{{"type":"null"}}}}}},{}]}})", others)));
    EXPECT_FALSE(automaton.Matches(R"({"x":1})")) << others;
    EXPECT_FALSE(automaton.Matches(R"({"a":null,"x":1})")) << others;
  }
}

TEST(JsonSchema, ExcludesByManyKeywords) {
  Expect(R"({"type":"string","not":{"pattern":"a"}})", {R"("")", R"("bc")"}, {R"("a")", R"("bac")"});
  Expect(R"({"type":"string","not":{"maxLength":2}})", {R"("abc")"}, {R"("ab")", R"("")"});
  Expect(R"({"type":"integer","not":{"exclusiveMinimum":3}})", {"3", "-9"}, {"4"});
  Expect(R"({"type":"integer","not":{"exclusiveMaximum":3}})", {"3", "9"}, {"2"});
  Expect(R"({"type":"number","not":{"enum":[0,1.5]}})", {"1", "0.5", "1.51"}, {"0", "1.5", "1.50", "15e-1"});
  Expect(R"({"type":"array","items":{"type":"boolean"},"not":{"maxItems":1}})", {"[true,true]"},
         {"[]", "[true]"});
  Expect(R"({"type":"array","items":{"enum":[1,2]},"not":{"items":{"const":1}}})", {"[2]", "[1,2,1]"},
         {"[]", "[1]", "[1,1]"});
  Expect(R"({"type":"array","items":{"enum":[1,2]},"not":{"contains":{"const":1}}})", {"[]", "[2,2]"},
         {"[1]", "[2,1]"});
  Expect(
      R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},"not":{"minProperties":2}})",
      {"{}", R"({"b":null})"}, {R"({"a":null,"b":null})"});
  Expect(
      R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},"additionalProperties":false,"not":{"maxProperties":1}})",
      {R"({"a":null,"c":null})"}, {"{}", R"({"a":null})"});
  Expect(R"({"enum":[1,2,3,4],"not":{"oneOf":[{"maximum":3},{"minimum":2}]}})", {"2", "3"}, {"1", "4"});
  Expect(R"({"enum":[1,2,3,4],"not":{"if":{"maximum":2},"then":{"const":1},"else":{"const":4}}})", {"2", "3"},
         {"1", "4"});
  Expect(
      R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"not":{"dependentRequired":{"a":["b"]}}})",
      {R"({"a":null})"}, {"{}", R"({"b":null})", R"({"a":null,"b":null})"});
  Expect(
      R"({"type":"string","not":{"$ref":"#/$defs/x"},"$defs":{"x":{"$defs":{},"const":"a","default":"b"}}})",
      {R"("b")"}, {R"("a")"});
}

TEST(JsonSchema, Contains) {
  Expect(R"({"type":"array","items":{"enum":[1,2,3]},"contains":{"const":2}})", {"[2]", "[1,2,2,3]"},
         {"[]", "[1]", "[1,3,3]"});
  Expect(R"({"type":"array","items":{"enum":[1,2,3]},"contains":{"minimum":2},"minContains":2,"maxItems":3})",
         {"[2,3]", "[1,2,2]", "[2,2,2]"}, {"[2]", "[1,1,2]", "[2,2,2,2]"});
  Expect(R"({"type":"array","items":{"enum":[1,2]},"contains":{"const":2},"minContains":0,"maxContains":1})",
         {"[]", "[1,1,2,1]"}, {"[2,2]", "[2,1,2]"});
  Expect(
      R"({"type":"array","prefixItems":[{"const":1},{"const":2}],"items":{"enum":[1,3]},"contains":{"const":1},"minContains":2,"minItems":4})",
      {"[1,2,1,3]", "[1,2,3,3,1]"}, {"[1,2,1]", "[1,2,3,3]", "[1,1,1,1]"});
  Expect(R"({"contains":{"type":"null"}})", {"[null]", "[1,null]"}, {"[]", "[1]"});
  EXPECT_THAT(ErrorOf(R"({"type":"array","items":{"const":1},"contains":{"const":2}})"),
              HasSubstr("#/contains allows no array"));
  EXPECT_THAT(ErrorOf(R"({"type":"array","allOf":[{"contains":{"const":1}},{"contains":{"const":2}}]})"),
              HasSubstr("#/allOf/1/contains is not the only contains"));
}

TEST(JsonSchema, ValuesBesideOtherKeywords) {
  Expect(R"({"type":"string","enum":["ab","cd","efg",1],"maxLength":2})", {R"("ab")", R"("cd")"},
         {R"("efg")", "1"});
  Expect(R"({"enum":[1,2,3],"minimum":2})", {"2", "3"}, {"1"});
  Expect(R"({"const":{"b":[1,2.5,null],"a":"x"}})", {R"({"b":[1,2.5,null],"a":"x"})"},
         {R"({"a":"x","b":[1,2.5,null]})"});
  Automaton listed(Lowered(R"({"type":"string","enum":["a",null],"nullable":true})"));
  EXPECT_TRUE(listed.Matches("null"));
  Automaton nullable(Lowered(R"({"type":"string","nullable":true})"));
  EXPECT_TRUE(nullable.Matches("null"));
}

TEST(JsonSchema, Arrays) {
  Expect(
      R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"boolean"}],"items":false,"minItems":2})",
      {"[1,true]"}, {"[1]", "[1,true,1]"});
  Expect(R"({"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"null"}})",
         {"[]", "[1]", "[1,null,null]"}, {"[null]", "[1,2]"});
  Expect(R"({"prefixItems":[{"type":"integer"},{"type":"boolean"}]})", {"[]", "[1]", "[1,true]"},
         {"[1,true,1]"});
  Automaton old(
      Lowered(R"({"type":"array","items":[{"type":"integer"}],"additionalItems":{"type":"null"}})"));
  EXPECT_TRUE(old.Matches("[1,null]"));
  EXPECT_FALSE(old.Matches("[1,1]"));
  Expect(R"({"type":"array","items":{"enum":[1,2,3]},"uniqueItems":true,"minItems":2})", {"[1,2]", "[3,1,2]"},
         {"[1]", "[1,1]", "[1,2,3,1]"});
  Expect(R"({"type":"array","items":{"type":"boolean"},"minItems":2,"maxItems":3})",
         {"[true,true]", "[true,false,true]"}, {"[true]", "[true,true,true,true]"});
  EXPECT_THAT(ErrorOf(R"({"type":"array","items":{"type":"string"},"uniqueItems":true})"),
              HasSubstr("#/uniqueItems is supported for"));
  // Of many values, in their order.
  Expect(R"({"items":{"enum":[1,2,3,4,5,6,7,8,9]},"uniqueItems":true,"minItems":2,"maxItems":3})",
         {"[1,2]", "[1,5,9]"}, {"[1]", "[]", "[2,1]", "[1,1]", "[1,2,3,4]"});
  Expect(R"({"items":{"enum":[1,2,3,4,5,6,7,8,9]},"uniqueItems":true})", {"[]", "[9]", "[1,2,3,4,5,6,7,8,9]"},
         {"[9,1]", "[9,9]"});
}

TEST(JsonSchema, Objects) {
  Expect(R"({"type":"object","properties":{"a":{"type":"boolean"}},"required":["a","b"]})",
         {R"({"a":true,"b":[1]})"}, {R"({"a":true})"});
  Expect(R"({"type":"object","additionalProperties":{"type":"integer"}})", {"{}", R"({"x":1,"y":2})"},
         {R"({"x":"1"})"});
  Expect(R"({"type":"object","properties":{"ab":{"type":"null"}},"additionalProperties":{"type":"integer"}})",
         {R"({"ab":null,"a":1,"abc":2})", R"({"x":1})"}, {R"({"ab":1})", R"({"x":1,"ab":null})"});
  Expect(
      R"({"type":"object","patternProperties":{"^x":{"type":"integer"},"y$":{"type":"number","minimum":5}},"additionalProperties":false})",
      {R"({"x":1})", R"({"y":5.5})", R"({"xy":7})"}, {R"({"xy":1})", R"({"z":1})", R"({"y":1})"});
  // Six patterns, two of which some names match.
  Expect(
      R"({"patternProperties":{"^a":{"minimum":1},"^b":{"minimum":2},"^c":{"minimum":3},"^d":{"minimum":4},"^e":{"minimum":5},"z$":{"maximum":9}},"additionalProperties":false})",
      {R"({"a":1})", R"({"ez":5})", R"({"z":0,"e":10})"}, {R"({"f":1})", R"({"ez":10})", R"({"dz":3})"});
  Expect(R"({"type":"object","propertyNames":{"pattern":"^[a-z]+$"},"additionalProperties":{"type":"null"}})",
         {R"({"ab":null})"}, {R"({"A":null})", R"({"":null})"});
  Expect(
      R"({"type":"object","propertyNames":{"enum":["a","b"]},"additionalProperties":{"type":"null"},"required":["b"]})",
      {R"({"b":null})"}, {R"({"c":null})", R"({"a":null})"});
  Expect(
      R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},"minProperties":1,"maxProperties":2})",
      {R"({"a":null})", R"({"b":null,"c":null})"}, {"{}", R"({"a":null,"b":null,"c":null})"});
  Expect(R"({"type":"object","additionalProperties":{"type":"null"},"minProperties":1,"maxProperties":2})",
         {R"({"a":null})", R"({"a":null,"b":null})"}, {"{}", R"({"a":null,"b":null,"c":null})"});
  Expect(R"({"type":"object","properties":{"a":false,"b":{"type":"null"}}})", {"{}", R"({"b":null})"},
         {R"({"a":null})"});
  Expect(
      R"({"type":"object","properties":{"a":{"allOf":[{"type":"null"},{"type":"string"}]},"b":{"type":"null"}}})",
      {"{}"}, {R"({"a":null})"});
  EXPECT_THAT(ErrorOf(R"({"type":"object","minProperties":3})"), HasSubstr("#/minProperties is above 1"));
  EXPECT_THAT(ErrorOf(R"({"type":"object","properties":{"a":false},"required":["a"]})"),
              HasSubstr("requires the member \"a\""));
}

TEST(JsonSchema, LargeBoundsAreCounted) {
  Automaton text(Lowered(R"({"type":"string","minLength":2000,"maxLength":1000000})"));
  EXPECT_FALSE(text.Matches("\"" + std::string(1999, 'x') + "\""));
  EXPECT_TRUE(text.Matches("\"" + std::string(2000, 'x') + "\""));
  EXPECT_TRUE(text.Matches("\"" + std::string(9000, 'x') + "\""));
  Automaton nested(Lowered(
      R"({"type":"array","items":{"type":"array","items":{"type":"boolean"},"maxItems":2000},"maxItems":2000})"));
  std::string inner = "[true", outer = "[[]";
  for (int i = 1; i < 2000; ++i) inner += ",true", outer += ",[]";
  EXPECT_TRUE(nested.Matches("[" + inner + "]]"));
  EXPECT_FALSE(nested.Matches("[" + inner + ",true]]"));
  EXPECT_TRUE(nested.Matches(outer + "]"));
  EXPECT_FALSE(nested.Matches(outer + ",[]]"));
}

TEST(JsonSchema, RefusesWithTheKeywordAndItsPath) {
  EXPECT_THAT(ErrorOf("{"), HasSubstr("not JSON"));
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("# must be an object or a boolean"));
  EXPECT_THAT(ErrorOf("false"), HasSubstr("# allows no value"));
  EXPECT_THAT(ErrorOf(R"({"type":"text"})"), HasSubstr("#/type must be object"));
  EXPECT_THAT(ErrorOf(R"({"type":[]})"), HasSubstr("#/type must name a type"));
  EXPECT_THAT(ErrorOf(R"({"type":"string","maxLenght":3})"),
              HasSubstr("maxLenght at # is not known; if maxLength is meant"));
  EXPECT_THAT(ErrorOf(R"({"type":"integer","minimum":5,"maximum":4})"), HasSubstr("allows no number"));
  EXPECT_THAT(ErrorOf(R"({"type":"string","minLength":-1})"),
              HasSubstr("#/minLength must be a whole number"));
  EXPECT_THAT(ErrorOf(R"({"type":"string","minLength":4,"maxLength":3})"),
              HasSubstr("# has a minLength above its maxLength"));
  EXPECT_THAT(ErrorOf(R"({"enum":[]})"), HasSubstr("allows no value"));
  EXPECT_THAT(ErrorOf(R"({"type":"string","enum":[1]})"), HasSubstr("allows no value"));
  EXPECT_THAT(ErrorOf(R"({"properties":{"a":{"items":{"pattern":"("}}}})"),
              HasSubstr("#/properties/a/items/pattern"));
  EXPECT_THAT(ErrorOf(R"({"$dynamicRef":"#a"})"), HasSubstr("$dynamicRef at # is not supported"));
  for (const char* pattern : {"(", ")", "[a", "a**", "*", "[z-a]", "a{2,1}", "\\\\u12", "a{99999999}"}) {
    EXPECT_THAT(ErrorOf(fmt::format(R"({{"type":"string","pattern":"{}"}})", pattern)),
                HasSubstr("#/pattern"))
        << pattern;
  }
  std::string deep = R"({"type":"null"})";
  for (int i = 0; i < 2000; ++i) deep = R"({"type":"array","items":)" + deep + "}";
  EXPECT_THAT(ErrorOf(deep), HasSubstr("nested too deeply"));
}

}  // namespace
}  // namespace throng::llm
