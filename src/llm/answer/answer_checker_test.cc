#include "llm/answer/answer_checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;

constexpr const char* kRefused = "(refused)";

std::string Fit(const Constraint& constraint, const std::string& answer) {
  return AnswerChecker().Fit(constraint, answer).value_or(kRefused);
}
std::string Choose(const std::vector<std::string>& choices, const std::string& answer) {
  return Fit({.choices = choices, .json_schema = {}}, answer);
}
std::string Json(const std::string& answer) {
  return Fit({.choices = {},
              .json_schema =
                  R"({"type":"object","properties":{"a":{"type":"string","maxLength":9}},"required":["a"]})"},
             answer);
}
std::string Why(const Constraint& constraint, const std::string& answer) {
  std::string why;
  EXPECT_FALSE(AnswerChecker().Fit(constraint, answer, &why).has_value()) << answer;
  return why;
}

TEST(AnswerChecker, TakesAChoiceAsItIsWrittenFirst) {
  EXPECT_EQ(Choose({"\"yes\"", "yes"}, "\"yes\""), "\"yes\"");
  EXPECT_EQ(Choose({"x", "x "}, "x "), "x ");
  EXPECT_EQ(Choose({"no", "no."}, "no."), "no.");
  EXPECT_EQ(Choose({"Yes", "yes"}, "yes"), "yes");
  EXPECT_EQ(Choose({"</think>a", "a"}, "</think>a"), "</think>a");
  EXPECT_EQ(Choose({"", "a"}, ""), "");
}

TEST(AnswerChecker, TakesAChoiceWithoutSpacesQuotesMarksAndCase) {
  for (const char* answer : {"yes",
                             " yes\n",
                             "Yes.",
                             "YES",
                             "\"yes\"",
                             "'Yes'",
                             "(yes)",
                             "**yes**",
                             "`yes`",
                             "[yes]",
                             "yes!",
                             "yes,",
                             "\"ye\\u0073\"",
                             "{\"answer\": \"yes\"}",
                             "```\nyes\n```",
                             "```json\n{\"answer\":\"yes\"}\n```",
                             "Sure!\n```json\n{\"answer\": \"yes\"}\n```\nAnything else?",
                             "The JSON is {\"answer\":\"yes\"}.",
                             "<think>no?</think>yes",
                             "<think>\nno\n</think>\n\nYes."}) {
    EXPECT_EQ(Choose({"yes", "no"}, answer), "yes") << answer;
  }
  EXPECT_EQ(Choose({"a", "b"}, "(b)"), "b");
  EXPECT_EQ(Choose({"A", "B"}, "B) because the dog barks"), "B");
  EXPECT_EQ(Choose({"park", "park bench"}, "park bench."), "park bench");
  EXPECT_EQ(Choose({"-1", "1"}, "(-1)"), "-1");
}

TEST(AnswerChecker, TakesAChoiceAtTheHeadOfAnExplanation) {
  for (const char* answer : {"yes) because it is late", "Yes. It is late.", "**Yes**: it is late",
                             "yes\nIt is late.", "yes - it is late", "(yes) it is late"}) {
    EXPECT_EQ(Choose({"yes", "no"}, answer), "yes") << answer;
  }
  EXPECT_EQ(Choose({"10", "20"}, "10:30"), kRefused);
  EXPECT_EQ(Choose({"10", "20"}, "10.5"), kRefused);
}

TEST(AnswerChecker, NeverTakesAnotherChoiceThanWasMeant) {
  EXPECT_EQ(Choose({"Yes", "yes"}, "YES"), kRefused);
  EXPECT_EQ(Choose({"no", "no."}, "NO."), kRefused);
  for (const char* answer :
       {"yes or no", "maybe", "yes. No, wait: no", "no way yes", "I would not say yes", "yesterday", "", " ",
        "...", "yes and more", "{\"answer\": \"maybe\"}", "not yes", "<think>yes"}) {
    EXPECT_EQ(Choose({"yes", "no"}, answer), kRefused) << answer;
  }
  EXPECT_EQ(Choose({"stay", "leave"}, "I will not stay, I leave"), kRefused);
  EXPECT_EQ(Choose({"park", "park bench"}, "park. On the park bench"), kRefused);
  EXPECT_THAT(Why({.choices = {"Yes", "yes"}, .json_schema = {}}, "YES"),
              HasSubstr("more than one of: Yes, yes"));
  EXPECT_EQ(Why({.choices = {"yes", "no"}, .json_schema = {}}, "maybe"), "it is not one of: yes, no");
}

