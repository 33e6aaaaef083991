// Mode speculative, mostly with journals.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <tuple>

#include "journal/llm/journaled_llm.h"
#include "journal/store/scratch_journal.h"
#include "llm/backends/fake.h"
#include "sim/run/run.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

constexpr sim::Step kSteps = 14;

sim::RunOptions Options(sim::Mode mode, const sim::WalkerOptions& walkers) {
  sim::RunOptions options;
  options.mode = mode;
  options.steps = kSteps;
  options.seed = walkers.seed;
  return options;
}

// Asks whatever it can: most guesses of walkers, which fold all they see into what they do, are wrong.
sim::RunOptions Reckless(const sim::WalkerOptions& walkers) {
  sim::RunOptions options = Options(sim::Mode::kSpeculative, walkers);
  options.speculation.least_chance = 0;
  options.speculation.waste_share = 100;
  return options;
}

sim::RunResult RunWalkers(const sim::WalkerOptions& walkers, const sim::RunOptions& options,
                          uint64_t timing) {
  const sim::WalkerWorld world(walkers);
  sim::HashLlm llm(timing);
  const sim::RunResult result = sim::RunWorld(world, llm, options);
  EXPECT_EQ(llm.InFlight(), 0u);
  return result;
}

class SpeculationExactness : public ::testing::TestWithParam<std::tuple<sim::Metric, sim::Rules>> {};

// Crowds, agents that always jump as far as they may (rules with a speed above the radius: from out of sight
// into sight), naps, and cells that several agents want to write, in spaces from crowded to empty.
TEST_P(SpeculationExactness, WrongGuessesLeaveNoTrace) {
  const auto& [metric, rules] = GetParam();
  sim::RunStats sum;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    sim::WalkerOptions walkers;
    walkers.metric = metric;
    walkers.rules = rules;
    walkers.seed = seed;
    walkers.crowd = seed % 4 == 1;
    walkers.fast = seed % 4 == 2;
    walkers.naps = seed % 3 == 0;
    walkers.width = 6 + static_cast<int32_t>(seed * 3);
    walkers.agents = 4 + static_cast<uint32_t>(seed % 11);
    const sim::RunResult lockstep = RunWalkers(walkers, Options(sim::Mode::kLockstep, walkers), 1);
    sim::RunOptions reckless = Reckless(walkers);
    if (seed % 2 == 1) reckless.coupling = sim::Coupling::kVersioned;
    for (uint64_t timing = 2; timing < 5; ++timing) {
      const sim::RunResult result = RunWalkers(walkers, reckless, timing);
      ASSERT_EQ(result.step_hashes, lockstep.step_hashes) << "seed " << seed << ", timing " << timing;
      ASSERT_EQ(result.hash, lockstep.hash);
      ASSERT_EQ(result.stats.calls, lockstep.stats.calls);
      ASSERT_EQ(result.stats.output_tokens, lockstep.stats.output_tokens);
      sum.confirmed_steps += result.stats.confirmed_steps;
      sum.squashed_steps += result.stats.squashed_steps;
      sum.speculated_calls += result.stats.speculated_calls;
      sum.wasted_calls += result.stats.wasted_calls;
    }
  }
  // Otherwise no guess was right, or none was wrong, and nothing was tested.
  EXPECT_GT(sum.confirmed_steps, 100u);
  EXPECT_GT(sum.squashed_steps, 100u);
  EXPECT_GT(sum.wasted_calls, 10u);
  EXPECT_GT(sum.speculated_calls, sum.wasted_calls + 10);
}

INSTANTIATE_TEST_SUITE_P(All, SpeculationExactness,
                         ::testing::Combine(::testing::Values(sim::Metric::kChebyshev, sim::Metric::kEuclid,
                                                              sim::Metric::kManhattan),
                                            ::testing::Values(sim::Rules{4, 1}, sim::Rules{1, 4},
                                                              sim::Rules{2, 3})));

