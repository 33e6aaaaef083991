#include "trace/edit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "base/error.h"
#include "trace/stats.h"
#include "trace/synth/synth.h"
#include "trace/write.h"

namespace throng::trace {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

Trace Small() {
  return ParseTrace(R"({"agents":["Ann","Bob"],"steps":100,"sec_per_step":10,"grid":[20,10],"radius":3,)"
                    R"("start":"2023-12-31T23:50:00","functions":["plan","say"]}
{"s":0,"m":[[0,1,1],[1,3,1]]}
{"s":0,"a":0,"action":"reading"}
{"s":10,"m":[[0,2,1]]}
{"s":10,"a":0,"calls":[[0,100,10],[1,200,20]]}
{"s":11,"a":0,"until":75}
{"s":70,"a":1,"action":"talking"}
{"s":70,"members":[0,1],"turns":[[1,1,300,30],[0,1,330,5]]}
)",
                    "small");
}

std::string MessageOf(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

class TraceFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::path(::testing::TempDir()) /
           ("throng_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  fs::path dir_;
};

TEST(TraceCalls, AreReadAndNoneAreDerived) {
  const Trace trace = Small();
  EXPECT_EQ(trace.NumCalls(), 4u);
  ASSERT_EQ(trace.agents[0].chains.size(), 1u);
  EXPECT_EQ(trace.agents[0].chains[0].calls[1], (TraceCall{"say", 200, 20}));
  ASSERT_EQ(trace.conversations.size(), 1u);
  EXPECT_EQ(trace.conversations[0].turns[1].first, 0u);
  EXPECT_EQ(trace.radius_p, 3);
  EXPECT_EQ(trace.agents[0].PlannedUntil(10), 10);
  EXPECT_EQ(trace.agents[0].PlannedUntil(11), 75);
}

TEST(TraceCalls, WrongOnesAreRefused) {
  const std::string start = R"({"agents":["A","B"],"steps":9,"sec_per_step":10,"grid":[9,9],"functions":["f"]}
{"s":0,"m":[[0,1,1],[1,3,1]]}
)";
  const struct {
    const char* line;
    const char* message;
  } cases[] = {
      {R"({"s":1,"a":0,"calls":[[1,5,5]]})", "function is 1; allowed: an integer from 0 to 0"},
      {R"({"s":1,"a":0,"calls":[[0,0,5]]})", "prompt tokens is 0"},
      {R"({"s":1,"a":0,"calls":[[0,5]]})", "[function, prompt tokens, output tokens]"},
      {R"({"s":1,"calls":[[0,5,5]]})", "there is no \"a\""},
      {R"({"s":3,"a":0,"until":2})", "until is 2; allowed: an integer from 3"},
      {R"({"s":3,"until":4})", "there is no \"a\""},
      {R"({"s":1,"members":[0],"turns":[]})", "two or more agents, ascending"},
      {R"({"s":1,"members":[1,0],"turns":[]})", "two or more agents, ascending"},
      {R"({"s":1,"members":[0,1]})", "\"members\" and \"turns\""},
      {R"({"s":1,"members":[0,1],"turns":[[0,5,5]]})", "[agent, function"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(MessageOf([&] { ParseTrace(start + c.line, "t"); }), HasSubstr(c.message)) << c.line;
  }
  EXPECT_THAT(MessageOf([&] {
                ParseTrace(start + "{\"s\":1,\"a\":0,\"calls\":[]}\n{\"s\":1,\"a\":0,\"calls\":[]}", "t");
              }),
              HasSubstr("t:4: agent A has two lists"));
}

TEST_F(TraceFiles, WhatIsWrittenReadsBackEqual) {
  Trace trace = Small();
  for (const char* name : {"t.jsonl", "t.jsonl.gz"}) {
    const std::string path = dir_ / name;
    SaveTrace(trace, path);
    trace.name = path;
    EXPECT_EQ(LoadTrace(path), trace);
  }
  EXPECT_LT(fs::file_size(dir_ / "t.jsonl.gz"), fs::file_size(dir_ / "t.jsonl"));
}

TEST(CutTrace, KeepsWhatHeldAndShiftsTheClock) {
  const Trace cut = CutTrace(Small(), 60, 80);
  EXPECT_EQ(cut.num_steps, 20);
  EXPECT_EQ(cut.start.Text(), "2024-01-01T00:00:00");
  EXPECT_EQ(cut.agents[0].PosAt(0), (sim::Pos{2, 1}));
  EXPECT_EQ(cut.agents[0].ActionAt(0), "reading");
  EXPECT_EQ(cut.agents[0].PlannedUntil(0), 15);
  EXPECT_TRUE(cut.agents[0].chains.empty());
  ASSERT_EQ(cut.conversations.size(), 1u);
  EXPECT_EQ(cut.conversations[0].step, 10);
  EXPECT_EQ(CutTrace(Small(), 10, 11).agents[0].chains[0].step, 0);
  EXPECT_THAT(MessageOf([] { CutTrace(Small(), 60, 101); }), HasSubstr("it has 0 to 100"));
  Trace undated = Small();
  undated.start = LocalTime();
  EXPECT_EQ(CutTrace(undated, 60, 80).start.Text(), "00:10:00");
  EXPECT_EQ(CutTrace(undated, 0, 80).start, LocalTime());
}

TEST(TileTraces, PutsTownsSideBySide) {
  const Trace small = Small();
  const Trace tiled = TileTraces({small}, 4);
  EXPECT_EQ(tiled.agents.size(), 8u);
  EXPECT_EQ(tiled.NumCalls(), 4 * small.NumCalls());
  EXPECT_EQ(tiled.agents[6].name, "Ann 4");
  const sim::Pos pos = tiled.agents[6].PosAt(99);
  EXPECT_EQ(pos.x % small.width, 2);
  EXPECT_EQ(pos.y % small.height, 1);
  EXPECT_GE(tiled.width / small.width * (tiled.height / small.height), 4);
  EXPECT_EQ(tiled.conversations[3].members, (std::vector<sim::AgentId>{6, 7}));
  EXPECT_THAT(MessageOf([&] { TileTraces({small, CutTrace(small, 0, 50)}, 2); }), HasSubstr("need the same"));
}

TEST(TraceStats, CountsByHand) {
  const TraceStats stats = StatsOf(Small());
  EXPECT_EQ(stats.calls, 4u);
  EXPECT_EQ(stats.prompt_tokens, 930u);
  EXPECT_EQ(stats.output_tokens, 65u);
  EXPECT_EQ(stats.calls_by_hour[23], 2u);
  EXPECT_EQ(stats.calls_by_hour[0], 2u);
  EXPECT_EQ(stats.longest_chain, 2u);
  EXPECT_DOUBLE_EQ(stats.mean_turns, 2);
  EXPECT_DOUBLE_EQ(stats.mean_coupled, 2);
  EXPECT_DOUBLE_EQ(stats.moving_share, 1.0 / 200);
  EXPECT_DOUBLE_EQ(stats.busiest_agent, 1.5);
}

}  // namespace
}  // namespace throng::trace
