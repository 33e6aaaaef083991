// Populations that change: births, deaths, interventions and announcements, in every mode.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include "sim/run/run.h"
#include "sim/run/verify.h"
#include "sim/testing/test_worlds.h"
#include "worlds/example_worlds.h"

namespace throng::worlds {
namespace {

using ::testing::HasSubstr;

constexpr sim::Step kSteps = 16;

sim::RunResult RunWalkers(const sim::WalkerOptions& walkers, sim::RunOptions options, uint64_t timing) {
  const sim::WalkerWorld world(walkers);
  sim::HashLlm llm(timing);
  options.steps = kSteps;
  options.seed = walkers.seed;
  const sim::RunResult result = sim::RunWorld(world, llm, options);
  EXPECT_EQ(llm.InFlight(), 0u);
  return result;
}

// Arrivals, departures and other changes, at random steps and places, near agents and far from them.
std::vector<sim::Intervention> RandomInterventions(const sim::WalkerOptions& walkers, uint64_t number) {
  CounterRng rng(walkers.seed, 99);
  const uint32_t ids = walkers.agents + walkers.reserve;
  std::vector<sim::Intervention> interventions;
  for (uint64_t i = 0; i < number; ++i) {
    const int32_t width = walkers.network ? static_cast<int32_t>(walkers.network->NumNodes()) : walkers.width;
    const int32_t height = walkers.network ? 1 : walkers.height;
    const uint64_t x = rng.NextBelow(static_cast<uint64_t>(width));
    const uint64_t y = rng.NextBelow(static_cast<uint64_t>(height));
    // Picks the ids that are never born more often.
    const uint64_t id = rng.NextBelow(2) == 0 ? ids - 1 - rng.NextBelow(3) : rng.NextBelow(ids);
    const std::string what[] = {fmt::format("add {} {} {}", ids - 1 - rng.NextBelow(3), x, y),
                                fmt::format("remove {}", id), fmt::format("tell {} news{}", id, i),
                                fmt::format("write {} {} fire", x, y), fmt::format("announce news{}", i)};
    interventions.push_back({static_cast<sim::Step>(rng.NextBelow(kSteps)), what[rng.NextBelow(5)]});
  }
  return interventions;
}

sim::WalkerOptions RandomWalkers(uint64_t seed) {
  sim::WalkerOptions walkers;
  walkers.seed = seed;
  walkers.crowd = seed % 4 == 1;
  walkers.fast = seed % 4 == 2;
  walkers.mixed = seed % 2 == 0;
  walkers.naps = seed % 3 == 0;
  walkers.width = 6 + static_cast<int32_t>(seed * 2);
  walkers.agents = 4 + static_cast<uint32_t>(seed % 11);
  walkers.reserve = 40;
  walkers.horizon = seed % 3 == 1 ? 1 + static_cast<sim::Step>(seed % 7) : 0;
  return walkers;
}

// Totals over all runs, to check that they exercised what the tests are about.
struct Totals {
  sim::Step spread = 0;
  sim::RunStats stats;
  void Add(const sim::RunStats& run) {
    spread = std::max(spread, run.max_spread);
    stats.births += run.births;
    stats.deaths += run.deaths;
    stats.interventions += run.interventions;
    stats.squashed_steps += run.squashed_steps;
  }
};

void ExpectAlike(const sim::WalkerOptions& walkers, Totals& totals) {
  sim::RunOptions options;
  if (walkers.seed % 2 == 1) options.interventions = RandomInterventions(walkers, walkers.seed % 12);
  options.mode = sim::Mode::kLockstep;
  const sim::RunResult lockstep = RunWalkers(walkers, options, 1);
  ASSERT_EQ(lockstep.step_hashes.size(), size_t{kSteps});
  const std::tuple<sim::Mode, sim::Coupling, uint64_t> others[] = {
      {sim::Mode::kSingle, sim::Coupling::kPaper, 2},
      {sim::Mode::kOutOfOrder, sim::Coupling::kPaper, 3},
      {sim::Mode::kOutOfOrder, sim::Coupling::kPaper, 4},
      {sim::Mode::kOutOfOrder, sim::Coupling::kVersioned, 5},
      {sim::Mode::kSpeculative, sim::Coupling::kPaper, 6},
      {sim::Mode::kSpeculative, sim::Coupling::kVersioned, 7}};
  options.speculation.least_chance = 0;
  options.speculation.waste_share = 100;
  for (const auto& [mode, coupling, timing] : others) {
    options.mode = mode;
    options.coupling = coupling;
    const sim::RunResult result = RunWalkers(walkers, options, timing);
    ASSERT_EQ(result.step_hashes, lockstep.step_hashes)
        << "seed " << walkers.seed << ", " << sim::ModeName(mode) << ", timing " << timing;
    ASSERT_EQ(result.hash, lockstep.hash);
    ASSERT_EQ(result.stats.calls, lockstep.stats.calls);
    ASSERT_EQ(result.stats.births, lockstep.stats.births);
    if (walkers.horizon > 0) {
      ASSERT_LE(result.stats.max_spread, walkers.horizon);
    }
    totals.Add(result.stats);
  }
}

class DynamicExactness : public ::testing::TestWithParam<std::tuple<sim::Metric, sim::Rules>> {};

TEST_P(DynamicExactness, EveryModeAndTimingLeavesTheSameHash) {
  const auto& [metric, rules] = GetParam();
  Totals totals;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    sim::WalkerOptions walkers = RandomWalkers(seed);
    walkers.metric = metric;
    walkers.rules = rules;
    ExpectAlike(walkers, totals);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(totals.spread, 3);
  EXPECT_GT(totals.stats.births, 500u);
  EXPECT_GT(totals.stats.deaths, 500u);
  EXPECT_GT(totals.stats.interventions, 200u);
  EXPECT_GT(totals.stats.squashed_steps, 100u);
}

INSTANTIATE_TEST_SUITE_P(All, DynamicExactness,
                         ::testing::Combine(::testing::Values(sim::Metric::kChebyshev, sim::Metric::kEuclid,
                                                              sim::Metric::kManhattan),
                                            ::testing::Values(sim::Rules{4, 1}, sim::Rules{1, 2},
                                                              sim::Rules{0, 1}, sim::Rules{2, 3})));

// Followers may read the state of an agent long after it has died.
TEST(Dynamic, NetworksToo) {
  Totals totals;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    sim::WalkerOptions walkers = RandomWalkers(seed);
    const uint64_t nodes = 5 + seed % 20;
    std::vector<std::vector<sim::NodeId>> follows(nodes);
    for (sim::NodeId node = 0; node < nodes; ++node) {
      CounterRng rng(seed, node, 5);
      for (uint64_t i = rng.NextBelow(3); i > 0; --i)
        follows[node].push_back(static_cast<sim::NodeId>(rng.NextBelow(nodes)));
    }
    walkers.network = std::make_shared<const sim::Network>(follows);
    walkers.width = static_cast<int32_t>(nodes);
    walkers.height = 1;
    walkers.mixed = walkers.naps = false;
    walkers.rules = {1 + static_cast<int>(seed % 2), 0};
    ExpectAlike(walkers, totals);
    if (HasFatalFailure()) FAIL() << "seed " << seed;
  }
  EXPECT_GT(totals.spread, 5);
  EXPECT_GT(totals.stats.births, 500u);
  EXPECT_GT(totals.stats.deaths, 500u);
  EXPECT_GT(totals.stats.interventions, 200u);
}

TEST(Dynamic, TheColonyLivesAlikeInEveryMode) {
  const auto make_world = [] { return MakeColonyWorld(30, 5); };
  const auto make_llm = [](const sim::VerifyRun& run) {
    return std::make_shared<sim::HashLlm>(run.shuffle.value_or(0));
  };
  sim::RunOptions options;
  options.steps = 120;
  options.interventions = {{30, "rain 9 9"}, {31, "settle 9 9"}, {90, "settle 0 20"}};
  sim::Recording recording;
  const sim::VerifyReport report =
      sim::Verify(make_world, make_llm, sim::StandardRuns(2), options, recording);
  EXPECT_EQ(report.difference ? report.difference->text : "", "");
  const sim::RunStats& stats = report.runs.front().result.stats;
  EXPECT_GT(stats.births, 10u);
  EXPECT_GT(stats.deaths, 10u);
  EXPECT_EQ(stats.interventions, 3u);
  EXPECT_GT(report.runs[2].result.stats.max_spread, 5);
  EXPECT_THROW(make_world()->CheckIntervention("rain 9"), Error);
  EXPECT_THROW(make_world()->CheckIntervention("rain 9 99"), Error);
  EXPECT_THROW(make_world()->CheckIntervention("snow 9 9"), Error);
}

// Supplies interventions during a run, and records their steps.
class LiveSource : public sim::InterventionSource {
 public:
  explicit LiveSource(std::vector<sim::Intervention> planned) : planned_(std::move(planned)) {}
  std::vector<sim::Intervention> Take(sim::Step first) override {
    std::vector<sim::Intervention> taken;
    if (++calls_ % 5 == 0 && next_ < planned_.size()) {
      taken.push_back({first + static_cast<sim::Step>(next_ % 3), planned_[next_].what});
      if (++next_ % 4 == 0 && next_ < planned_.size()) taken.push_back({first, planned_[next_++].what});
    }
    happened.insert(happened.end(), taken.begin(), taken.end());
    return taken;
  }

