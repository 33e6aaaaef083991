#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "sim/dependency_graph.h"
#include "sim/run/run.h"
#include "sim/testing/test_worlds.h"

namespace throng::sim {
namespace {

RunResult RunNappers(WalkerOptions walkers, Mode mode, uint64_t timing,
                     Coupling coupling = Coupling::kPaper) {
  const WalkerWorld world(walkers);
  HashLlm llm(timing);
  RunOptions options;
  options.mode = mode;
  options.steps = 16;
  options.seed = walkers.seed;
  options.coupling = coupling;
  return RunWorld(world, llm, options);
}

TEST(Lookahead, DeclaredNapsLetOthersAheadAndChangeNothing) {
  double seconds = 0;
  double seconds_undeclared = 0;
  for (const Metric metric : {Metric::kChebyshev, Metric::kEuclid, Metric::kManhattan}) {
    for (uint64_t seed = 0; seed < 40; ++seed) {
      WalkerOptions walkers;
      walkers.metric = metric;
      walkers.rules = seed % 2 == 0 ? Rules{4, 1} : Rules{2, 3};
      walkers.seed = seed;
      walkers.naps = true;
      walkers.crowd = seed % 3 == 0;
      walkers.width = walkers.height = 10 + static_cast<int32_t>(seed);
      const RunResult lockstep = RunNappers(walkers, Mode::kLockstep, 1);
      const RunResult ooo = RunNappers(walkers, Mode::kOutOfOrder, 2);
      ASSERT_EQ(ooo.step_hashes, lockstep.step_hashes) << "seed " << seed;
      ASSERT_EQ(RunNappers(walkers, Mode::kOutOfOrder, 3, Coupling::kVersioned).hash, lockstep.hash);
      seconds += ooo.stats.backend_s;
      walkers.declares = false;
      const RunResult undeclared = RunNappers(walkers, Mode::kOutOfOrder, 2);
      ASSERT_EQ(undeclared.hash, lockstep.hash);
      seconds_undeclared += undeclared.stats.backend_s;
    }
  }
  EXPECT_LT(seconds, 0.97 * seconds_undeclared);  // else the test exercised no lookahead
}

TEST(Lookahead, ABrokenPromiseIsRefusedNamingAgentAndStep) {
  WalkerOptions walkers;
  walkers.naps = walkers.sleepwalks = walkers.fast = true;
  try {
    RunNappers(walkers, Mode::kOutOfOrder, 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                ::testing::ContainsRegex("step [0-9]+: agent [0-9]+ \\(walker[0-9]+\\) moves to "
                                         "\\([0-9]+, [0-9]+\\), but declared to stay in"));
  }
}

TEST(Lookahead, AnAgentOutsideOfWhatItDeclaresIsRefused) {
  DependencyGraph graph(Space(20, 20, Metric::kChebyshev), {4, 1}, Coupling::kPaper,
                        std::vector<Pos>{{3, 3}, {9, 9}}, 10);
  EXPECT_THROW(graph.Declare(0, 0, {3, 3}, {5, {4, 3}, {6, 3}}), Error);
}

// A promise in force can be narrowed, not taken back: agents ahead may rely on it.
TEST(Lookahead, PromisesOnlyNarrow) {
  DependencyGraph graph(Space(20, 20, Metric::kChebyshev), {4, 1}, Coupling::kPaper,
                        std::vector<Pos>{{3, 3}, {9, 9}}, 10);
  graph.Declare(0, 0, {3, 3}, {5, {3, 3}, {6, 3}});
  graph.Declare(0, 1, {3, 3}, {4, {3, 3}, {3, 3}});  // ends earlier
  EXPECT_EQ(graph.LookaheadOf(0).until, 5);
  graph.Declare(0, 1, {3, 3}, {7, {2, 3}, {3, 3}});  // not inside
  EXPECT_EQ(graph.LookaheadOf(0).until, 5);
  graph.Declare(0, 1, {3, 3}, {7, {3, 3}, {4, 3}});
  EXPECT_EQ(graph.LookaheadOf(0).until, 7);
  graph.Declare(0, 7, {3, 3}, {8, {1, 1}, {9, 9}});
  EXPECT_EQ(graph.LookaheadOf(0).until, 8);
}

}  // namespace
}  // namespace throng::sim