TEST(Speculation, RightGuessesSaveTime) {
  double ooo_s = 0;
  double speculative_s = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    sim::WalkerOptions walkers;
    walkers.seed = seed;
    walkers.width = walkers.height = 70;
    walkers.agents = 20;
    ooo_s += RunWalkers(walkers, Options(sim::Mode::kOutOfOrder, walkers), 1).stats.backend_s;
    speculative_s += RunWalkers(walkers, Reckless(walkers), 1).stats.backend_s;
  }
  EXPECT_LT(speculative_s, 0.9 * ooo_s);
}

TEST(Speculation, WasteStaysBelowItsCap) {
  uint64_t wasted = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    sim::WalkerOptions walkers;
    walkers.seed = seed;
    walkers.width = walkers.height = 40;
    sim::RunOptions options = Reckless(walkers);
    options.speculation.waste_share = 0.05;
    options.speculation.burst_calls = seed % 2 == 0 ? 0 : 10;
    options.speculation.max_open_tokens = 300;
    const sim::RunStats stats = RunWalkers(walkers, options, seed).stats;
    const auto confirmed = static_cast<double>(stats.prompt_tokens + stats.output_tokens);
    const double burst = options.speculation.burst_calls * confirmed / static_cast<double>(stats.calls);
    EXPECT_LE(static_cast<double>(stats.wasted_tokens), 0.05 * confirmed + burst + 300);
    wasted += stats.wasted_tokens;
  }
  EXPECT_GT(wasted, 0u);
}

// Runs as an ordinary run does; returns the canonical digest of the journal.
Digest RunJournaled(const sim::World& world, Journal& journal, sim::RunOptions options, uint64_t timing,
                    bool is_new) {
  sim::HashLlm llm(timing);
  if (is_new) journal.Begin({}, world, options, llm.Identity());
  journal.StartSession();
  JournaledLlm journaled(llm, journal);
  options.observers.push_back(&journal);
  const int64_t known = journal.NumAnswers();
  const sim::RunResult result = sim::RunWorld(world, journaled, options);
  EXPECT_EQ(static_cast<int64_t>(journaled.NumReplayed()), known);  // each is used, none is asked again
  EXPECT_EQ(journal.NumAnswers(), static_cast<int64_t>(result.stats.calls));
  journal.SetHash(result.hash);
  journal.EndSession("done");
  return journal.CanonicalDigest();
}

TEST(Speculation, JournalsKeepConfirmedAnswersAloneAndResume) {
  uint64_t resumed_answers = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    sim::WalkerOptions walkers;
    walkers.seed = seed;
    walkers.width = walkers.height = 40;
    const sim::WalkerWorld world(walkers);
    ScratchJournal lockstep;
    const Digest digest =
        RunJournaled(world, lockstep.Get(), Options(sim::Mode::kLockstep, walkers), 1, true);
    ScratchJournal speculative;
    EXPECT_EQ(RunJournaled(world, speculative.Get(), Reckless(walkers), 2, true), digest);

    ScratchJournal stopped;
    sim::RunOptions options = Reckless(walkers);
    std::atomic<bool> stop = false;
    options.stop = &stop;
    options.progress_interval_s = 0;
    options.on_progress = [&](const sim::Progress& progress) { stop = progress.stats.calls > 20 + seed; };
    EXPECT_THROW(RunJournaled(world, stopped.Get(), options, 3, true), Error);
    resumed_answers += static_cast<uint64_t>(stopped.Get().NumAnswers());
    EXPECT_EQ(RunJournaled(world, stopped.Get(), Reckless(walkers), 4, false), digest);
  }
  EXPECT_GT(resumed_answers, 100u);
}

