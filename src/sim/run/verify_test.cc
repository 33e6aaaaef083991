#include "sim/run/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "sim/testing/test_worlds.h"

namespace throng::sim {
namespace {

std::shared_ptr<llm::Llm> MakeHashLlm(const VerifyRun& run) {
  return std::make_shared<HashLlm>(run.shuffle.value_or(0));
}

RunOptions Options() {
  RunOptions options;
  options.steps = 8;
  return options;
}

TEST(Verify, AnExactWorldIsEqualInAllRuns) {
  const auto make_world = [] { return std::make_unique<WalkerWorld>(WalkerOptions{}); };
  const VerifyReport report = Verify(make_world, MakeHashLlm, StandardRuns(4), Options());
  EXPECT_EQ(report.difference, "");
  EXPECT_EQ(report.runs.size(), 12u);
}

// Breaks the contract: an agent's step depends on how many steps others have done before.
class LeakyWorld : public WalkerWorld {
 public:
  using WalkerWorld::WalkerWorld;
  Task<void> Resolve(Step step, const std::vector<Member>& members, Commit& commit) const override {
    ++count_;
    if (step == 5 && members.front().id == 3) {
      Event event{3, "count", std::to_string(count_)};
      commit.AddEvent(std::move(event));
    }
    return WalkerWorld::Resolve(step, members, commit);
  }

 private:
  mutable std::atomic<int> count_ = 0;
};

TEST(Verify, ALeakIsFoundWithItsStepAndAgent) {
  WalkerOptions walkers;
  walkers.width = walkers.height = 200;
  const auto make_world = [&] { return std::make_unique<LeakyWorld>(walkers); };
  const VerifyReport report = Verify(make_world, MakeHashLlm, StandardRuns(4), Options());
  EXPECT_THAT(report.difference, ::testing::HasSubstr("differ first at step 5, agent 3 (walker3)"));
}

}  // namespace
}  // namespace throng::sim
