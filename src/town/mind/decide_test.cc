#include "town/mind/decide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "town/testing/town_copy.h"

namespace throng::town {
namespace {

using testing::HasSubstr;

const Content& BuiltIn() {
  static const Content content = LoadContent(std::string(THRONG_SOURCE_DIR) + "/town");
  return content;
}

TownMind SomeMind() {
  TownMind mind;
  mind.plan =
      std::make_shared<const Plan>(Plan{{7, BuiltIn().home, "have breakfast"}, {8, 1, "serve guests"}});
  mind.memories.Append(0, 8 * 60 + 10, MemoryKind::kHeard, 7,
                       "Ben said: hello Ada. the concert is at the park at 18:00.");
  mind.memories.Append(0, 8 * 60 + 11, MemoryKind::kSaid, 2,
                       "You said to Ben: thanks Ben. I like concerts too.");
  mind.at = 1;
  return mind;
}

TEST(Decide, PromptIsWhatTheModelWasTrainedOn) {
  const TownMind mind = SomeMind();
  const Scene scene = {BuiltIn(), BuiltIn().personas[0], mind, 9 * 60 + 20};
  const llm::Request request = AskTalk(scene, {"Ben", "drink coffee", 70});
  EXPECT_EQ(
      request.prompt,
      "Name: Ada\nAge: 34\nJob: barista at the cafe\nTraits: curious, outgoing\n"
      "Knows: Ben (partner), Rosa (colleague), Mia (friend), Zoe (friend)\n"
      "Plan:\n- 07:00 home: have breakfast\n- 08:00 cafe: serve guests\n"
      "Memories:\n- 08:10 Ben said: hello Ada. the concert is at the park at 18:00.\n"
      "- 08:11 You said to Ben: thanks Ben. I like concerts too.\n"
      "Now: 09:20\nPlace: cafe\nSees: Ben (partner), doing: drink coffee\nLast talk: 1 hours ago\nTalk:\n");
  EXPECT_EQ(request.function, "talk");
  EXPECT_THAT(request.constraint.choices, testing::ElementsAre("yes", "no"));
  EXPECT_GE(request.max_tokens, 1);
}

TEST(Decide, PeopleGoWhereTheyKnowTheirWay) {
  TownCopy copy;
  copy.Replace("personas.json", "\"age\": 34", "\"age\": 34, \"places\": [\"park\"]");
  const Content content = LoadContent(copy.Dir());
  const TownMind mind = SomeMind();
  const Scene ada = {content, content.personas[0], mind, 600};
  const Scene ben = {content, content.personas[1], mind, 600};
  EXPECT_THAT(AskAct(ada, {}).constraint.choices, testing::ElementsAre("cafe", "park", "home"));
  EXPECT_THAT(AskPlan(ada).constraint.json_schema, HasSubstr(R"("enum":["cafe","park","home"])"));
  EXPECT_THAT(AskAct(ben, {}).constraint.choices, testing::Contains("farm"));
  EXPECT_THAT(AskTalk(ada, {"Ben", "walk", -1}).constraint.choices, testing::ElementsAre("yes", "no"));
}

TEST(Decide, EveryPlaceholderOfEveryPromptIsFilled) {
  const TownMind full = SomeMind();
  const TownMind empty;
  for (const Persona& persona : BuiltIn().personas) {
    for (const TownMind* mind : {&full, &empty}) {
      const Scene scene = {BuiltIn(), persona, *mind, 600};
      for (const llm::Request& request : {AskPlan(scene), AskAct(scene, {}), AskAct(scene, {"Ben", "Mia"}),
                                          AskTalk(scene, {"Zed", "walk", -1}), AskSay(scene, "Ben", {}),
                                          AskSay(scene, "Ben", {{false, "hello."}, {true, "hi."}}),
                                          AskReflect(scene), AskAnswer(scene, "Where is the concert?")}) {
        EXPECT_THAT(request.prompt, testing::Not(HasSubstr("{{")));
        EXPECT_THAT(request.prompt, testing::Not(HasSubstr(": \n")));
        EXPECT_THAT(request.prompt, testing::EndsWith(":\n"));
        EXPECT_FALSE(request.function.empty());
        EXPECT_TRUE(request.function == "answer" || !request.constraint.Empty());
      }
    }
  }
}

TEST(Decide, TalkSoFarNamesBothSpeakers) {
  const TownMind mind;
  const Scene scene = {BuiltIn(), BuiltIn().personas[0], mind, 600};
  EXPECT_THAT(
      AskSay(scene, "Ben", {}).prompt,
      HasSubstr("Next: none\nTalk with: Ben (partner)\nNews for Ben:\n- none\nTalk so far:\n- none\nSay:\n"));
  EXPECT_THAT(AskSay(scene, "Ben", {{false, "hello."}, {true, "hi."}}).prompt,
              HasSubstr("Talk so far:\nBen: hello.\nYou: hi.\nSay:\n"));
}

TEST(Decide, WhatToSayIsAskedWithWhatThereIsToTell) {
  TownMind mind = SomeMind();
  mind.memories.Append(0, 500, MemoryKind::kHeard, 4, "Mia said: hello Ada. Leo likes tea.");
  mind.plan = std::make_shared<const Plan>(Plan{{18, 1, "serve guests"}});
  const Scene scene = {BuiltIn(), BuiltIn().personas[0], mind, 600};
  EXPECT_THAT(
      AskSay(scene, "Zoe", {}).prompt,
      HasSubstr("Next: I will serve guests at the cafe at 18:00.\nTalk with: Zoe (friend)\nNews for Zoe:\n"
                "- the concert is at the park at 18:00.\n- Leo likes tea.\n"
                "- I will serve guests at the cafe at 18:00.\nTalk so far:\n- none\n"));
}

TEST(Decide, LastTalkIsTold) {
  const TownMind mind;
  const Scene scene = {BuiltIn(), BuiltIn().personas[0], mind, 600};
  const std::pair<int, const char*> cases[] = {{-1, "never"},          {0, "10 minutes ago"},
                                               {19, "10 minutes ago"}, {59, "50 minutes ago"},
                                               {60, "1 hours ago"},    {5000, "23 hours ago"}};
  for (const auto& [minutes, text] : cases) {
    EXPECT_THAT(AskTalk(scene, {"Ben", "walk", minutes}).prompt,
                HasSubstr(std::string("Last talk: ") + text + "\n"));
  }
}

TEST(Decide, WhereToGoIsAskedWithThePlanOfEachHour) {
  const Content& content = BuiltIn();
  TownMind mind;
  mind.plan = std::make_shared<const Plan>(Plan{{7, *ParsePlace(content, "bakery"), "bake bread"},
                                                {9, *ParsePlace(content, "cafe"), "have lunch"}});
  const Scene scene = {content, content.personas[0], mind, 600};
  EXPECT_THAT(AskAct(scene, {}).prompt,
              HasSubstr("Plan:\n- 05 home\n- 06 home\n- 07 bakery\n- 08 bakery\n- 09 cafe\n"));
  EXPECT_THAT(AskAct(scene, {}).prompt, HasSubstr("- 23 cafe\nMemories:\n"));
}

TEST(Decide, SchemaKeepsTheOrderOfItsKeys) {
  const std::string& schema = BuiltIn().Rules(Decision::kSay).constraint.json_schema;
  EXPECT_LT(schema.find("\"say\""), schema.find("\"end\""));
}

TEST(Decide, PlansAreReadAndBrokenOnesRefused) {
  const auto plan = ParsePlan(BuiltIn(), R"({"plan":[{"at":"07:00","place":"home","do":"eat"},
    {"at":"06:00","place":"cafe","do":"late"},{"at":"09:00","place":"moon","do":"fly"},
    {"at":"10:00","place":"park","do":" "}]})");
  ASSERT_TRUE(plan.has_value());
  ASSERT_EQ(plan->size(), 2u);  // hours ascend, places exist
  EXPECT_EQ((*plan)[1].hour, 10);
  EXPECT_FALSE((*plan)[1].activity.empty());
  for (const char* broken : {"", "{", "[]", "{}", "7", "{\"plan\":3}", "{\"plan\":[]}", "{\"plan\":[7]}",
                             "{\"plan\":[{\"at\":\"7:00\",\"place\":\"home\",\"do\":\"x\"}]}"}) {
    EXPECT_FALSE(ParsePlan(BuiltIn(), broken).has_value()) << broken;
  }
}

