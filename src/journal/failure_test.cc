// Calls that hang or fail: which agents wait, which fall back, and what the journal keeps.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include "journal/journal.h"
#include "journal/llm/journaled_llm.h"
#include "journal/store/database.h"
#include "llm/decorators/decorator.h"
#include "llm/decorators/retry.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

using ::testing::HasSubstr;

constexpr sim::Step kSteps = 12;
constexpr sim::AgentId kStuck = 3;

// Never answers the first call of one agent; its clock advances when there is nothing else to wait for.
class StuckLlm : public llm::Decorator {
 public:
  explicit StuckLlm(std::unique_ptr<sim::HashLlm> inner) : Decorator(std::move(inner)) {}
  void Submit(llm::Request request) override {
    if (request.key.agent != kStuck || stuck_.has_value()) return Inner().Submit(std::move(request));
    stuck_ = llm::Cancelled(request.id, request.key);
  }
  void Wait(std::vector<llm::Completion>& done, double seconds) override {
    if (cancelled_) {
      cancelled_ = false;
      done.push_back(*stuck_);
      return;
    }
    const double before = Now();
    const size_t size = done.size();
    Inner().Wait(done, seconds);
    if (done.size() == size) ahead_ += before + seconds - Now();
  }
  void Cancel(uint64_t id) override {
    if (stuck_.has_value() && id == stuck_->id) {
      cancelled_ = true;
    } else {
      Inner().Cancel(id);
    }
  }
  double Now() const override { return Inner().Now() + ahead_; }

 private:
  bool cancelled_ = false;
  double ahead_ = 0;
  std::optional<llm::Completion> stuck_;  // what the call completes with once it is cancelled
};

class FailureTest : public ::testing::Test {
 protected:
  static sim::WalkerOptions Wide() {
    sim::WalkerOptions options;
    options.width = options.height = 200;
    options.agents = 24;
    return options;
  }

  static std::unique_ptr<llm::Llm> StuckBackend(uint64_t timing) {
    const llm::RetryOptions retry = {.call_attempts = 1, .timeout = 10000};
    return std::make_unique<llm::RetryLlm>(std::make_unique<StuckLlm>(std::make_unique<sim::HashLlm>(timing)),
                                           retry);
  }

  static sim::RunOptions Options(sim::Mode mode) {
    sim::RunOptions options;
    options.mode = mode;
    options.steps = kSteps;
    options.falls_back = [](const llm::Completion&) { return true; };
    return options;
  }

  sim::WalkerWorld world_{Wide()};
};

// How many steps each agent has finished.
class Counter : public sim::RunObserver {
 public:
  explicit Counter(uint32_t agents) : steps(agents, 0) {}
  void OnCommit(const sim::CommitRecord& record) override {
    for (const sim::MemberCommit& member : record.members) steps[member.id] = record.step + 1;
  }
  void OnStep(sim::Step, const Digest&) override {}
  std::vector<sim::Step> steps;
};

TEST_F(FailureTest, AStuckAgentHoldsUpOnlyThoseThatDependOnIt) {
  Digest hashes[2];
  for (const sim::Mode mode : {sim::Mode::kOutOfOrder, sim::Mode::kLockstep}) {
    Counter counter(world_.NumAgents());
    sim::RunOptions options = Options(mode);
    options.observers = {&counter};
    std::vector<sim::Step> at_timeout;
    options.on_fall_back = [&](const std::string& failure) {
      EXPECT_THAT(failure, HasSubstr("agent 3 (walker3)"));
      at_timeout = counter.steps;
    };
    const std::unique_ptr<llm::Llm> llm = StuckBackend(1);
    const sim::RunResult result = sim::RunWorld(world_, *llm, options);
    EXPECT_EQ(result.stats.failed_calls, 1u);
    hashes[mode == sim::Mode::kLockstep] = result.hash;

    ASSERT_EQ(at_timeout.size(), world_.NumAgents());
    const sim::Step stuck = at_timeout[kStuck];
    ASSERT_LT(stuck, kSteps);
    size_t far = 0;
    for (sim::AgentId agent = 0; agent < world_.NumAgents(); ++agent) {
      const bool independent =
          !world_.GetSpace().Within(world_.StartBody(kStuck).pos, world_.StartBody(agent).pos, 40);
      far += independent;
      if (mode == sim::Mode::kLockstep) {
        EXPECT_LE(at_timeout[agent], stuck + 1);
      } else if (independent) {
        EXPECT_EQ(at_timeout[agent], kSteps) << agent;
      }
    }
    EXPECT_GT(far, world_.NumAgents() / 2);
  }
  EXPECT_EQ(hashes[0], hashes[1]);
}

TEST_F(FailureTest, WithoutFallbackTheRunEndsNamingTheAgent) {
  sim::RunOptions options = Options(sim::Mode::kOutOfOrder);
  options.falls_back = {};
  const std::unique_ptr<llm::Llm> llm = StuckBackend(1);
  try {
    sim::RunWorld(world_, *llm, options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("agent 3 (walker3)"));
    EXPECT_THAT(error.what(), HasSubstr("no answer within 10000 s"));
  }
}

TEST_F(FailureTest, FallbacksAreJournaledAndNotAskedAgain) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / fmt::format("throng-failure-test-{}", getpid());
  const sim::RunOptions options = Options(sim::Mode::kOutOfOrder);
  Digest hash;
  {
    const std::unique_ptr<llm::Llm> llm = StuckBackend(1);
    auto journal = Journal::Create(path);
    journal->Begin({}, world_, options, "hash");
    JournaledLlm journaled(*llm, *journal, options.falls_back);
    sim::RunOptions with_journal = options;
    with_journal.observers = {journal.get()};
    hash = sim::RunWorld(world_, journaled, with_journal).hash;
    EXPECT_EQ(journal->GetDatabase().TextOf("SELECT count(*) FROM calls WHERE finish = 'failed'"), "1");
  }
  // A healthy backend that would answer the failed call differently.
  sim::HashLlm healthy(2);
  EXPECT_NE(sim::RunWorld(world_, healthy, options).hash, hash);
  auto journal = Journal::OpenToWrite(path);
  JournaledLlm journaled(healthy, *journal, options.falls_back);
  sim::RunOptions with_journal = options;
  with_journal.observers = {journal.get()};
  const sim::RunResult again = sim::RunWorld(world_, journaled, with_journal);
  EXPECT_EQ(again.hash, hash);
  EXPECT_EQ(again.stats.failed_calls, 1u);
  EXPECT_EQ(journaled.NumAsked(), 0u);
  const int step = std::stoi(journal->GetDatabase().TextOf("SELECT step FROM calls WHERE finish = 'failed'"));
  EXPECT_TRUE(journaled.IsKeptFailure({kStuck, step, 0}));
  EXPECT_FALSE(journaled.IsKeptFailure({kStuck + 1, step, 0}));
  journal.reset();
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace throng::journal
