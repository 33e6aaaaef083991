// What schemas cost: how large their grammars are, and what it takes to compile them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "llm/effort.h"
#include "llm/grammar/automaton.h"
#include "llm/grammar/json_schema.h"
#include "llm/grammar/program.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

Grammar Lowered(const std::string& schema) {
  Grammar grammar;
  grammar.SetRoot(LowerJsonSchema(schema, grammar));
  return grammar;
}

std::string ErrorOf(const std::string& schema) {
  try {
    Lowered(schema);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

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
  for (int i = 0; i < 10000; ++i)
    large["properties"][fmt::format("k{}", i)] = {{"type", "string"},
                                                  {"pattern", fmt::format("^(a|b)*a(a|b){{12}}{}$", i)}};
  const Effort effort(40'000'000);
  EXPECT_THROW(Automaton automaton(Lowered(large.dump())), Effort::Spent);
}

}  // namespace
}  // namespace throng::llm
