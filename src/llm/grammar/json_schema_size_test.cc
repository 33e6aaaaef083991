// What schemas cost: how large their grammars are, and what it takes to compile them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "llm/effort.h"
#include "llm/grammar/automaton.h"
#include "llm/grammar/program.h"
#include "llm/testing/lowered_schema.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

// Each level has three optional properties with the level below.
TEST(JsonSchemaSize, SharedPartsAreNotCopied) {
  std::string schema = R"({"type":"boolean"})";
  for (int i = 0; i < 12; ++i)
    schema =
        R"({"type":"object","properties":{"a":)" + schema + R"(,"b":{"$ref":"#/x"},"c":{"$ref":"#/x"}}})";
  Json json = Json::parse(schema);
  json["x"] = {{"type", "boolean"}};
  Automaton automaton(Lowered(json.dump()));
  EXPECT_TRUE(automaton.Matches(R"({"a":{"a":{"b":true},"c":false}})"));
}

// What follows a member is the same whether it is the first or comes after a comma.
TEST(JsonSchemaSize, EachOptionalMemberIsLaidOutOnce) {
  Json schema = {{"type", "object"}, {"properties", Json::object()}};
  const std::string padding(40, 'x');
  for (int i = 0; i < 60; ++i) schema["properties"][fmt::format("{}{}", padding, i)] = {{"type", "boolean"}};
  const Grammar grammar = Lowered(schema.dump());
  EXPECT_LT(Program(grammar, nullptr).NumPositions(), 60 * 70u);
  Automaton automaton(grammar);
  EXPECT_TRUE(automaton.Matches("{}"));
  EXPECT_TRUE(automaton.Matches(fmt::format(R"({{"{0}7":true,"{0}59":false}})", padding)));
  EXPECT_FALSE(automaton.Matches(fmt::format(R"({{,"{0}7":true}})", padding)));
  EXPECT_FALSE(automaton.Matches(fmt::format(R"({{"{0}7":true"{0}59":false}})", padding)));
  EXPECT_FALSE(automaton.Matches(fmt::format(R"({{"{0}59":true,"{0}7":false}})", padding)));
}

// A node that ends several others is shared only where the same follows all of them.
TEST(JsonSchemaSize, SharedEndsKeepWhatFollowsThem) {
  Grammar grammar;
  const Grammar::Node end = grammar.Sequence({grammar.Bytes("a long common end"), grammar.Bytes(".")});
  const Grammar::Node either = grammar.Choice(
      {grammar.Sequence({grammar.Bytes("one "), end}), grammar.Sequence({grammar.Bytes("two "), end})});
  grammar.SetRoot(grammar.Sequence({either, grammar.Bytes("!"), either, grammar.Bytes("?"), end}));
  Automaton automaton(grammar);
  EXPECT_TRUE(automaton.Matches("one a long common end.!two a long common end.?a long common end."));
  EXPECT_FALSE(automaton.Matches("one a long common end.?two a long common end.!a long common end."));
  EXPECT_FALSE(automaton.Matches("one a long common end.!two a long common end.?a long common end.!"));
}

