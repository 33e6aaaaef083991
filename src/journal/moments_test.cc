#include "journal/moments.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "journal/llm/journaled_llm.h"
#include "journal/read/timeline.h"
#include "journal/store/scratch_journal.h"
#include "sim/run/run.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

constexpr sim::Step kSteps = 20;

class MomentsTest : public testing::Test {
 protected:
  sim::RunResult Run(sim::Mode mode) { return RunOn(Get(), mode, true); }
  sim::RunResult RunOn(Journal& journal, sim::Mode mode, bool keeps) {
    sim::RunOptions options;
    options.mode = mode;
    options.steps = kSteps;
    sim::HashLlm backend(3);
    journal.Begin({}, world_, options, "test");
    journal.StartSession();
    JournaledLlm llm(backend, journal);
    if (keeps) journal.KeepMoments(llm);
    options.observers.push_back(&journal);
    const sim::RunResult result = sim::RunWorld(world_, llm, options);
    journal.EndSession("done");
    return result;
  }
  Journal& Get() { return journal_.Get(); }

  sim::WalkerWorld world_{sim::WalkerOptions{}};
  ScratchJournal journal_;
};

TEST_F(MomentsTest, SayWhenAgentsDidTheirSteps) {
  const sim::RunResult result = Run(sim::Mode::kOutOfOrder);
  const std::vector<ProgressRow> rows = ProgressFrom(Get(), 0, 100000);
  ASSERT_GT(rows.size(), 10u);
  std::map<int64_t, int64_t> done;
  double time = -1;
  for (const ProgressRow& row : rows) {
    EXPECT_GT(row.s, time);
    EXPECT_EQ(row.session, 1);
    time = row.s;
    const auto steps = nlohmann::json::parse(row.steps).get<std::vector<int64_t>>();
    for (size_t i = 0; i < steps.size(); i += 2) {
      EXPECT_GT(steps[i + 1], done[steps[i]]);
      done[steps[i]] = steps[i + 1];
    }
  }
  EXPECT_LE(time, result.stats.backend_s);
  ASSERT_EQ(done.size(), world_.NumAgents());
  for (const auto& [agent, steps] : done) EXPECT_EQ(steps, kSteps);
  const std::vector<ProgressRow> later = ProgressFrom(Get(), 7, 2);
  ASSERT_EQ(later.size(), 2u);
  EXPECT_EQ(later[0].s, rows[7].s);
  EXPECT_TRUE(GuessesBetween(Get(), 0, kSteps).empty());
}

TEST_F(MomentsTest, SayWhichGuessesWereWrong) {
  const sim::RunResult result = Run(sim::Mode::kSpeculative);
  size_t used = 0;
  size_t in_vain = 0;
  for (const GuessTimes& guess : GuessesBetween(Get(), 0, 2 * kSteps)) {
    EXPECT_LE(guess.issued_s, guess.arrived_s);
    ++(guess.used ? used : in_vain);
  }
  EXPECT_EQ(in_vain, result.stats.wasted_calls);
  EXPECT_GT(in_vain, 0u);
  EXPECT_LE(used + in_vain, result.stats.speculated_calls);
  EXPECT_GT(used, 0u);
}

TEST_F(MomentsTest, ChangeNothing) {
  Run(sim::Mode::kSpeculative);
  ScratchJournal plain;
  RunOn(plain.Get(), sim::Mode::kSpeculative, false);
  EXPECT_FALSE(ProgressFrom(Get(), 0, 1).empty());
  EXPECT_TRUE(ProgressFrom(plain.Get(), 0, 1).empty());
  EXPECT_EQ(plain.Get().CanonicalDigest(), Get().CanonicalDigest());
}

}  // namespace
}  // namespace throng::journal
