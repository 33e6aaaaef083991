// Journals of runs whose population changes, and of runs with injected interventions.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "journal/journal.h"
#include "journal/llm/journaled_llm.h"
#include "journal/read/report.h"
#include "journal/store/database.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

using ::testing::HasSubstr;

constexpr sim::Step kSteps = 14;

sim::WalkerOptions Walkers() {
  sim::WalkerOptions walkers;
  walkers.reserve = 40;
  walkers.horizon = 6;
  walkers.naps = true;
  walkers.seed = 3;
  return walkers;
}

class JournalDynamicTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() / fmt::format("throng-dynamic-test-{}", getpid());
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string PathOf(const std::string& name) const { return dir_ / name; }

  static sim::RunOptions Options(sim::Mode mode = sim::Mode::kOutOfOrder) {
    sim::RunOptions options;
    options.mode = mode;
    options.steps = kSteps;
    options.seed = 7;
    return options;
  }
  static std::vector<sim::Intervention> Known() {
    return {
        {0, "remove 2"}, {4, "add 53 3 3"}, {4, "tell 53 hello"}, {9, "write 3 4 fire"}, {11, "remove 53"}};
  }

  std::unique_ptr<Journal> Begin(const std::string& name, const sim::RunOptions& options) {
    auto journal = Journal::Create(PathOf(name));
    journal->Begin({}, world_, options, "hash");
    return journal;
  }

  // Runs from the start or again; asks the journal for injected interventions.
  sim::RunResult RunOn(Journal& journal, sim::RunOptions options, sim::HashLlm& backend) {
    JournaledLlm llm(backend, journal);
    options.interventions = journal.Interventions();
    options.source = &journal;
    options.source_interval_s = 0;
    options.observers.push_back(&journal);
    journal.StartSession();
    const sim::RunResult result = sim::RunWorld(world_, llm, options);
    journal.SetHash(result.hash);
    journal.EndSession("done");
    return result;
  }

  std::filesystem::path dir_;
  sim::WalkerWorld world_{Walkers()};
};

TEST_F(JournalDynamicTest, ARunIsResumedWithItsBirthsAndInterventions) {
  sim::RunOptions options = Options();
  options.interventions = Known();
  sim::HashLlm whole(1);
  const auto reference = Begin("whole", options);
  const sim::RunResult expected = RunOn(*reference, options, whole);
  EXPECT_GT(expected.stats.births, 3u);
  EXPECT_GT(expected.stats.deaths, 3u);
  EXPECT_EQ(expected.stats.interventions, 5u);
  for (const uint64_t fail_at : {0, 9, 30, 60, 90}) {
    const std::string name = fmt::format("failed{}", fail_at);
    {
      sim::HashLlm failing(2);
      failing.FailAt(fail_at);
      EXPECT_THROW(RunOn(*Begin(name, options), options, failing), Error);
    }
    const auto journal = Journal::OpenToWrite(PathOf(name));
    sim::HashLlm backend(3);
    const sim::RunResult result =
        RunOn(*journal, Options(fail_at == 30 ? sim::Mode::kSpeculative : sim::Mode::kLockstep), backend);
    EXPECT_EQ(result.hash, expected.hash);
    EXPECT_EQ(journal->CanonicalDigest(), reference->CanonicalDigest());
  }
}

TEST_F(JournalDynamicTest, WhatIsInjectedIsJournaledBeforeItHappens) {
  for (const uint64_t timing : {1, 2, 3}) {
    const std::string name = fmt::format("live{}", timing);
    sim::HashLlm failing(timing);
    failing.FailAt(45);
    sim::RunOptions options = Options();
    auto live = Begin(name, options);
    uint64_t reports = 0;
    options.progress_interval_s = 0;
    options.on_progress = [&](const sim::Progress&) {
      if (++reports % 10 == 1 && reports < 30)
        Journal::Inject(PathOf(name), 0, fmt::format("add 53 3 {}", reports));
      if (reports == 15) Journal::Inject(PathOf(name), 8, "write 5 5 fire");
      if (reports == 20) Journal::Inject(PathOf(name), 0, "remove 53");
    };
    EXPECT_THROW(RunOn(*live, options, failing), Error);
    live.reset();
    const size_t decided = Journal::OpenToRead(PathOf(name))->Interventions().size();
    EXPECT_GT(decided, 1u);

    // An intervention injected while the run is stopped must come at a step that no agent has begun.
    Journal::Inject(PathOf(name), 2, "announce late");
    const auto journal = Journal::OpenToWrite(PathOf(name));
    const InterventionRow last = Inspect(*journal).interventions.back();
    EXPECT_EQ(last.asked, 2);
    EXPECT_EQ(last.step, -1);
    const int begun = std::stoi(journal->GetDatabase().TextOf("SELECT max(step) FROM answers"));
    EXPECT_GT(begun, 2);
    sim::HashLlm backend(9);
    const sim::RunResult result =
        RunOn(*journal, Options(timing == 3 ? sim::Mode::kSpeculative : sim::Mode::kOutOfOrder), backend);
    const std::vector<sim::Intervention> happened = journal->Interventions();
    EXPECT_GT(happened.size(), decided);
    const auto late = std::find_if(
        happened.begin(), happened.end(),
        [](const sim::Intervention& intervention) { return intervention.what == "announce late"; });
    ASSERT_NE(late, happened.end());
    EXPECT_GT(late->step, begun);

    sim::RunOptions lockstep = Options(sim::Mode::kLockstep);
    lockstep.interventions = happened;
    sim::HashLlm other(4);
    EXPECT_EQ(sim::RunWorld(world_, other, lockstep).step_hashes, result.step_hashes);
  }
}

TEST_F(JournalDynamicTest, AForkHasThePastAndMayHaveAnotherFuture) {
  sim::RunOptions options = Options();
  options.interventions = Known();
  sim::HashLlm backend(1);
  const auto original = Begin("original", options);
  const sim::RunResult expected = RunOn(*original, options, backend);
  const auto fork_of = [&](const std::string& name, bool later) {
    Journal::CreateFork(PathOf(name), *original, 9, original->GetManifest(), later);
    return Journal::OpenToWrite(PathOf(name));
  };
  const auto same = fork_of("same", true);
  EXPECT_EQ(RunOn(*same, Options(), backend).hash, expected.hash);
  EXPECT_EQ(same->CanonicalDigest(), original->CanonicalDigest());

  const auto other = fork_of("other", false);
  Journal::Inject(PathOf("other"), 0, "add 52 8 8");
  const sim::RunResult result = RunOn(*other, Options(), backend);
  for (size_t step = 0; step < 9; ++step) EXPECT_EQ(result.step_hashes[step], expected.step_hashes[step]);
  const std::vector<sim::Intervention> happened = other->Interventions();
  ASSERT_EQ(happened.size(), 5u);  // all but the last one, plus the new one
  EXPECT_EQ(happened.back().what, "add 52 8 8");
  sim::RunOptions again = Options(sim::Mode::kLockstep);
  again.interventions = happened;
  EXPECT_EQ(sim::RunWorld(world_, backend, again).hash, result.hash);
}

TEST_F(JournalDynamicTest, NothingIsInjectedIntoWhatIsNoJournal) {
  EXPECT_THROW(Journal::Inject(PathOf("nothing"), 0, "announce x"), Error);
  EXPECT_FALSE(std::filesystem::exists(PathOf("nothing")));
}

}  // namespace
}  // namespace throng::journal
