#include "app/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/scenario.h"
#include "base/error.h"
#include "journal/llm/journaled_llm.h"
#include "journal/store/scratch_journal.h"
#include "llm/decorators/real_time.h"
#include "sim/run/run.h"

namespace throng::app {
namespace {

using ::testing::HasSubstr;

sim::RunOptions Options(sim::Mode mode) {
  sim::RunOptions options;
  options.mode = mode;
  options.steps = 40;
  return options;
}

// A run of the example on a journal.
Digest Record(const sim::World& world, journal::Journal& journal) {
  const std::unique_ptr<llm::Llm> backend = MakeBackend("fake:latency=1,spread=0.9");
  sim::RunOptions options = Options(sim::Mode::kOutOfOrder);
  journal.Begin({}, world, options, backend->Identity());
  journal::JournaledLlm journaled(*backend, journal);
  options.observers = {&journal};
  return sim::RunWorld(world, journaled, options).hash;
}

TEST(MakeBackend, AJournalAnswersItsRunAlone) {
  Simulation simulation;
  simulation.scenario = "plaza";
  const Scenario scenario = LoadScenario(simulation);
  journal::ScratchJournal journal;
  const Digest hash = Record(*scenario.world, journal.Get());
  for (const sim::Mode mode : {sim::Mode::kLockstep, sim::Mode::kSpeculative}) {
    const std::unique_ptr<llm::Llm> replay = MakeBackend("replay:" + journal.Get().Path());
    EXPECT_THAT(replay->Identity(), HasSubstr("replay of fake"));
    const sim::RunResult result = sim::RunWorld(*scenario.world, *replay, Options(mode));
    EXPECT_GT(result.stats.calls, 0u);
    EXPECT_EQ(result.hash, hash);
  }
  EXPECT_THROW(MakeBackend("replay:"), Error);
  EXPECT_THROW(MakeBackend("replay:/no/such.journal"), Error);
}

TEST(MakeBackend, OnlyModelledTimeIsMadeReal) {
  const auto is_slowed = [](const std::string& spec) {
    Simulation simulation;
    simulation.llm = spec;
    simulation.real_time = true;
    const std::unique_ptr<llm::Llm> backend = MakeBackend(simulation);
    return dynamic_cast<const llm::RealTimeLlm*>(backend.get()) != nullptr;
  };
  EXPECT_TRUE(is_slowed("fake"));
  EXPECT_TRUE(is_slowed("latency:replicas=2"));
  EXPECT_FALSE(is_slowed("http://localhost:9?in_flight=1"));
}

}  // namespace
}  // namespace throng::app
