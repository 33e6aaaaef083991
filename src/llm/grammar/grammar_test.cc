#include "llm/grammar/grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "llm/grammar/automaton.h"
#include "llm/grammar/gbnf.h"
#include "llm/grammar/gbnf_parser.h"
#include "llm/grammar/json_schema.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;

Grammar OfSchema(const std::string& schema) { return CompileGrammar({.choices = {}, .json_schema = schema}); }

bool Allows(const std::string& schema, const std::string& text) {
  return Automaton(OfSchema(schema)).Matches(text);
}

TEST(Grammar, IntegerRangesAreExact) {
  const std::vector<std::pair<int, int>> ranges = {{1, 10},   {0, 0},    {-5, 7},      {-120, -9},
                                                   {99, 101}, {7, 1234}, {-1000, 1000}};
  for (const auto& [low, high] : ranges) {
    Automaton automaton(
        OfSchema(fmt::format(R"({{"type":"integer","minimum":{},"maximum":{}}})", low, high)));
    for (int i = -1500; i <= 1500; ++i) {
      EXPECT_EQ(automaton.Matches(std::to_string(i)), low <= i && i <= high)
          << i << " in " << low << " to " << high;
    }
    for (const char* text : {"", "-", "01", "-0", "+1", "1.0", " 1", "1e1"})
      EXPECT_FALSE(automaton.Matches(text)) << text;
  }
  EXPECT_TRUE(Allows(R"({"type":"integer","exclusiveMinimum":3,"exclusiveMaximum":5})", "4"));
  EXPECT_FALSE(Allows(R"({"type":"integer","exclusiveMinimum":3,"exclusiveMaximum":5})", "3"));
  EXPECT_FALSE(Allows(R"({"type":"integer","minimum":2.5})", "2"));
  EXPECT_TRUE(Allows(R"({"type":"integer","minimum":2.5})", "999999999999999999"));
}

TEST(Grammar, NumbersKeepTheirBounds) {
  const char* schema = R"({"type":"number","minimum":-2,"maximum":10})";
  for (const char* text : {"0", "10", "10.0", "9.999", "-2", "-1.5", "-0.25", "0.001"})
    EXPECT_TRUE(Allows(schema, text)) << text;
  for (const char* text : {"10.1", "-2.5", "11", "1.", ".5", "1e3", "--1", "00"})
    EXPECT_FALSE(Allows(schema, text)) << text;
  for (const char* text : {"-1.25e-6", "3e9", "123456789012345.5"})
    EXPECT_TRUE(Allows(R"({"type":"number"})", text)) << text;
}

TEST(Grammar, StringsCountCodePointsAndEscapeWhatTheyMust) {
  const char* schema = R"({"type":"string","minLength":2,"maxLength":3})";
  for (const char* text : {"\"ab\"", "\"é漢😀\"", R"("\n\"")", R"("\\\t\u001f")", "\"\x7f~\""})
    EXPECT_TRUE(Allows(schema, text)) << text;
  for (const char* text : {"\"a\"", "\"abcd\"", "\"a\nb\"", R"("\x41a")", R"("\u00e9a")", "\"a\xc3\"",
                           "\"\xed\xa0\x80z\"", "\"\xc0\x80z\"", "\"\xf4\x90\x80\x80z\"", "ab", "\"ab"}) {
    EXPECT_FALSE(Allows(schema, text)) << text;
  }
}

// Every code point alone, against the encoder.
TEST(Grammar, AllCodePointsAndNoSurrogates) {
  Automaton automaton(OfSchema(R"({"type":"string","minLength":1,"maxLength":1})"));
  std::string text;
  for (uint32_t c = 0; c <= 0x10ffff; c += c < 0x3000 ? 1 : 97) {
    text = "\"";
    AppendStringChar(c, text);
    text += "\"";
    EXPECT_EQ(automaton.Matches(text), c < 0xd800 || c > 0xdfff) << c;
  }
}

TEST(Grammar, Patterns) {
  const auto allows = [](const std::string& pattern, const std::string& text) {
    const nlohmann::json schema = {{"type", "string"}, {"pattern", pattern}};
    return Allows(schema.dump(), nlohmann::json(text).dump());
  };
  EXPECT_TRUE(allows("^([01][0-9]|2[0-3]):00$", "23:00"));
  EXPECT_FALSE(allows("^([01][0-9]|2[0-3]):00$", "24:00"));
  EXPECT_TRUE(allows("^task", "task 7"));  // a search, not a match of the whole
  EXPECT_FALSE(allows("^task", "a task"));
  EXPECT_TRUE(allows("(^yes$)|(^no$)", "no"));
  EXPECT_TRUE(allows("^a+(?:bc|d)?$", "aaabc"));
  EXPECT_FALSE(allows("^a+(?:bc|d)?$", "bc"));
  EXPECT_TRUE(allows("[^a-c\\]]{2,}", "dé]"[0] == 'd' ? "dé" : ""));
  EXPECT_FALSE(allows("^[^a-c\\]]{2,}$", "d]"));
  EXPECT_TRUE(allows("\\d{3}\\.\\w*\\s-\\u00e9.", "123.a_B é"[0] == '1' ? "123.a_B -éz" : ""));
  EXPECT_FALSE(allows("^a.c$", "a\nc"));
  EXPECT_TRUE(allows("a|b||cd", ""));
  EXPECT_TRUE(allows("[\"\\\\\\n-]{4}", "\"\\\n-"));
  EXPECT_TRUE(allows("漢{2}|[α-ω]", "漢漢"));
  EXPECT_TRUE(allows("漢{2}|[α-ω]", "λ"));
  EXPECT_FALSE(allows("^(漢{2}|[α-ω])$", "漢"));
}