// Branches of a oneOf that are choices themselves: each excludes all others.
TEST(JsonSchemaSize, ExcludedBranchesAreExpandedOnce) {
  Json schema = {{"oneOf", Json::array()}};
  for (int i = 0; i < 40; ++i) {
    Json kinds = Json::array();
    for (int k = 0; k < 4; ++k)
      kinds.push_back({{"properties", {{"kind", {{"const", fmt::format("{}-{}", i, k)}}}}}});
    schema["oneOf"].push_back({{"type", "object"}, {"required", {"kind"}}, {"anyOf", kinds}});
  }
  const Effort effort(150'000);
  Automaton automaton(Lowered(schema.dump()));
  EXPECT_TRUE(automaton.Matches(R"({"kind":"39-3"})"));
  EXPECT_FALSE(automaton.Matches(R"({"kind":"40-3"})"));
}

// What says no more than the schema it refers to is that schema, wherever it stands.
TEST(JsonSchemaSize, WhatManyPlacesReferToIsLoweredOnce) {
  Json schema = {{"type", "object"}, {"properties", Json::object()}};
  for (int i = 0; i < 100; ++i) {
    schema["properties"][fmt::format("text{}", i)] = {{"type", "string"}};
    schema["properties"][fmt::format("again{}", i)] = {
        {"description", fmt::format("number {}", i)}, {"type", "object"}, {"$ref", "#"}};
  }
  const Effort effort(200'000);
  Automaton automaton(Lowered(schema.dump()));
  EXPECT_TRUE(automaton.Matches(R"({"text7":"a","again9":{"again8":{},"text99":""}})"));
  EXPECT_FALSE(automaton.Matches(R"({"again9":{"text99":1}})"));
  schema["properties"]["text1"] = {{"$ref", "#/properties/text2"}, {"maxLenght", 3}};
  EXPECT_THAT(ErrorOf(schema.dump()), HasSubstr("maxLenght at #/properties/text1 is not known"));
  EXPECT_THAT(ErrorOf(R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})"),
              HasSubstr("refers to itself"));
}

// Each of three lists allows four patterns: 64 alternatives, and as many automata, but one language.
TEST(JsonSchemaSize, ManyAlternativesOfStringsAreOneLanguage) {
  Json schema = {{"type", "string"}, {"minLength", 2}, {"allOf", Json::array()}};
  for (const char first : {'a', 'e', 'i'}) {
    Json any = Json::array();
    for (int k = 0; k < 3; ++k) any.push_back({{"pattern", std::string(1, static_cast<char>(first + k))}});
    any.push_back({{"pattern", "^z"}, {"not", {{"enum", {"zz"}}}}});
    schema["allOf"].push_back({{"anyOf", any}});
  }
  const Effort effort(100'000);
  const Grammar grammar = Lowered(schema.dump());
  EXPECT_LT(Program(grammar, nullptr).NumPositions(), 2000u);
  Automaton automaton(grammar);
  for (const char* text : {"aei", "xgcxk", "z0", "zz0", "aez"})
    EXPECT_EQ(automaton.Matches(fmt::format("\"{}\"", text)), std::string_view(text) != "aez") << text;
  for (const char* text : {"ae", "zz", "z", "dhl"})
    EXPECT_FALSE(automaton.Matches(fmt::format("\"{}\"", text))) << text;
  // The same, from a oneOf and an if: in one of them alone, and what holds there.
  schema = {{"type", "string"}, {"maxLength", 3}, {"oneOf", Json::array()}};
  for (char c = 'a'; c <= 't'; ++c) schema["oneOf"].push_back({{"pattern", std::string(1, c)}});
  schema["if"] = {{"pattern", "^b"}};
  schema["then"] = {{"minLength", 3}};
  schema["else"] = {{"enum", {"a", "xc", "ab", 1}}};
  Automaton one(Lowered(schema.dump()));
  for (const char* text : {"a", "xc", "bbb", "b,b"})
    EXPECT_TRUE(one.Matches(fmt::format("\"{}\"", text))) << text;
  for (const char* text : {"ab", "b", "bbc", "c", "bbbb"})
    EXPECT_FALSE(one.Matches(fmt::format("\"{}\"", text))) << text;
}

// Sizes that grow without bounds where schemas are combined or copied.
TEST(JsonSchemaSize, HostileSchemasEndSoon) {
  Json doubling = {{"$defs", Json::object()}, {"$ref", "#/$defs/a0"}};
  for (int i = 0; i < 40; ++i) {
    const Json next = {{"$ref", fmt::format("#/$defs/a{}", i + 1)}};
    doubling["$defs"][fmt::format("a{}", i)] = {{"anyOf", {next, next}}};
  }
  doubling["$defs"]["a40"] = {{"type", "null"}};
  EXPECT_THAT(ErrorOf(doubling.dump()), HasSubstr("combine"));
  Json product = {{"type", "object"}, {"allOf", Json::array()}};
  for (int i = 0; i < 30; ++i)
    product["allOf"].push_back(
        {{"anyOf", {{{"required", {fmt::format("a{}", i)}}}, {{"required", {fmt::format("b{}", i)}}}}}});
  EXPECT_THAT(ErrorOf(product.dump()), HasSubstr("alternatives"));
  Json values = Json::array();
  for (int i = 0; i < 5000; ++i) values.push_back(fmt::format("value-{}", i));
  Automaton many(Lowered(Json{{"enum", values}}.dump()));
  EXPECT_TRUE(many.Matches("\"value-4999\""));
  Json optional = {{"type", "object"}, {"properties", Json::object()}};
  for (int i = 0; i < 2000; ++i) optional["properties"][fmt::format("k{}", i)] = {{"type", "boolean"}};
  Automaton wide(Lowered(optional.dump()));
  EXPECT_TRUE(wide.Matches(R"({"k3":true,"k1999":false})"));
  EXPECT_FALSE(wide.Matches(R"({"k1999":true,"k3":false})"));
  // Many automata that are large each.
  Json large = {{"type", "object"}, {"properties", Json::object()}};
  for (int i = 0; i < 1000; ++i)
    large["properties"][fmt::format("k{}", i)] = {{"type", "string"},
                                                  {"pattern", fmt::format("^(a|b)*a(a|b){{12}}{}$", i)}};
  const Effort effort(4'000'000);
  EXPECT_THROW(Automaton automaton(Lowered(large.dump())), Effort::Spent);
}

}  // namespace
}  // namespace throng::llm