TEST(Speculation, AFailureOnlyEndsTheRunIfItIsReal) {
  int failed = 0;
  int survived = 0;
  for (uint64_t call = 5; call < 65; ++call) {
    sim::WalkerOptions walkers;
    walkers.seed = call;
    walkers.width = walkers.height = 40;
    const sim::WalkerWorld world(walkers);
    sim::HashLlm llm(1);
    llm.FailAt(call);
    try {
      const sim::RunResult result = sim::RunWorld(world, llm, Reckless(walkers));
      EXPECT_EQ(result.hash, RunWalkers(walkers, Options(sim::Mode::kLockstep, walkers), 1).hash);
      ++survived;
    } catch (const Error& error) {
      EXPECT_EQ(error.Code(), ErrorCode::kUnavailable);
      ++failed;
    }
    EXPECT_EQ(llm.InFlight(), 0u);
  }
  EXPECT_GT(failed, 0);
  EXPECT_GT(survived, 0);
}

// A thinker thinks in steps 3 and 4, and in step 3 leaves a note or bears a child. A witness too far away to
// see the thinker sees the result, and says in step 6 what it saw then.
class NewsWorld : public sim::World {
 public:
  explicit NewsWorld(bool bears) : bears_(bears), space_(20, 20, sim::Metric::kChebyshev) {}

  std::string Name() const override { return "news"; }
  Digest ScenarioDigest() const override { return {}; }
  const sim::Space& GetSpace() const override { return space_; }
  sim::Rules GetRules() const override { return {4, 1}; }
  uint32_t NumAgents() const override { return 3; }
  bool StartsPresent(sim::AgentId agent) const override { return agent != kChild; }
  std::string AgentName(sim::AgentId agent) const override { return "agent" + std::to_string(agent); }
  sim::Body StartBody(sim::AgentId agent) const override {
    return {agent == kThinker ? sim::Pos{5, 5} : sim::Pos{10, 5}, ""};
  }
  sim::MindPtr StartMind(sim::AgentId) const override { return nullptr; }
  sim::Task<sim::IntentPtr> Proceed(const sim::View& view, sim::Caller& caller) const override {
    llm::Request request;
    request.max_tokens = 4;
    const sim::AgentId self = view.Self();
    if (self == kThinker && (view.Now() == 3 || view.Now() == 4)) {
      request.prompt = "think";
      co_await caller.Ask(std::move(request));
    } else if (self == kWitness && view.Now() == 6) {
      request.prompt = "others: " + std::to_string(view.Neighbours().size()) + ", note: " + view.Cell(kNews);
      co_await caller.Ask(std::move(request));
    }
    co_return nullptr;
  }
  sim::Task<void> Resolve(sim::Step step, const std::vector<sim::Member>& members,
                          sim::Commit& commit) const override {
    if (step != 3 || members[0].id != kThinker) co_return;
    if (bears_) {
      commit.Birth(kChild, {kNews, ""}, nullptr);
    } else {
      commit.WriteCell(kNews, "hello");
    }
  }

 private:
  enum : sim::AgentId { kThinker, kWitness, kChild };
  static constexpr sim::Pos kNews = {6, 5};
  const bool bears_;
  const sim::Space space_;
};

// While the thinker thinks for the second time, the witness is asked again if its guess turns out to have
// missed the news: each call takes a second, and nothing else takes time.
TEST(Speculation, GuessesThatDidNotKnowOfABirthOrACellAreMadeAgain) {
  for (const bool bears : {true, false}) {
    const NewsWorld world(bears);
    sim::RunOptions options;
    options.steps = 8;
    double seconds[2];
    Digest hashes[2];
    for (const bool speculates : {false, true}) {
      llm::FakeLlm llm({.latency = 1});
      options.mode = speculates ? sim::Mode::kSpeculative : sim::Mode::kLockstep;
      options.speculation.least_chance = 0;
      const sim::RunResult result = sim::RunWorld(world, llm, options);
      seconds[speculates] = result.stats.backend_s;
      hashes[speculates] = result.hash;
      EXPECT_EQ(result.stats.wasted_calls, speculates ? 1u : 0u);
    }
    EXPECT_EQ(hashes[1], hashes[0]);
    EXPECT_DOUBLE_EQ(seconds[0], 3);
    EXPECT_DOUBLE_EQ(seconds[1], 2) << (bears ? "a birth" : "a cell");
  }
}

}  // namespace
}  // namespace throng::journal
