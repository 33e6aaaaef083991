#include "trace/synth/synth.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"
#include "trace/stats.h"
#include "trace/write.h"

namespace throng::trace {
namespace {

constexpr uint64_t kSeeds = 5;

// The figures of AI Metropolis, section 4.1: each day lies within the spread of recorded days, and the mean
// of the days is closer.
TEST(SynthesizeDay, HasThePapersStatistics) {
  double calls = 0;
  double busy = 0;
  double quiet = 0;
  double coupled = 0;
  double prompt = 0;
  double output = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const TraceStats stats = StatsOf(SynthesizeDay(25, seed));
    EXPECT_EQ(stats.agents, 25u);
    EXPECT_EQ(stats.steps, 8640u);
    EXPECT_NEAR(static_cast<double>(stats.calls), 56'700, 0.05 * 56'700) << seed;
    EXPECT_NEAR(stats.MeanPrompt(), 642.6, 0.04 * 642.6) << seed;
    EXPECT_NEAR(stats.MeanOutput(), 21.9, 0.1 * 21.9) << seed;
    EXPECT_GT(stats.sd_prompt, 100) << seed;
    EXPECT_GT(stats.sd_output, 15) << seed;
    EXPECT_NEAR(static_cast<double>(stats.calls_by_hour[12]), 5000, 1250) << seed;
    EXPECT_NEAR(static_cast<double>(stats.calls_by_hour[6]), 800, 200) << seed;
    EXPECT_LT(std::accumulate(&stats.calls_by_hour[1], &stats.calls_by_hour[4], uint64_t{0}), 60u) << seed;
    EXPECT_NEAR(stats.mean_coupled, 1.85, 0.2) << seed;
    EXPECT_EQ(stats.longest_move, 1) << seed;
    EXPECT_GT(stats.conversations, 80u) << seed;
    EXPECT_GT(stats.mean_turns, 18) << seed;
    calls += static_cast<double>(stats.calls) / kSeeds;
    busy += static_cast<double>(stats.calls_by_hour[12]) / kSeeds;
    quiet += static_cast<double>(stats.calls_by_hour[6]) / kSeeds;
    coupled += stats.mean_coupled / kSeeds;
    prompt += stats.MeanPrompt() / kSeeds;
    output += stats.MeanOutput() / kSeeds;
  }
  EXPECT_NEAR(calls, 56'700, 0.02 * 56'700);
  EXPECT_NEAR(busy, 5000, 400);
  EXPECT_NEAR(quiet, 800, 80);
  EXPECT_NEAR(coupled, 1.85, 0.08);
  EXPECT_NEAR(prompt, 642.6, 0.015 * 642.6);
  EXPECT_NEAR(output, 21.9, 0.04 * 21.9);
}

TEST(SynthesizeDay, ConversationsJoinAgentsInView) {
  const Trace trace = SynthesizeDay(25, 3);
  const sim::Space space(trace.width, trace.height, sim::Metric::kChebyshev);
  for (const TraceConversation& conversation : trace.conversations) {
    ASSERT_EQ(conversation.members.size(), 2u);
    EXPECT_TRUE(space.Within(trace.agents[conversation.members[0]].PosAt(conversation.step),
                             trace.agents[conversation.members[1]].PosAt(conversation.step), trace.radius_p));
  }
}

TEST(SynthesizeDay, IsAFunctionOfItsSeedAndReadsBackEqual) {
  const Trace trace = SynthesizeDay(30, 7);
  EXPECT_EQ(trace.agents.size(), 30u);
  EXPECT_EQ(trace, SynthesizeDay(30, 7));
  EXPECT_NE(trace, SynthesizeDay(30, 8));
  EXPECT_EQ(ParseTrace(FormatTrace(trace), trace.name), trace);
  EXPECT_THROW(SynthesizeDay(0, 7), Error);
  std::vector<size_t> done;
  SynthesizeDay(30, 7, [&](size_t towns, size_t of) { done.push_back(10 * towns + of); });
  EXPECT_EQ(done, (std::vector<size_t>{12, 22}));
}

}  // namespace
}  // namespace throng::trace