TEST(Decide, AnswersAreReadAndBrokenOnesRefused) {
  EXPECT_EQ(ParsePlace(BuiltIn(), "home"), BuiltIn().home);
  EXPECT_EQ(ParsePlace(BuiltIn(), " home\n"), BuiltIn().home);
  EXPECT_FALSE(ParsePlace(BuiltIn(), "the moon").has_value());
  EXPECT_EQ(ParseYesNo("yes"), true);
  EXPECT_EQ(ParseYesNo("no\n"), false);
  EXPECT_FALSE(ParseYesNo("maybe").has_value());
  const auto said = ParseSaid("{\"say\":\"hello\\nyou\",\"end\":true}");
  ASSERT_TRUE(said.has_value());
  EXPECT_EQ(said->text, "hello you");
  EXPECT_TRUE(said->end);
  EXPECT_FALSE(ParseSaid("{\"say\":\"\",\"end\":true}").has_value());
  EXPECT_FALSE(ParseSaid("hello").has_value());
  EXPECT_EQ(ParseInsight("{\"insight\":\"x\",\"importance\":99}")->importance, 10);
  EXPECT_EQ(ParseInsight("{\"insight\":\"x\"}")->importance, 5);
  EXPECT_FALSE(ParseInsight("{\"importance\":3}").has_value());
}

