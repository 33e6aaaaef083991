#include "studies/paper_metropolis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace throng::studies {
namespace {

// Two neighbours that each think once a minute, at different steps, for longer with a larger seed.
trace::Trace SmallDay(int seed) {
  trace::Trace trace;
  trace.name = "small";
  trace.num_steps = 8640;
  trace.radius_p = 4;
  trace.width = 20;
  trace.height = 20;
  for (int i = 0; i < 2; ++i) {
    trace::TraceAgent& agent = trace.agents.emplace_back();
    agent.name = "agent";
    agent.path = {{0, {5 + i, 5}}};
    for (sim::Step step = i; step < trace.num_steps; step += 6) {
      agent.chains.push_back({step, {{"think", 600, 20 + seed}}});
    }
  }
  return trace;
}

TEST(PaperMetropolis, AnswersEachQuestionOncePerSeed) {
  PaperFlags flags;
  flags.seeds = 3;
  std::map<int, int> days;  // by number of agents
  flags.make_day = [&](int agents, int seed) {
    ++days[agents];
    return SmallDay(seed);
  };
  std::vector<std::string> progress;
  flags.on_progress = [&](const std::string& text) { progress.push_back(text); };
  const std::vector<PaperRow> rows = MeasureMetropolis(flags);
  EXPECT_EQ(days, (std::map<int, int>{{25, 3}, {100, 3}, {500, 3}, {1000, 3}}));
  EXPECT_THAT(progress, ::testing::Contains(::testing::HasSubstr("day 2 of 3, 500 agents, 12-13 h")));
  size_t from_paper = 0;
  for (const PaperRow& row : rows) {
    ASSERT_EQ(row.values.size(), 3u);
    from_paper += row.paper.has_value();
    for (const double value : row.values) {
      // The two never think at the same time, so there is nothing to gain.
      SCOPED_TRACE(row.setting + ": " + row.measure);
      if (row.measure.starts_with("ooo vs") || row.measure.ends_with("in flight")) {
        EXPECT_NEAR(value, 1, 1e-9);
      } else if (row.measure == "ooo, share of oracle") {
        EXPECT_NEAR(value, 100, 1e-6);
      } else if (row.measure == "ooo, gain by priorities") {
        EXPECT_NEAR(value, 0, 1e-9);
      } else if (row.measure.find("prefix cache") != std::string::npos) {
        EXPECT_GT(value, 1);
      }
    }
  }
  EXPECT_EQ(from_paper, 50u);  // figures of the paper's section 4
}

TEST(PaperRow, MedianOfEvenAndOddCounts) {
  PaperRow row;
  row.values = {5, 1, 3};
  EXPECT_EQ(row.Median(), 3);
  row.values = {5, 1, 3, 4};
  EXPECT_EQ(row.Median(), 3.5);
}

}  // namespace
}  // namespace throng::studies