TEST(AnswerChecker, FindsTheJsonWhateverStandsAroundIt) {
  for (const char* answer :
       {R"({"a": "tea"})", "  {\n \"a\": \"tea\"\n}\n", "```json\n{\"a\": \"tea\"}\n```",
        "```\n{\"a\": \"tea\"}\n```", "Here you are:\n```json\n{\"a\": \"tea\"}\n```\nMore?",
        "Here: {\"a\": \"tea\"} or so", "<think>\nPerhaps {\"a\": 2}?\n</think>\n\n{\"a\": \"tea\"}",
        "perhaps {\"a\":\"milk\"}\n</think>\n{\"a\": \"tea\"}", "First {\"b\": 1}, then {\"a\": \"tea\"}",
        "{\"a\":\"tea\"} {\"a\": \"tea\"}", "I {like} it: {\"a\":\"tea\"}"}) {
    EXPECT_EQ(Json(answer), R"({"a":"tea"})") << answer;
  }
  EXPECT_EQ(Json(R"({"why": "cold", "a": "tea"})"), R"({"a":"tea","why":"cold"})");
  EXPECT_EQ(Json(R"({"a":"}{\"["})"), R"({"a":"}{\"["})");
}

TEST(AnswerChecker, RefusesWhatIsNotTheJsonAskedFor) {
  for (const char* answer : {"{'a': 'tea'}", "{\"a\": \"te", "", "tea", "{\"a\":1}", "{\"a\":\"tea\",}", "[]",
                             "{\"a\":\"tea\"} or {\"a\":\"milk\"}", "{\"a\":\"far too long\"}"}) {
    EXPECT_EQ(Json(answer), kRefused) << answer;
  }
  EXPECT_EQ(Json(std::string(100000, '[') + std::string(100000, ']')), kRefused);
  EXPECT_EQ(Json(std::string(100000, '{')), kRefused);
  // The beginning of an answer has parts that would be answers.
  EXPECT_EQ(Json("{\"a\":\"tea\",\"more\":[{\"a\":\"milk\"},{\"a"), kRefused);
  const Constraint age{.choices = {}, .json_schema = R"({"properties":{"age":{"type":"integer"}}})"};
  EXPECT_EQ(Why(age, R"({"age":5.5})"), "/age is 5.5, allowed is an integer");
  EXPECT_EQ(Why(age, "five"), "it is not JSON");
  EXPECT_EQ(Fit(age, R"({"age":5.0})"), R"({"age":5})");
}

TEST(AnswerChecker, LeavesFreeTextButForTheThoughts) {
  EXPECT_EQ(Fit({}, " as it is\n"), " as it is\n");
  EXPECT_EQ(Fit({}, "<think>hm</think>\n\nHello <b>"), "Hello <b>");
  EXPECT_EQ(Fit({}, "I say <think> and </think> aloud"), "I say <think> and </think> aloud");
  EXPECT_EQ(Fit({}, "<think>hm, let me"), kRefused);
}

TEST(AnswerChecker, RefusesConstraintsByWhichNothingCanBeJudged) {
  EXPECT_THROW(AnswerChecker().Prepare({.choices = {}, .json_schema = "{"}), Error);
  EXPECT_THROW(AnswerChecker().Prepare({.choices = {}, .json_schema = R"({"type":"text"})"}), Error);
  EXPECT_THROW(AnswerChecker().Prepare({.choices = {"a"}, .json_schema = "{}"}), Error);
}

TEST(OneLine, CutsBetweenCharacters) {
  EXPECT_EQ(OneLine(" a\nb\x7f "), "a b");
  EXPECT_EQ(OneLine("\u4e2d\u4e2d\u4e2d", 4), "\u4e2d...");
  EXPECT_EQ(OneLine("\n"), "(no text)");
}

}  // namespace
}  // namespace throng::llm
