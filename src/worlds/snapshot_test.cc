#include "sim/snapshot.h"

#include <gtest/gtest.h>

#include <map>

#include "llm/backends/backend_spec.h"
#include "sim/run/run.h"
#include "worlds/example_worlds.h"

namespace throng::worlds {
namespace {

constexpr sim::Step kSteps = 150;

struct Shelf : sim::SnapshotSink {
  std::optional<sim::Step> NextAfter(sim::Step front) override { return (front / 40 + 1) * 40; }
  void Keep(const sim::Snapshot& snapshot) override { kept[snapshot.step] = sim::WriteSnapshot(snapshot); }
  std::map<sim::Step, std::string> kept;
};

class ExampleSnapshot : public ::testing::TestWithParam<const char*> {};

TEST_P(ExampleSnapshot, ARunFromItEndsAsTheWholeRunDoes) {
  const std::unique_ptr<sim::World> world = FindExampleWorld(GetParam())->make(30, 3);
  sim::RunOptions options;
  options.steps = kSteps;
  Shelf shelf;
  options.snapshots = &shelf;
  const auto llm = llm::MakeBackend("fake");
  const sim::RunResult whole = sim::RunWorld(*world, *llm, options);
  ASSERT_GE(shelf.kept.size(), 2u);
  for (const auto& [step, bytes] : shelf.kept) {
    const sim::Snapshot from =
        sim::ReadSnapshot(*world, step, {whole.step_hashes.begin(), whole.step_hashes.begin() + step}, bytes);
    EXPECT_TRUE(sim::WriteSnapshot(from) == bytes);
    sim::RunOptions rest;
    rest.steps = kSteps;
    rest.from = &from;
    const auto other = llm::MakeBackend("fake");
    const sim::RunResult result = sim::RunWorld(*world, *other, rest);
    EXPECT_EQ(result.hash, whole.hash) << "from step " << step;
    EXPECT_EQ(result.stats.agent_steps, whole.stats.agent_steps);
    EXPECT_EQ(result.stats.deaths, whole.stats.deaths);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ExampleSnapshot,
                         ::testing::Values("plaza", "followers", "colony", "microblog"));

}  // namespace
}  // namespace throng::worlds
