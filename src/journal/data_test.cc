// Data collected of a run, runs that end at an event or go on beyond their end, and where two runs part.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "journal/llm/journaled_llm.h"
#include "journal/read/compare.h"
#include "journal/read/reader.h"
#include "journal/store/database.h"
#include "journal/store/scratch_journal.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

using ::testing::HasSubstr;

class DataTest : public ::testing::Test {
 protected:
  static sim::RunOptions Options(sim::Step steps, uint64_t seed = 7) {
    sim::RunOptions options;
    options.steps = steps;
    options.seed = seed;
    return options;
  }

  void Begin(Journal& journal, const sim::RunOptions& options) { journal.Begin({}, world_, options, "hash"); }

  Digest RunOn(Journal& journal, sim::RunOptions options) {
    sim::HashLlm backend(1);
    JournaledLlm llm(backend, journal);
    options.observers.push_back(&journal);
    journal.StartSession();
    const sim::RunResult result = sim::RunWorld(world_, llm, options);
    const auto steps = static_cast<sim::Step>(result.step_hashes.size());
    if (steps < options.steps) journal.EndAt(steps);
    journal.SetHash(result.hash);
    journal.EndSession("done");
    asked_ = llm.NumAsked();
    return result.hash;
  }

  sim::WalkerWorld world_{sim::WalkerOptions{}};
  uint64_t asked_ = 0;
};

TEST_F(DataTest, CollectedValuesComeBackAsTheyWere) {
  ScratchJournal scratch;
  Journal& journal = scratch.Get();
  Begin(journal, Options(3));
  journal.AddDatum(0, std::nullopt, "mean", 1.5);
  journal.AddDatum(0, std::nullopt, "count", int64_t{3});
  journal.AddDatum(0, 2, "mood", "glad");
  journal.AddDatum(0, 2, "wealth", {});
  journal.AddDatum(0, 2, "ratio", std::nan(""));
  const auto of = [&](const char* sql) { return journal.GetDatabase().TextOf(sql); };
  EXPECT_EQ(of("SELECT typeof(value) FROM model_data WHERE name = 'mean'"), "real");
  EXPECT_EQ(of("SELECT typeof(value) FROM data WHERE name = 'count' AND agent IS NULL"), "integer");
  EXPECT_EQ(of("SELECT agent_name || ' ' || value FROM agent_data WHERE name = 'mood'"), "walker2 glad");
  EXPECT_EQ(of("SELECT count(*) FROM agent_data WHERE value IS NULL"), "2");
}

TEST_F(DataTest, CollectingAgainMustGiveTheSame) {
  ScratchJournal scratch;
  Journal& journal = scratch.Get();
  Begin(journal, Options(3));
  const Digest before = journal.CanonicalDigest();
  journal.AddDatum(4, 1, "wealth", 2.0);
  journal.AddDatum(4, 1, "ratio", std::nan(""));
  EXPECT_EQ(journal.CanonicalDigest(), before);  // measuring a run does not make it another one
  EXPECT_NO_THROW(journal.AddDatum(4, 1, "wealth", 2.0));
  EXPECT_NO_THROW(journal.AddDatum(4, 1, "ratio", std::nan("")));
  for (const DataValue& other : {DataValue(3.0), DataValue(int64_t{2}), DataValue("2"), DataValue()}) {
    try {
      journal.AddDatum(4, 1, "wealth", other);
      ADD_FAILURE() << other.index();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("\"wealth\" of agent 1 in step 4 came out differently"));
    }
  }
}

TEST_F(DataTest, AnExtendedRunIsTheLongOne) {
  ScratchJournal whole;
  Begin(whole.Get(), Options(12));
  const Digest expected = RunOn(whole.Get(), Options(12));

  ScratchJournal extended;
  Journal& journal = extended.Get();
  Begin(journal, Options(5));
  EXPECT_NE(RunOn(journal, Options(5)), expected);
  journal.Continue({}, world_, Options(12), "hash");
  EXPECT_FALSE(journal.GetManifest().contains(JournalKeys::kHash));  // it is not done any more
  EXPECT_EQ(journal.ManifestValue(JournalKeys::kSteps), "12");
  EXPECT_EQ(RunOn(journal, Options(12)), expected);
  EXPECT_GT(asked_, 0u);
  EXPECT_EQ(journal.CanonicalDigest(), whole.Get().CanonicalDigest());
  EXPECT_THROW(journal.Continue({}, world_, Options(11), "hash"), Error);
}