TEST(Decide, CleanLineNeverCutsACharacterInTwo) {
  EXPECT_EQ(CleanLine("  a\tb\n", 10), "a b");
  EXPECT_EQ(CleanLine("abcdef", 3), "abc");
  EXPECT_EQ(CleanLine("ab\xc3\xa9", 3), "ab");
  EXPECT_EQ(CleanLine("", 3), "");
}

TEST(Decide, TheUsualPlanIsAPlan) {
  for (const Persona& persona : BuiltIn().personas) {
    const Plan plan = UsualPlan(BuiltIn(), persona);
    ASSERT_GE(plan.size(), 2u);
    for (size_t i = 1; i < plan.size(); ++i) EXPECT_LT(plan[i - 1].hour, plan[i].hour) << persona.name;
    EXPECT_EQ(CurrentEntry(plan, plan[1].hour * 60 - 1), &plan[0]);
    EXPECT_EQ(CurrentEntry(plan, 24 * 60 - 1), &plan.back());
    EXPECT_EQ(CurrentEntry(plan, plan[0].hour * 60 - 1), nullptr);
  }
}

TEST(Template, RefusesWhatTheDecisionDoesNotOffer) {
  const auto error = [](const char* text) -> std::string {
    Problems problems;
    Template("prompts/talk.txt", text, Decision::kTalk, problems);
    return problems.Empty() ? "no error" : problems.All()[0].Sentence();
  };
  EXPECT_EQ(error("{{name}} {{other_does}} { }"), "no error");
  EXPECT_THAT(error("{{nmae}}"),
              HasSubstr("prompts/talk.txt:1: found the placeholder {{nmae}}, allowed: name, age"));
  EXPECT_THAT(error("{{question}}"), HasSubstr("found the placeholder {{question}}"));
  EXPECT_THAT(error("{{name"), HasSubstr("found {{ without }}"));
  EXPECT_THAT(error(""), HasSubstr("found nothing"));
}

}  // namespace
}  // namespace throng::town
