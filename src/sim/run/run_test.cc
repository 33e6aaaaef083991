#include "sim/run/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <tuple>

#include "sim/testing/test_worlds.h"

namespace throng::sim {
namespace {

using ::testing::HasSubstr;

constexpr Step kSteps = 12;

RunResult RunWalkers(const WalkerOptions& walkers, Mode mode, uint64_t timing,
                     Coupling coupling = Coupling::kPaper) {
  const WalkerWorld world(walkers);
  HashLlm llm(timing);
  RunOptions options;
  options.mode = mode;
  options.steps = kSteps;
  options.seed = walkers.seed;
  options.coupling = coupling;
  return RunWorld(world, llm, options);
}

class Exactness : public ::testing::TestWithParam<std::tuple<Metric, Rules>> {};

TEST_P(Exactness, EveryModeAndTimingLeavesTheSameHash) {
  const auto& [metric, rules] = GetParam();
  Step spread = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    WalkerOptions walkers;
    walkers.metric = metric;
    walkers.rules = rules;
    walkers.seed = seed;
    walkers.crowd = seed % 4 == 1;
    walkers.fast = seed % 4 == 2;
    walkers.width = 6 + static_cast<int32_t>(seed * 2);
    walkers.agents = 4 + static_cast<uint32_t>(seed % 11);
    const RunResult single = RunWalkers(walkers, Mode::kSingle, 1);
    const RunResult lockstep = RunWalkers(walkers, Mode::kLockstep, 2);
    const RunResult ooo = RunWalkers(walkers, Mode::kOutOfOrder, 3);
    const RunResult versioned = RunWalkers(walkers, Mode::kOutOfOrder, 4, Coupling::kVersioned);
    ASSERT_EQ(single.step_hashes.size(), size_t{kSteps});
    ASSERT_EQ(single.step_hashes, lockstep.step_hashes) << "seed " << seed;
    ASSERT_EQ(single.step_hashes, ooo.step_hashes) << "seed " << seed;
    ASSERT_EQ(single.hash, ooo.hash) << "seed " << seed;
    // The wider reach of the paper's rules only puts agents into one cluster that do not affect each other.
    ASSERT_EQ(single.hash, versioned.hash) << "seed " << seed;
    ASSERT_EQ(single.stats.calls, ooo.stats.calls);
    EXPECT_LE(lockstep.stats.max_spread, 1);
    spread = std::max(spread, ooo.stats.max_spread);
  }
  EXPECT_GT(spread, 1);  // else nothing ran out of order
}

INSTANTIATE_TEST_SUITE_P(
    All, Exactness,
    ::testing::Combine(::testing::Values(Metric::kChebyshev, Metric::kEuclid, Metric::kManhattan),
                       ::testing::Values(Rules{4, 1}, Rules{1, 2}, Rules{0, 1}, Rules{2, 3})));

// After each step of each agent, the backend is told its next step, or the end of the nap it has declared.
TEST(Expectations, AreToldToBackendsThatWantThemAndChangeNothing) {
  WalkerOptions walkers;
  walkers.naps = true;
  const WalkerWorld world(walkers);
  RunOptions options;
  options.steps = kSteps;
  for (const Mode mode : {Mode::kLockstep, Mode::kOutOfOrder, Mode::kSpeculative}) {
    options.mode = mode;
    HashLlm untold(1), told(1);
    told.WantExpectations();
    const RunResult result = RunWorld(world, told, options);
    EXPECT_EQ(result.hash, RunWorld(world, untold, options).hash);
    EXPECT_TRUE(untold.Expected().empty());
    ASSERT_EQ(told.Expected().size(), walkers.agents);
    Step longest = 0;
    for (const auto& [agent, steps] : told.Expected()) {
      ASSERT_EQ(steps.size(), size_t{kSteps} + 1) << "agent " << agent;
      for (Step step = 0; step <= kSteps; ++step) {
        EXPECT_GE(steps[static_cast<size_t>(step)], step);
        longest = std::max(longest, steps[static_cast<size_t>(step)] - step);
      }
    }
    EXPECT_GT(longest, 1);  // some agents nap
  }
}

std::string ErrorOf(const WalkerOptions& walkers, Mode mode) {
  try {
    RunWalkers(walkers, mode, 1);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Regions, WhatIsOutsideIsRefusedNamingAgentAndCell) {
  for (const Mode mode : {Mode::kSingle, Mode::kLockstep, Mode::kOutOfOrder}) {
    WalkerOptions walkers;
    walkers.agents = 1;
    walkers.extra_move = 1;
    EXPECT_THAT(ErrorOf(walkers, mode), HasSubstr("agent 0 (walker0)"));
    EXPECT_THAT(ErrorOf(walkers, mode), HasSubstr("moves from"));
    walkers.extra_move = 0;
    walkers.extra_write = 1;
    EXPECT_THAT(ErrorOf(walkers, mode), HasSubstr("writes cell ("));
    walkers.extra_write = 0;
    walkers.extra_read = 1;
    EXPECT_THAT(ErrorOf(walkers, mode), HasSubstr("reads cell ("));
    EXPECT_THAT(ErrorOf(walkers, mode), HasSubstr("step 0"));
    walkers.extra_read = 0;
    EXPECT_EQ(ErrorOf(walkers, mode), "no error");
  }
}

TEST(Run, SingleModeHasOneCallInFlight) {
  const WalkerWorld world(WalkerOptions{});
  RunOptions options;
  options.mode = Mode::kSingle;
  options.steps = 5;
  HashLlm llm(1);
  const RunResult result = RunWorld(world, llm, options);
  EXPECT_GT(result.stats.calls, 10u);
  EXPECT_EQ(llm.MaxInFlight(), 1u);
  EXPECT_NEAR(result.stats.parallelism, 1.0, 1e-9);
}

TEST(Run, OutOfOrderIsFasterThanLockstepAndThatThanSingle) {
  WalkerOptions walkers;
  walkers.width = walkers.height = 200;
  walkers.agents = 30;
  const RunResult single = RunWalkers(walkers, Mode::kSingle, 1);
  const RunResult lockstep = RunWalkers(walkers, Mode::kLockstep, 1);
  const RunResult ooo = RunWalkers(walkers, Mode::kOutOfOrder, 1);
  EXPECT_LT(lockstep.stats.backend_s * 2, single.stats.backend_s);
  EXPECT_LT(ooo.stats.backend_s * 2, lockstep.stats.backend_s);
  EXPECT_GT(ooo.stats.parallelism, lockstep.stats.parallelism);
}

TEST(Run, AFailedCallEndsTheRunAndCancelsTheOthers) {
  const WalkerWorld world(WalkerOptions{});
  RunOptions options;
  options.steps = kSteps;
  HashLlm llm(1);
  llm.FailAt(20);
  try {
    RunWorld(world, llm, options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.what(),
                ::testing::MatchesRegex("agent [0-9]+ \\(walker[0-9]+\\), step [0-9]+, call [0-9]+ "
                                        "\\((think|say)\\): the test's server is gone"));
  }
  EXPECT_EQ(llm.InFlight(), 0u);
}

// As if each call had been asked once before, and the answer had not been taken.
class SecondAttemptsLlm : public HashLlm {
 public:
  SecondAttemptsLlm() : HashLlm(1) {}
  void Wait(std::vector<llm::Completion>& done, double seconds) override {
    const size_t before = done.size();
    HashLlm::Wait(done, seconds);
    for (size_t i = before; i < done.size(); ++i) {
      done[i].cached_prompt_tokens = 5;
      done[i].spent_prompt_tokens = 100;
      done[i].spent_cached_tokens = 70;
    }
  }
};

TEST(Run, CountsTheCachedTokensOfAllAttempts) {
  const WalkerWorld world{WalkerOptions{}};
  SecondAttemptsLlm llm;
  RunOptions options;
  options.steps = kSteps;
  const RunStats stats = RunWorld(world, llm, options).stats;
  EXPECT_GT(stats.calls, 0u);
  EXPECT_EQ(stats.cached_prompt_tokens, 75 * stats.calls);
}

TEST(Run, StopsWhenAsked) {
  const WalkerWorld world(WalkerOptions{});
  std::atomic<bool> stop = false;
  RunOptions options;
  options.steps = kSteps;
  options.stop = &stop;
  options.progress_interval_s = 0;
  options.on_progress = [&](const Progress& progress) { stop = progress.stats.calls > 30; };
  HashLlm llm(1);
  try {
    RunWorld(world, llm, options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kCancelled);
  }
  EXPECT_EQ(llm.InFlight(), 0u);
}

TEST(Run, ZeroStepsHashTheStart) {
  const WalkerWorld world(WalkerOptions{});
  HashLlm llm(1);
  const RunResult result = RunWorld(world, llm, RunOptions{});
  EXPECT_EQ(result.step_hashes.size(), 0u);
  EXPECT_NE(result.start_hash, Digest{});
}

// Halted before each step and looked at, a run is the run without halts, also one that is not looked to its
// end.
TEST(SteppedRun, HaltsChangeNothing) {
  WalkerOptions walkers;
  walkers.reserve = 12;
  walkers.horizon = 3;
  const WalkerWorld world(walkers);
  HashLlm llm(1);
  RunOptions options;
  options.steps = kSteps;
  options.interventions = {{4, "write 3 3 rain"}, {6, "announce noon"}, {6, "remove 1"}, {9, "add 1 5 5"}};
  const RunResult whole = RunWorld(world, llm, options);
  for (const Mode mode : {Mode::kSingle, Mode::kLockstep, Mode::kOutOfOrder, Mode::kSpeculative}) {
    HashLlm stepped_llm(2);
    RunOptions stepped_options = options;
    stepped_options.mode = mode;
    stepped_options.steps = 1 << 30;  // where it halts is all that matters
    SteppedRun run(world, stepped_llm, stepped_options);
    for (Step step = 0; step <= kSteps; ++step) {
      run.RunTo(step);
      run.RunTo(step);  // it is there
      std::set<AgentId> there;
      for (const View* view : run.Views()) {
        EXPECT_EQ(view->Now(), step);
        there.insert(view->Self());
        EXPECT_TRUE(world.GetSpace().Contains(view->SelfBody().pos));
        view->Cell(view->SelfBody().pos);
        EXPECT_GE(view->Announced(0).size(), step >= 6 ? 4u : step >= 2 ? 1u : 0u);
      }
      for (const View* view : run.Views()) {
        for (const Neighbour& other : view->Neighbours()) EXPECT_TRUE(there.count(other.id) > 0);
      }
      if (step >= 6 && step <= 9) {
        EXPECT_EQ(there.count(1), step == 9 ? 1u : 0u) << "step " << step;
      }
      EXPECT_EQ(run.Result().step_hashes.size(), static_cast<size_t>(step));
    }
    const RunResult result = run.Result();
    EXPECT_EQ(result.hash, whole.hash) << ModeName(mode);
    EXPECT_EQ(result.step_hashes, whole.step_hashes);
    EXPECT_EQ(result.stats.calls, whole.stats.calls);
  }
}

TEST(SteppedRun, GoesOnWhenNobodyIsLeft) {
  WalkerOptions walkers;
  walkers.agents = 1;
  const WalkerWorld world(walkers);
  HashLlm llm(1);
  RunOptions options;
  options.steps = 1 << 30;
  options.interventions = {{2, "remove 0"}, {5, "add 0 5 5"}};
  SteppedRun run(world, llm, options);
  for (Step step = 0; step < 8; ++step) {
    run.RunTo(step);
    EXPECT_EQ(run.Views().size(), step < 2 || step >= 5 ? 1u : 0u) << "step " << step;
    EXPECT_EQ(run.Result().step_hashes.size(), static_cast<size_t>(step));
  }
}

TEST(SteppedRun, LeavesTheBackendWithoutCallsWhenItIsDropped) {
  WalkerOptions walkers;
  walkers.width = walkers.height = 60;
  const WalkerWorld world(walkers);
  HashLlm llm(1);
  RunOptions options;
  options.mode = Mode::kSpeculative;
  options.steps = kSteps;
  options.speculation.least_chance = 0;  // all guesses are asked
  {
    SteppedRun run(world, llm, options);
    run.RunTo(3);
    EXPECT_GT(llm.InFlight(), 0u);  // guesses of later steps
  }
  EXPECT_EQ(llm.InFlight(), 0u);
  HashLlm failing(1);
  failing.FailAt(20);
  {
    SteppedRun run(world, failing, options);
    EXPECT_THROW(run.RunTo(kSteps), Error);
  }
  EXPECT_EQ(failing.InFlight(), 0u);
}

TEST(Run, SeedsChangeTheRun) {
  WalkerOptions walkers;
  const WalkerWorld world(walkers);
  RunOptions options;
  options.steps = 5;
  HashLlm one(1);
  HashLlm two(1);
  const Digest hash = RunWorld(world, one, options).hash;
  options.seed = 1;
  EXPECT_NE(RunWorld(world, two, options).hash, hash);
}

Task<int> AskLength(Caller& caller, std::string prompt) {
  llm::Request request;
  request.prompt = std::move(prompt);
  const llm::Completion answer = co_await caller.Ask(std::move(request));
  co_return static_cast<int>(answer.text.size());
}

// One agent that makes three calls at once.
class ParallelAsker : public WalkerWorld {
 public:
  using WalkerWorld::WalkerWorld;
  Task<IntentPtr> Proceed(const View&, Caller& caller) const override {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(AskLength(caller, std::to_string(i)));
    const std::vector<int> lengths = co_await WhenAll(std::move(tasks));
    if (lengths != std::vector<int>(3, 32)) throw Error(ErrorCode::kInvalid, "wrong lengths");
    const std::vector<int> nothing = co_await WhenAll(std::vector<Task<int>>());
    if (!nothing.empty()) throw Error(ErrorCode::kInvalid, "not empty");
    co_return nullptr;
  }
  Task<void> Resolve(Step, const std::vector<Member>&, Commit&) const override { co_return; }
};

TEST(Run, TasksOfOneAgentRunConcurrently) {
  WalkerOptions walkers;
  walkers.agents = 1;
  const ParallelAsker world(walkers);
  RunOptions options;
  options.steps = 4;
  Digest hash;
  for (uint64_t timing = 0; timing < 5; ++timing) {
    HashLlm llm(timing);
    const RunResult result = RunWorld(world, llm, options);
    EXPECT_EQ(llm.MaxInFlight(), 3u);
    EXPECT_EQ(result.stats.calls, 12u);
    if (timing > 0) {
      EXPECT_EQ(result.hash, hash);
    }
    hash = result.hash;
  }
}

}  // namespace
}  // namespace throng::sim
