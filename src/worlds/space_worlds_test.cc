// Worlds other than grids of equal agents give the same result in every order of execution.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "sim/run/run.h"
#include "sim/space/plane.h"
#include "sim/testing/test_worlds.h"
#include "worlds/example_worlds.h"
#include "worlds/short_memory.h"

namespace throng::worlds {
namespace {

constexpr sim::Step kSteps = 16;

// Runs the world in every order; returns the largest difference between agents' steps.
sim::Step RunEveryWay(const std::function<std::unique_ptr<sim::World>()>& make, uint64_t seed) {
  const auto run = [&](sim::Mode mode, uint64_t timing, sim::Coupling coupling) {
    sim::HashLlm llm(timing);
    sim::RunOptions options;
    options.mode = mode;
    options.steps = kSteps;
    options.seed = seed;
    options.coupling = coupling;
    return sim::RunWorld(*make(), llm, options);
  };
  const sim::RunResult single = run(sim::Mode::kSingle, 1, sim::Coupling::kPaper);
  const sim::RunResult ooo = run(sim::Mode::kOutOfOrder, 3, sim::Coupling::kPaper);
  EXPECT_GT(single.stats.calls, 0u);
  EXPECT_EQ(run(sim::Mode::kLockstep, 2, sim::Coupling::kPaper).step_hashes, single.step_hashes)
      << "seed " << seed;
  EXPECT_EQ(ooo.step_hashes, single.step_hashes) << "seed " << seed;
  EXPECT_EQ(run(sim::Mode::kOutOfOrder, 4, sim::Coupling::kVersioned).hash, single.hash) << "seed " << seed;
  EXPECT_EQ(run(sim::Mode::kSpeculative, 5, sim::Coupling::kPaper).hash, single.hash) << "seed " << seed;
  return ooo.stats.max_spread;
}

TEST(SpaceWorlds, AgentsOfDifferentRadiusAndSpeed) {
  sim::Step spread = 0;
  for (const sim::Metric metric : {sim::Metric::kChebyshev, sim::Metric::kEuclid, sim::Metric::kManhattan}) {
    for (uint64_t seed = 0; seed < 40; ++seed) {
      sim::WalkerOptions walkers;
      walkers.metric = metric;
      walkers.rules = seed % 2 == 0 ? sim::Rules{3, 1} : sim::Rules{1, 2};
      walkers.mixed = true;
      walkers.seed = seed;
      walkers.crowd = seed % 4 == 1;
      walkers.fast = seed % 4 == 2;
      walkers.width = walkers.height = 8 + static_cast<int32_t>(seed);
      spread =
          std::max(spread, RunEveryWay([&] { return std::make_unique<sim::WalkerWorld>(walkers); }, seed));
    }
  }
  EXPECT_GT(spread, 1);
}

TEST(SpaceWorlds, Plane) {
  sim::Step spread = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto agents = static_cast<uint32_t>(5 + 2 * seed);
    spread = std::max(spread, RunEveryWay([&] { return MakePlazaWorld(agents, seed); }, seed));
  }
  EXPECT_GT(spread, 1);
}

TEST(SpaceWorlds, Network) {
  sim::Step spread = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto agents = static_cast<uint32_t>(1 + 3 * seed);
    spread = std::max(spread, RunEveryWay([&] { return MakeFollowerWorld(agents + 4, seed); }, seed));
  }
  EXPECT_GT(spread, 1);
}

TEST(SpaceWorlds, ExamplesAreFoundByTheirNames) {
  for (const ExampleWorld& example : ExampleWorlds()) {
    EXPECT_EQ(FindExampleWorld(example.name), &example);
    EXPECT_EQ(example.make(5, 1)->Name(), example.name);
  }
  EXPECT_EQ(FindExampleWorld("town"), nullptr);
}

// A prompt has exactly as many lines as were added, for any answer of a model.
TEST(SpaceWorlds, PromptsHaveTheLastLines) {
  ShortMemory lines;
  EXPECT_EQ(lines.Text(), "- nothing\n");
  for (int i = 0; i < 8; ++i) lines.Add(std::to_string(i));
  EXPECT_EQ(lines.Text(), "- 2\n- 3\n- 4\n- 5\n- 6\n- 7\n");
  EXPECT_EQ(OneLine(" a\nb \r\n"), "a b");
  EXPECT_EQ(OneLine("\n"), "");
}

// Each agent reads the cell of the next one, which agent 2 does not follow.
class NosyWorld : public sim::World {
 public:
  NosyWorld()
      : space_(std::make_shared<const sim::Network>(std::vector<std::vector<sim::NodeId>>{{1}, {2}, {}})) {}
  std::string Name() const override { return "nosy"; }
  Digest ScenarioDigest() const override { return {}; }
  const sim::Space& GetSpace() const override { return space_; }
  sim::Rules GetRules() const override { return {1, 0}; }
  uint32_t NumAgents() const override { return 3; }
  std::string AgentName(sim::AgentId agent) const override { return std::to_string(agent); }
  sim::Body StartBody(sim::AgentId agent) const override { return {{static_cast<int32_t>(agent), 0}, ""}; }
  sim::MindPtr StartMind(sim::AgentId) const override { return nullptr; }
  sim::Task<sim::IntentPtr> Proceed(const sim::View& view, sim::Caller&) const override {
    view.Cell({(view.SelfBody().pos.x + 1) % 3, 0});
    co_return nullptr;
  }
  sim::Task<void> Resolve(sim::Step, const std::vector<sim::Member>&, sim::Commit&) const override {
    co_return;
  }

 private:
  sim::Space space_;
};

TEST(SpaceWorlds, AnAgentReadsOnlyThoseItFollows) {
  sim::HashLlm llm(1);
  sim::RunOptions options;
  options.steps = 1;
  try {
    sim::RunWorld(NosyWorld(), llm, options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("agent 2 (2) reads cell (0, 0) from (2, 0)"));
  }
}

TEST(Plane, StepsAreNeverLongerThanTheSpeed) {
  const sim::Space space = sim::PlaneSpace(1000, 1000);
  CounterRng rng(5);
  for (int i = 0; i < 20000; ++i) {
    const auto random = [&] { return static_cast<int32_t>(rng.NextBelow(sim::Metres(1000))); };
    const sim::Pos from = {random(), random()};
    const sim::Pos to = {random(), random()};
    const auto units = static_cast<int64_t>(rng.NextBelow(sim::Metres(3)));
    const sim::Pos moved = sim::Towards(from, to, units);
    ASSERT_TRUE(space.Within(from, moved, units));
    // Rounding loses at most two units of the way.
    ASSERT_TRUE(moved == to || !space.Within(from, moved, units - 3));
  }
  EXPECT_EQ(sim::Towards({5, 5}, {5, 8}, 3), (sim::Pos{5, 8}));
  EXPECT_EQ(sim::CeilRoot(0), 0);
  EXPECT_EQ(sim::CeilRoot(17), 5);
}

}  // namespace
}  // namespace throng::worlds