TEST(Grammar, PatternAndLengthsMeetWhereTheyCan) {
  EXPECT_TRUE(Allows(R"({"type":"string","pattern":"^[a-z]+$","maxLength":3})", "\"abc\""));
  EXPECT_FALSE(Allows(R"({"type":"string","pattern":"^[a-z]+$","maxLength":3})", "\"abcd\""));
  EXPECT_TRUE(Allows(R"({"type":"string","pattern":"ab?c","minLength":2,"maxLength":3})", "\"ac\""));
  EXPECT_TRUE(Allows(R"({"type":"string","pattern":"ab*c","maxLength":3})", "\"abc\""));
  EXPECT_FALSE(Allows(R"({"type":"string","pattern":"ab*c","maxLength":3})", "\"abbc\""));
}

TEST(Grammar, ObjectsKeepTheOrderAndLeaveOutWhatIsOptional) {
  const char* schema =
      R"({"type":"object","properties":{"z":{"type":"null"},"a":{"const":1},"m":{"enum":["x"]}},"required":["a"],"additionalProperties":false})";
  for (const char* text :
       {R"({"a":1})", R"({"z":null,"a":1})", R"({"a":1,"m":"x"})", R"({"z":null,"a":1,"m":"x"})"}) {
    EXPECT_TRUE(Allows(schema, text)) << text;
  }
  for (const char* text :
       {"{}", R"({"z":null})", R"({"a":1,"z":null})", R"({,"a":1})", R"({"a":1,})", R"({"a": 1})"}) {
    EXPECT_FALSE(Allows(schema, text)) << text;
  }
}

TEST(Grammar, TheLongestAnswerIsABound) {
  EXPECT_EQ(OfSchema(R"({"type":"boolean"})").LongestBytes(), 5);
  EXPECT_EQ(OfSchema(R"({"type":"string","pattern":"^[a-z]{1,32}$"})").LongestBytes(), 34);
  EXPECT_EQ(OfSchema(R"({"type":"string","maxLength":10})").LongestBytes(), 62);
  EXPECT_EQ(OfSchema(R"({"type":"array","items":{"const":12},"maxItems":3})").LongestBytes(), 10);
  EXPECT_EQ(OfSchema(R"({"type":"string"})").LongestBytes(), std::nullopt);
  EXPECT_EQ(CompileGrammar({.choices = {"yes", "no", ""}, .json_schema = ""}).LongestBytes(), 3);
}

TEST(Gbnf, HoldsChoices) {
  EXPECT_EQ(ToGbnf(CompileGrammar({.choices = {"yes", "a \"b\"\\\n", "李雷"}, .json_schema = ""})),
            R"(root ::= "yes" | "a \"b\"\\\x0a" | "李雷")");
}

TEST(Gbnf, HoldsRecursion) {
  const Grammar grammar = OfSchema(R"({"type":"array","items":{"$ref":"#"},"maxItems":2})");
  const std::string gbnf = ToGbnf(grammar);
  Grammar again;
  again.SetRoot(ParseGbnf(gbnf, again));
  Automaton first(grammar), second(again);
  for (const char* text : {"[]", "[[]]", "[[],[[]]]", "[[],[],[]]", "[", "[]]", "[[[[[]]]]]"})
    EXPECT_EQ(first.Matches(text), second.Matches(text)) << text << "\n" << gbnf;
}

TEST(Gbnf, HoldsSchemas) {
  EXPECT_EQ(ToGbnf(OfSchema(R"({"type":"object","properties":{"a":{"enum":["x",1]},)"
                            R"("b":{"type":"string","maxLength":3}},"required":["a","b"]})")),
            R"(root ::= "{" r18
r18 ::= "\"a\":" r4 r17
r17 ::= "," r16
r16 ::= "\"b\":" r11 "}"
r11 ::= "\"" r8 "\""
r8 ::= (r7){0,3}
r7 ::= [\x20-\x21\x23-\x5b\x5d-\ud7ff\ue000-\U0010ffff] | "\\" [\x22\x5c\x62\x66\x6e\x72\x74] |)"
            R"( "\\u000" [\x30-\x37\x62\x65-\x66] | "\\u001" [\x30-\x39\x61-\x66]
r4 ::= "\"x\"" | "1")");
  EXPECT_EQ(ToGbnf(OfSchema(R"({"type":"string","pattern":"^[a-z \"]+$"})")),
            R"(root ::= "\"" r2 "\""
r2 ::= (r1){1,}
r1 ::= [\x20\x61-\x7a] | "\\" [\x22])");
  EXPECT_THAT(ToGbnf(OfSchema(R"({"type":"integer","minimum":10,"maximum":10})")), HasSubstr("::= \"\""));
}

TEST(Grammar, HugeRepeatsOfNothingEnd) {
  EXPECT_TRUE(Allows(R"({"type":"string","pattern":"((((){1000000}){1000000}){1000000})*"})", "\"\""));
}

}  // namespace
}  // namespace throng::llm