  std::vector<sim::Intervention> happened;

 private:
  std::vector<sim::Intervention> planned_;
  size_t next_ = 0;
  int calls_ = 0;
};

TEST(Dynamic, WhatHappensWhileARunGoesOnCanBeRepeatedInAnyMode) {
  uint64_t happened = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const sim::WalkerOptions walkers = RandomWalkers(seed);
    LiveSource source(RandomInterventions(walkers, 20));
    sim::RunOptions live;
    live.mode = seed % 2 == 0 ? sim::Mode::kOutOfOrder : sim::Mode::kSpeculative;
    live.source = &source;
    live.source_interval_s = 0;
    const sim::RunResult first = RunWalkers(walkers, live, seed);
    EXPECT_LE(first.stats.interventions, source.happened.size());
    happened += first.stats.interventions;
    for (const sim::Mode mode : {sim::Mode::kLockstep, sim::Mode::kOutOfOrder, sim::Mode::kSpeculative}) {
      sim::RunOptions again;
      again.mode = mode;
      again.interventions = source.happened;
      ASSERT_EQ(RunWalkers(walkers, again, seed + 1).step_hashes, first.step_hashes) << "seed " << seed;
    }
  }
  EXPECT_GT(happened, 150u);
}

TEST(Dynamic, AnEmptyWorldGoesOnAndCanBeSettledAgain) {
  sim::WalkerOptions walkers;
  walkers.agents = 2;
  walkers.reserve = 3;
  walkers.horizon = 2;
  for (const sim::Mode mode :
       {sim::Mode::kSingle, sim::Mode::kLockstep, sim::Mode::kOutOfOrder, sim::Mode::kSpeculative}) {
    sim::RunOptions options;
    options.mode = mode;
    options.interventions = {{3, "remove 0"}, {3, "remove 1"}, {9, "add 4 5 5"}, {12, "remove 4"}};
    const sim::RunResult result = RunWalkers(walkers, options, 1);
    EXPECT_EQ(result.step_hashes.size(), size_t{kSteps});
    EXPECT_EQ(result.stats.agent_steps, 3u * 2 + 3);
    options.interventions = {{0, "remove 0"}, {0, "remove 1"}};
    EXPECT_EQ(RunWalkers(walkers, options, 1).stats.agent_steps, 0u);
  }
}

