#include "llm/answer/schema_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

std::string Wrong(const std::string& schema, const std::string& value) {
  return SchemaCheck(schema).WhatIsWrong(Json::parse(value));
}

bool Allows(const std::string& schema, const std::string& value) { return Wrong(schema, value).empty(); }

std::string ErrorOf(const std::string& schema) {
  try {
    SchemaCheck check(schema);
  } catch (const Error& error) {
    return fmt::format("{}: {}", ErrorCodeName(error.Code()), error.what());
  }
  return "no error";
}

// schema, values that it allows, values that it does not
struct Case {
  const char* schema;
  std::vector<const char*> good;
  std::vector<const char*> bad;
};

TEST(SchemaCheck, JudgesEachKeyword) {
  const Case cases[] = {
      {R"({})", {"1", "null", "[]", "{}"}, {}},
      {R"({"type":"integer"})",
       {"5", "5.0", "-3", "1e3", "12345678901234567890"},
       {"5.5", "\"5\"", "true", "null"}},
      {R"({"type":"number"})", {"5", "0.12345678901234567890", "12345678901234567890"}, {"\"5\"", "true"}},
      {R"({"type":["string","null"]})", {"\"a\"", "null"}, {"1", "[]"}},
      {R"({"enum":["a",1,{"x":[1,2],"y":0}]})",
       {"\"a\"", "1.0", R"({"y":0,"x":[1.0,2]})"},
       {"\"b\"", R"({"x":[2,1],"y":0})"}},
      {R"({"const":null})", {"null"}, {"0", "false"}},
      {R"({"minLength":2,"maxLength":3})",
       {"\"ab\"", "\"a\u00e9\u4e2d\"", "7"},
       {"\"a\"", "\"abcd\"", "\"\u4e2d\""}},
      {R"({"pattern":"^task"})", {"\"task-7\"", "\"task\""}, {"\"a task\""}},
      {R"({"pattern":"\\S"})", {"\"tea\"", "\" x \""}, {"\"\"", "\"  \"", "\"\u00a0\""}},
      {R"({"pattern":"^(yes|no)$"})", {"\"yes\""}, {"\"yes\\n\"", "\"yes no\""}},
      {R"({"pattern":"^[\\s\\d]+$"})", {"\"1 2\"", "\"1\u00a02\""}, {"\"a\"", "\"\u0663\""}},
      {R"({"pattern":"^\\u00e9+$"})", {"\"\u00e9\u00e9\""}, {"\"e\""}},
      {R"({"pattern":"^[\\S]\\p{Letter}\\u{1f600}$"})", {"\"!\u00e9\U0001f600\""}, {"\"\u00a0e\U0001f600\""}},
      {R"({"pattern":"^[^]$"})", {"\"\\n\""}, {"\"\"", "\"ab\""}},
      {R"({"pattern":"^(?<quote>['*]).*\\k<quote>$"})", {"\"'a'\"", "\"**\""}, {"\"'a*\""}},
      {R"_({"pattern":"(?<=a)b(?!c)"})_", {"\"ab\""}, {"\"b\"", "\"abc\""}},
      {R"({"minimum":1,"exclusiveMaximum":3})", {"1", "2.999", "\"x\""}, {"0.999", "3"}},
      {R"({"exclusiveMinimum":0,"maximum":1.5})", {"1e-9", "1.5"}, {"0", "1.50001"}},
      {R"({"minimum":18446744073709551615})", {"18446744073709551615"}, {"18446744073709551614"}},
      {R"({"multipleOf":0.1})", {"0.3", "7", "-1.2"}, {"0.35"}},
      {R"({"multipleOf":5})", {"10", "-15.0", "0"}, {"11"}},
      {R"({"properties":{"a":{"type":"string"}},"required":["a"]})",
       {R"({"a":"x"})", R"({"z":1,"a":"x"})"},
       {"{}", R"({"a":1})"}},
      {R"({"properties":{"a":{}},"additionalProperties":false})", {"{}", R"({"a":1})"}, {R"({"b":1})"}},
      {R"({"additionalProperties":{"type":"integer"}})", {R"({"a":1})"}, {R"({"a":"x"})"}},
      {R"({"patternProperties":{"^x":{"type":"integer"}},"additionalProperties":false})",
       {R"({"x1":1})"},
       {R"({"x1":"a"})", R"({"y":1})"}},
      {R"({"propertyNames":{"maxLength":1}})", {R"({"a":1})"}, {R"({"ab":1})"}},
      {R"({"minProperties":1,"maxProperties":2})", {R"({"a":1})"}, {"{}", R"({"a":1,"b":2,"c":3})"}},
      {R"({"dependentRequired":{"a":["b"]}})", {"{}", R"({"a":1,"b":2})"}, {R"({"a":1})"}},
      {R"({"items":{"type":"integer"},"minItems":1,"maxItems":2})",
       {"[1]", "[1,2]"},
       {"[]", "[1,2,3]", "[\"a\"]"}},
      {R"({"prefixItems":[{"type":"integer"}],"items":false})", {"[]", "[1]"}, {"[\"a\"]", "[1,2]"}},
      {R"({"uniqueItems":true})",
       {"[1,2]", "[{\"a\":1},{\"a\":2}]"},
       {"[1,1.0]", "[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1}]"}},
      {R"({"contains":{"type":"integer"},"maxContains":1})", {"[\"a\",1]"}, {"[\"a\"]", "[1,2]"}},
      {R"({"anyOf":[{"type":"string"},{"minimum":5}]})", {"\"a\"", "5"}, {"4"}},
      {R"({"oneOf":[{"type":"integer"},{"minimum":5}]})", {"4", "5.5"}, {"5", "4.5"}},
      {R"({"allOf":[{"minimum":1},{"maximum":2}]})", {"1.5"}, {"0", "3"}},
      {R"({"not":{"type":"string"}})", {"1"}, {"\"a\""}},
      {R"({"if":{"minimum":10},"then":{"multipleOf":10},"else":{"maximum":5}})", {"20", "5"}, {"15", "7"}},
      {R"({"$defs":{"n":{"type":"integer"}},"properties":{"a":{"$ref":"#/$defs/n"}}})",
       {R"({"a":1})"},
       {R"({"a":"x"})"}},
      {R"({"properties":{"next":{"$ref":"#"}},"additionalProperties":false})",
       {R"({"next":{"next":{}}})"},
       {R"({"next":{"other":1}})"}},
      {R"({"type":"string","format":"date","title":"t","default":1})", {"\"no date\""}, {"1"}},
      {"true", {"1"}, {}},
      {"false", {}, {"1"}},
  };
  for (const Case& each : cases) {
    for (const char* value : each.good)
      EXPECT_EQ(Wrong(each.schema, value), "") << each.schema << " " << value;
    for (const char* value : each.bad)
      EXPECT_FALSE(Allows(each.schema, value)) << each.schema << " " << value;
  }
}

TEST(SchemaCheck, SaysWhereAndWhatIsWrong) {
  const char* schema =
      R"({"type":"object","properties":{"plan":{"type":"array","items":{"type":"object","properties":{"hour":{"type":"integer","maximum":23}},"required":["hour"]}}}})";
  EXPECT_EQ(Wrong(schema, R"({"plan":[{"hour":3},{"hour":24}]})"),
            "/plan/1/hour is 24, allowed is at most 23");
  EXPECT_EQ(Wrong(schema, R"({"plan":[{}]})"), "/plan/0 has no \"hour\"");
  EXPECT_EQ(Wrong(schema, "[]"), "the answer is [], allowed is an object");
  EXPECT_EQ(Wrong(R"({"enum":["a","b"]})", "\"c\""), "the answer is \"c\", allowed is one of \"a\", \"b\"");
}

TEST(SchemaCheck, RefusesWhatItCannotJudge) {
  EXPECT_THAT(ErrorOf(R"({"properties":{"a":{"unevaluatedItems":false}}})"),
              HasSubstr("unsupported: JSON schema: #/properties/a/unevaluatedItems is not supported"));
  EXPECT_THAT(ErrorOf(R"({"minimun":1})"), HasSubstr("unsupported"));
  EXPECT_THAT(ErrorOf(R"({"type":"text"})"),
              HasSubstr("invalid: JSON schema: #/type must be one or several of"));
  EXPECT_THAT(ErrorOf(R"({"pattern":"("})"),
              HasSubstr("#/pattern: the pattern \"(\" has no ) for a ( at offset 1"));
  EXPECT_THAT(ErrorOf(R"({"$ref":"#/$defs/none"})"), HasSubstr("#/$ref must be a pointer"));
  EXPECT_THAT(ErrorOf(R"({"$ref":"https://a.example/schema"})"), HasSubstr("invalid"));
  EXPECT_THAT(ErrorOf("{"), HasSubstr("not JSON"));
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("# must be an object"));
}

TEST(SchemaCheck, EndsWhateverItIsGiven) {
  // A reference to itself, a pattern that takes exponential time, and a deep value.
  EXPECT_FALSE(Allows(R"({"$ref":"#"})", "1"));
  EXPECT_FALSE(Allows(R"({"pattern":"^(a+)+$"})", '"' + std::string(60, 'a') + "b\""));
  std::string deep(400, '[');
  deep += std::string(400, ']');
  EXPECT_FALSE(Allows(R"({"items":{"$ref":"#"}})", deep));
}

TEST(SchemaCheck, WritesValuesAsTheEngineWould) {
  const auto form = [](const char* schema, const char* value) {
    return SchemaCheck(schema).InForm(Json::parse(value)).dump();
  };
  const char* schema =
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"array","items":{"type":"object","properties":{"x":{},"y":{"type":"number"}}}}}})";
  EXPECT_EQ(form(schema, R"({"z":1,"b":[{"y":2.0,"x":0}],"a":5.0})"),
            R"({"a":5,"b":[{"x":0,"y":2.0}],"z":1})");
  EXPECT_EQ(
      form(R"({"$defs":{"n":{"properties":{"a":{"type":"integer"},"b":{}}}},"items":{"$ref":"#/$defs/n"}})",
           R"([{"b":1,"a":2.0}])"),
      R"([{"a":2,"b":1}])");
  EXPECT_EQ(form(R"({"anyOf":[{"type":"null"},{"properties":{"a":{},"b":{}},"type":"object"}]})",
                 R"({"b":1,"a":2})"),
            R"({"a":2,"b":1})");
}

}  // namespace
}  // namespace throng::llm
