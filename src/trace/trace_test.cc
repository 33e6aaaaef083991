#include "trace/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "trace/trace_world.h"

namespace throng::trace {
namespace {

using ::testing::HasSubstr;

const std::string kHeader = R"({"agents":["Ann","Bob"],"steps":100,"sec_per_step":10,"grid":[20,10]})"
                            "\n";
const std::string kStart = kHeader + R"({"s":0,"m":[[0,1,1],[1,15,1]]})"
                                     "\n";

TEST(Trace, PositionsAndActionsHoldUntilTheNext) {
  const Trace trace = ParseTrace(kStart + R"({"s":5,"m":[[0,2,1]]})"
                                          "\n"
                                          R"({"s":5,"a":0,"action":"reading @ home"})",
                                 "t");
  EXPECT_EQ(trace.agents[0].PosAt(4), (sim::Pos{1, 1}));
  EXPECT_EQ(trace.agents[0].PosAt(5), (sim::Pos{2, 1}));
  EXPECT_EQ(trace.agents[0].PosAt(99), (sim::Pos{2, 1}));
  EXPECT_EQ(trace.agents[0].ActionAt(4), "");
  EXPECT_EQ(trace.agents[0].ActionAt(6), "reading @ home");
}

TEST(Trace, ConversationIsOneForBothRecordsAndMakesALinkWhenFar) {
  const std::string chat = R"("chat":[["Ann","hello over there"],["Bob","hello"]]})";
  const Trace trace = ParseTrace(kStart + R"({"s":7,"a":0,"action":"talking",)" + chat + "\n" +
                                     R"({"s":7,"a":1,"action":"talking",)" + chat + "\n" +
                                     R"({"s":9,"a":0,"action":"still talking",)" + chat,
                                 "t");
  ASSERT_EQ(trace.conversations.size(), 1u);
  const TraceConversation& conversation = trace.conversations[0];
  EXPECT_EQ(conversation.step, 7);
  EXPECT_EQ(conversation.members, (std::vector<sim::AgentId>{0, 1}));
  // Each speaker: relationship and utterance; then a memo each.
  EXPECT_EQ(conversation.turns.size(), 6u);
  EXPECT_EQ(conversation.turns[1].second.output_tokens, 4);
  EXPECT_EQ(MakeTraceWorld(trace, 8)->Links().size(), 1u);
  EXPECT_TRUE(MakeTraceWorld(trace, 13)->Links().empty());
}

TEST(Trace, JumpMakesABarrier) {
  const Trace trace = ParseTrace(kStart + R"({"s":5,"m":[[0,2,2]]})"
                                          "\n"
                                          R"({"s":6,"m":[[0,9,2]]})",
                                 "t");
  EXPECT_EQ(MakeTraceWorld(trace, 8)->Barriers(), std::vector<sim::Step>{6});
}

TEST(Trace, WrongLinesAreNamedWithTheirNumber) {
  const struct {
    std::string text;
    const char* message;
  } cases[] = {
      {"", "no header"},
      {"nonsense", "t:1: is not a JSON object"},
      {"{}", "\"agents\""},
      {R"({"agents":["A"],"steps":0,"sec_per_step":10,"grid":[1,1]})", "steps is 0; allowed"},
      {R"({"agents":["A"],"steps":10,"sec_per_step":10,"grid":[1]})", "\"grid\""},
      {kHeader, "agent Ann has no position at step 0"},
      {kHeader + R"({"s":3,"m":[[0,1,1]]})", "t:2: agent Ann has no position before"},
      {kStart + R"({"s":100,"m":[]})", "t:3: s is 100; allowed: an integer from 0 to 99"},
      {kStart + R"({"s":18446744073709551615,"m":[]})", "t:3: s is 18446744073709551615"},
      {kStart + R"({"s":5,"m":[[2,1,1]]})", "agent is 2"},
      {kStart + R"({"s":5,"m":[[0,20,1]]})", "x is 20"},
      {kStart + R"({"s":5,"m":[[0,1.5,1]]})", "x is 1.5"},
      {kStart + R"({"s":5,"m":[]})" + "\n" + R"({"s":4,"m":[]})", "t:4: step 4 follows step 5"},
      {kStart + R"({"s":5,"a":0})", "\"action\""},
      {kStart + R"({"s":5,"a":0,"action":"x","chat":[["Ann"]]})", "[speaker, text]"},
      {kStart + R"({"s":5,"a":0,"action":"x","chat":"hi"})", "\"chat\""},
      {kStart + R"({"s":5})", "\"m\" (moves) or \"a\""},
      {kStart + R"({"s":5,"a":0,"action":"x","chat":[["Cy","hi"]]})",
       "t:3: \"Cy\" speaks in \"chat\", but is no agent"},
      {R"({"agents":["A","A"],"steps":9,"sec_per_step":10,"grid":[9,9]})", "two agents are named \"A\""},
      {R"({"agents":["A"],"steps":9,"sec_per_step":10,"grid":[9,9],"start":"2023-02-30T00:00:00"})",
       "\"start\" is \"2023-02-30T00:00:00\"; allowed: a time such as"},
  };
  for (const auto& c : cases) {
    try {
      ParseTrace(c.text, "t");
      ADD_FAILURE() << "accepted: " << c.text;
    } catch (const Error& error) {
      EXPECT_EQ(error.Code(), ErrorCode::kInvalid);
      EXPECT_THAT(error.what(), HasSubstr(c.message));
    }
  }
}

TEST(Trace, RecordedDaysLoad) {
  const std::string dir = THRONG_SHARED_DIR "/traces/";
  if (!std::filesystem::exists(dir)) GTEST_SKIP() << "there is no " << dir;
  const Trace morning = LoadTrace(dir + "skip-morning-s-14_n25.jsonl.gz");
  EXPECT_EQ(morning.agents.size(), 25u);
  EXPECT_EQ(morning.num_steps, 3000);
  EXPECT_EQ(morning.conversations.size(), 14u);
  const auto world = MakeTraceWorld(morning, 8);
  EXPECT_EQ(world->Barriers(), (std::vector<sim::Step>{2425, 2878}));
  EXPECT_TRUE(world->Links().empty());
  EXPECT_EQ(MakeTraceWorld(morning, 4)->Links().size(), 3u);
  EXPECT_EQ(LoadTrace(dir + "july1-step-3-20_n3.jsonl.gz").conversations.size(), 8u);
  EXPECT_GT(MakeTraceWorld(LoadTrace(dir + "book-party_n10.jsonl.gz"), 8)->Links().size(), 0u);
}

}  // namespace
}  // namespace throng::trace