// Each agent bears the given children one step away.
class ParentWorld : public sim::WalkerWorld {
 public:
  struct Child {
    sim::AgentId id;
    sim::Pos pos;
  };
  ParentWorld(const sim::WalkerOptions& walkers, std::vector<Child> children)
      : sim::WalkerWorld(walkers), children_(std::move(children)) {}
  sim::Body StartBody(sim::AgentId agent) const override {
    return {{static_cast<int32_t>(10 * agent), 5}, ""};
  }
  sim::Rules RulesOf(sim::AgentId agent) const override {
    return agent == 5 ? sim::Rules{9, 1} : sim::Rules{4, 1};
  }
  sim::Lookahead Declare(sim::AgentId agent, sim::Step step, const sim::Body& body,
                         const sim::MindPtr&) const override {
    if (agent == 1) return {step + 2, body.pos, body.pos};
    return {};
  }
  sim::Task<sim::IntentPtr> Proceed(const sim::View& view, sim::Caller&) const override {
    for (const sim::Announcement& heard : view.Announced(0)) {
      if (heard.from > view.Now()) throw Error(ErrorCode::kInvalid, "heard too early");
    }
    co_return nullptr;
  }
  sim::Task<void> Resolve(sim::Step step, const std::vector<sim::Member>& members,
                          sim::Commit& commit) const override {
    if (step != 1) co_return;
    if (announces) commit.Announce(members[0].id, "hello");
    if (removes) commit.Remove(members[0].id + 1);
    for (const Child& child : children_) {
      if (child.pos.x / 10 == static_cast<int32_t>(members[0].id))
        commit.Birth(child.id, {child.pos, ""}, nullptr);
    }
  }

  bool announces = false;
  bool removes = false;

 private:
  std::vector<Child> children_;
};

