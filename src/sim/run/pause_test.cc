#include <gtest/gtest.h>

#include <atomic>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "sim/run/run.h"
#include "sim/testing/test_worlds.h"

namespace throng::sim {
namespace {

// Pauses the run at random: as often as not, each time that it is asked.
class Pauser : public InterventionSource {
 public:
  explicit Pauser(uint64_t seed) : rng_(seed) {}
  std::vector<Intervention> Take(Step) override { return {}; }
  bool IsPaused() override {
    is_paused = rng_.NextBelow(2) == 0;
    num_pauses += is_paused ? 1 : 0;
    return is_paused;
  }

  bool is_paused = false;
  int num_pauses = 0;

 private:
  CounterRng rng_;
};

// What is in flight also arrives while the run is paused, when nothing may be asked.
class WatchedLlm : public HashLlm {
 public:
  WatchedLlm(uint64_t timing, const Pauser& pauser) : HashLlm(timing), pauser_(pauser) {}
  void Submit(llm::Request request) override {
    EXPECT_FALSE(pauser_.is_paused);
    HashLlm::Submit(std::move(request));
  }
  void Wait(std::vector<llm::Completion>& done, double seconds) override {
    const size_t before = done.size();
    HashLlm::Wait(done, pauser_.is_paused ? kForever : seconds);
    if (pauser_.is_paused) num_arrived += done.size() - before;
  }

  size_t num_arrived = 0;

 private:
  const Pauser& pauser_;
};

RunOptions OptionsOf(Mode mode, uint64_t seed) {
  RunOptions options;
  options.mode = mode;
  options.steps = 12;
  options.seed = seed;
  options.source_interval_s = 0;
  return options;
}

TEST(Pause, AtAnyMomentChangesNothingInAnyMode) {
  size_t arrived = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    WalkerOptions walkers;
    walkers.seed = seed;
    walkers.width = walkers.height = 16 + static_cast<int32_t>(seed);
    const WalkerWorld world(walkers);
    HashLlm undisturbed(seed);
    const RunResult wanted = RunWorld(world, undisturbed, OptionsOf(Mode::kLockstep, seed));
    for (const Mode mode : {Mode::kSingle, Mode::kLockstep, Mode::kOutOfOrder, Mode::kSpeculative}) {
      Pauser pauser(seed);
      WatchedLlm llm(seed, pauser);
      RunOptions options = OptionsOf(mode, seed);
      options.source = &pauser;
      const RunResult result = RunWorld(world, llm, options);
      ASSERT_EQ(result.hash, wanted.hash) << "seed " << seed << ", mode " << ModeName(mode);
      EXPECT_EQ(llm.InFlight(), 0u);
      EXPECT_GT(pauser.num_pauses, 5);
      arrived += llm.num_arrived;
    }
  }
  EXPECT_GT(arrived, 100u);
}

// Else a pause would count as time in which calls were in flight.
TEST(Pause, AVirtualClockStandsStill) {
  const WalkerWorld world{WalkerOptions{}};
  HashLlm undisturbed(1);
  const RunResult wanted = RunWorld(world, undisturbed, OptionsOf(Mode::kOutOfOrder, 1));
  Pauser pauser(1);
  HashLlm llm(1);
  RunOptions options = OptionsOf(Mode::kOutOfOrder, 1);
  options.source = &pauser;
  const RunResult result = RunWorld(world, llm, options);
  EXPECT_GT(pauser.num_pauses, 5);
  EXPECT_DOUBLE_EQ(result.stats.backend_s, wanted.stats.backend_s);
}

TEST(Pause, ARunThatStandsStillSaysSoAndCanBeStopped) {
  class Forever : public InterventionSource {
   public:
    std::vector<Intervention> Take(Step) override { return {}; }
    bool IsPaused() override { return true; }
  } source;
  const WalkerWorld world{WalkerOptions{}};
  HashLlm llm(1);
  RunOptions options = OptionsOf(Mode::kOutOfOrder, 1);
  options.source = &source;
  std::atomic<bool> stop = false;
  options.stop = &stop;
  options.progress_interval_s = 0;
  int told = 0;
  options.on_progress = [&](const Progress& progress) {
    if (!progress.is_paused) return;
    stop = ++told == 3;
  };
  try {
    RunWorld(world, llm, options);
    FAIL() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kCancelled);
  }
  EXPECT_EQ(told, 3);
}

}  // namespace
}  // namespace throng::sim