TEST_F(DataTest, ARunEndsWithTheSameStepInEveryMode) {
  const auto ends = [](sim::Step step) { return step == 4; };
  ScratchJournal straight;
  Begin(straight.Get(), Options(5));
  const Digest expected = RunOn(straight.Get(), Options(5));
  for (const sim::Mode mode :
       {sim::Mode::kSingle, sim::Mode::kLockstep, sim::Mode::kOutOfOrder, sim::Mode::kSpeculative}) {
    ScratchJournal scratch;
    sim::RunOptions options = Options(12);
    options.mode = mode;
    options.ends_after = ends;
    Begin(scratch.Get(), options);
    EXPECT_EQ(RunOn(scratch.Get(), options), expected) << sim::ModeName(mode);
    EXPECT_EQ(scratch.Get().NumSteps(), 5);
    EXPECT_EQ(scratch.Get().CanonicalDigest(), straight.Get().CanonicalDigest()) << sim::ModeName(mode);
    EXPECT_FALSE(FindDifference(scratch.Get(), straight.Get()).has_value());
  }
}

TEST_F(DataTest, AnotherBackendGoesOnIfAskedAndIsWrittenDown) {
  ScratchJournal scratch;
  Journal& journal = scratch.Get();
  Begin(journal, Options(5));
  RunOn(journal, Options(5));
  EXPECT_THROW(journal.Continue({}, world_, Options(8), "another"), Error);
  journal.Continue({{"llm", "another"}}, world_, Options(8), "another", true);
  EXPECT_EQ(journal.ManifestValue(JournalKeys::kBackend), "another");
  RunOn(journal, Options(8));
  const std::vector<SessionRow> sessions = Reader(journal).Sessions();
  ASSERT_EQ(sessions.size(), 2u);
  EXPECT_EQ(sessions[0].backend, "hash");
  EXPECT_EQ(sessions[1].backend, "another");
  EXPECT_EQ(sessions[1].first_step, 5);
  EXPECT_THAT(sessions[1].parameters, HasSubstr(R"("steps":"8")"));
  EXPECT_THAT(sessions[1].parameters, HasSubstr(R"("llm":"another")"));
  EXPECT_THAT(sessions[1].parameters, ::testing::Not(HasSubstr("seed")));
  EXPECT_EQ(journal.GetDatabase().TextOf("SELECT min(session) || max(session) FROM calls WHERE step < 5"),
            "11");
  EXPECT_EQ(journal.GetDatabase().TextOf("SELECT min(session) || max(session) FROM calls WHERE step >= 5"),
            "22");
}

TEST_F(DataTest, TheFirstDifferenceIsTheCause) {
  ScratchJournal a;
  Begin(a.Get(), Options(8));
  RunOn(a.Get(), Options(8));
  EXPECT_FALSE(FindDifference(a.Get(), a.Get()).has_value());

  ScratchJournal b;
  sim::RunOptions options = Options(8);
  options.seed_changes = {{5, 9}};
  Begin(b.Get(), options);
  RunOn(b.Get(), options);
  const std::optional<Difference> difference = FindDifference(a.Get(), b.Get());
  ASSERT_TRUE(difference.has_value());
  EXPECT_EQ(difference->step, 5);
  ASSERT_TRUE(difference->agent.has_value());
  EXPECT_EQ(difference->agent_name, fmt::format("walker{}", *difference->agent));
  EXPECT_THAT(difference->what, HasSubstr("call 0 (think) has other settings"));
  EXPECT_THAT(difference->a, HasSubstr("seed 7"));
  EXPECT_THAT(difference->b, HasSubstr("seed 9"));
}

}  // namespace
}  // namespace throng::journal