std::string ErrorOf(std::vector<ParentWorld::Child> children, bool announces = false, bool removes = false) {
  sim::WalkerOptions walkers;
  walkers.agents = 3;
  walkers.reserve = 4;
  ParentWorld world(walkers, std::move(children));
  world.announces = announces;
  world.removes = removes;
  sim::HashLlm llm(1);
  sim::RunOptions options;
  options.steps = 4;
  try {
    sim::RunWorld(world, llm, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Dynamic, BirthsOutsideTheRulesAreRefused) {
  EXPECT_EQ(ErrorOf({{3, {1, 6}}, {4, {0, 5}}, {6, {21, 4}}}), "no error");
  EXPECT_THAT(ErrorOf({{3, {2, 5}}}), HasSubstr("agent 3 (walker3) is born at (2, 5), but not within"));
  EXPECT_THAT(ErrorOf({{3, {9, 5}}}), HasSubstr("cluster of agent 0 (walker0)"));
  EXPECT_THAT(ErrorOf({{5, {0, 5}}}), HasSubstr("at least its radius and speed"));
  EXPECT_THAT(ErrorOf({{3, {10, 5}}}), HasSubstr("declares no lookahead"));
  EXPECT_THAT(ErrorOf({{7, {0, 5}}}), HasSubstr("has ids from 0 to 6"));
  EXPECT_THAT(ErrorOf({{3, {0, 5}}, {3, {0, 6}}}), HasSubstr("has been somebody's before"));
  EXPECT_THAT(ErrorOf({{3, {0, 5}}, {3, {20, 5}}}), HasSubstr("has been somebody's before"));
  EXPECT_THAT(ErrorOf({{2, {0, 5}}}), HasSubstr("has been somebody's before"));
  EXPECT_THAT(ErrorOf({}, false, true), HasSubstr("is not a member of this cluster"));
  EXPECT_THAT(ErrorOf({}, true), HasSubstr("has no horizon"));
}

TEST(Dynamic, InterventionsThatCannotBeAreRefused) {
  const auto error_of = [](sim::Intervention intervention) -> std::string {
    sim::RunOptions options;
    options.interventions = {std::move(intervention)};
    try {
      RunWalkers(sim::WalkerOptions{}, options, 1);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(error_of({0, "announce x"}), "no error");
  EXPECT_THAT(error_of({0, "dance"}), HasSubstr("not understood"));
  EXPECT_EQ(error_of({kSteps, "add 99 1 1"}), "no error");  // its step is never reached
  EXPECT_THAT(error_of({-1, "announce x"}), HasSubstr("step -1, allowed: 0 or later"));
  EXPECT_THAT(error_of({2, "add 99 1 1"}), HasSubstr("the world has ids from 0 to 13"));
  EXPECT_THAT(error_of({2, "write 99 1 x"}),
              HasSubstr("step 2, intervention \"write 99 1 x\": cell (99, 1)"));
}

// Agents hear an announcement `horizon` steps after it was made, never earlier, and all at once.
class HearingWorld : public sim::WalkerWorld {
 public:
  using sim::WalkerWorld::WalkerWorld;
  sim::Task<sim::IntentPtr> Proceed(const sim::View& view, sim::Caller& caller) const override {
    llm::Request request;
    request.prompt = "wait";
    co_await caller.Ask(std::move(request));
    std::string heard;
    for (const sim::Announcement& announcement : view.Announced(3)) heard += announcement.text + " ";
    const std::string expected = view.Now() < 6 ? "" : "from 3 from 7 ";
    if (heard != expected) throw MakeError(ErrorCode::kInvalid, "heard {:?} in {}", heard, view.Now());
    co_return nullptr;
  }
  sim::Task<void> Resolve(sim::Step step, const std::vector<sim::Member>& members,
                          sim::Commit& commit) const override {
    for (const sim::Member& member : members) {
      if (step == 2 && (member.id == 7 || member.id == 3))
        commit.Announce(member.id, fmt::format("from {}", member.id));
    }
    co_return;
  }
};

TEST(Dynamic, AnnouncementsAreHeardByAllAtTheHorizon) {
  sim::WalkerOptions walkers;
  walkers.width = walkers.height = 300;
  walkers.horizon = 4;
  sim::Step spread = 0;
  for (uint64_t timing = 0; timing < 10; ++timing) {
    const HearingWorld world(walkers);
    sim::HashLlm llm(timing);
    sim::RunOptions options;
    options.steps = kSteps;
    spread = std::max(spread, sim::RunWorld(world, llm, options).stats.max_spread);
  }
  EXPECT_EQ(spread, 4);
}

}  // namespace
}  // namespace throng::worlds
