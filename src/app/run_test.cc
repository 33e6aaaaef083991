#include "app/run.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "journal/reader.h"
#include "journal/report.h"
#include "journal/scratch_journal.h"
#include "llm/backends/backend_spec.h"
#include "llm/decorators/decorator.h"
#include "worlds/example_worlds.h"

namespace throng::app {
namespace {

class RunTest : public testing::Test {
 protected:
  RunTest() { options_.steps = 30; }

  RunOutcome RunWith(const std::string& backend_spec, RunSetup setup) {
    const std::unique_ptr<llm::Llm> backend = llm::MakeBackend(backend_spec);
    if (setup.journal != nullptr && setup.journal->GetManifest().empty()) {
      setup.journal->Begin({}, *world_, options_, backend->Identity());
    }
    return app::Run(*world_, *backend, options_, setup);
  }

  std::unique_ptr<sim::World> world_ = worlds::FindExampleWorld("plaza")->make(12, 1);
  sim::RunOptions options_;
  journal::ScratchJournal scratch_;
};

TEST_F(RunTest, JournalsChangeNoResult) {
  const RunOutcome without = RunWith("fake", {});
  const RunOutcome with = RunWith("fake", {{}, &scratch_.Get(), {}});
  EXPECT_EQ(with.result.hash, without.result.hash);
  EXPECT_EQ(with.used.prompt, without.used.prompt);
  EXPECT_EQ(with.replayed, 0u);
  const RunOutcome again = RunWith("fake", {{}, &scratch_.Get(), {}});
  EXPECT_EQ(again.result.hash, without.result.hash);
  EXPECT_EQ(again.replayed, without.result.stats.calls);
  EXPECT_EQ(again.used.prompt, without.used.prompt);  // nothing was asked again
  for (const journal::SessionRow& session : journal::Reader(scratch_.Get()).Sessions()) {
    EXPECT_EQ(session.outcome, "done");
  }
}

TEST_F(RunTest, SessionsEndWithWhatWentWrong) {
  std::string message;
  try {
    RunWith("fake:fail=1", {{}, &scratch_.Get(), {}});
  } catch (const Error& error) {
    message = error.what();
  }
  EXPECT_NE(message, "");
  EXPECT_EQ(journal::Reader(scratch_.Get()).Sessions().at(0).outcome, message);
}

TEST_F(RunTest, UsedUpBudgetsStopItAndItGoesOn) {
  Limits limits;
  const llm::TokensUsed all = RunWith("fake", {}).used;
  limits.max_tokens = (all.prompt + all.output) / 2;
  EXPECT_THROW(RunWith("fake", {limits, &scratch_.Get(), {}}), Stopped);
  EXPECT_NE(journal::Reader(scratch_.Get()).Sessions().at(0).outcome, "done");
  EXPECT_THROW(RunWith("fake", {limits, &scratch_.Get(), {}}), Stopped);  // earlier sessions count
  EXPECT_EQ(RunWith("fake", {{}, &scratch_.Get(), {}}).result.hash, RunWith("fake", {}).result.hash);
}

TEST_F(RunTest, JournalsCountWrongGuesses) {
  options_.mode = sim::Mode::kSpeculative;
  const RunOutcome outcome = RunWith("fake:latency=1,spread=0.9", {{}, &scratch_.Get(), {}});
  ASSERT_GT(outcome.result.stats.wasted_calls, 0u);
  const journal::TokenSums in_vain = journal::TokensInVain(scratch_.Get());
  EXPECT_EQ(in_vain.prompt, outcome.used.prompt - outcome.result.stats.prompt_tokens);
  EXPECT_GT(in_vain.prompt, 0u);
}

TEST_F(RunTest, TheWrapperIsOutsideOfAllElse) {
  struct Counter : llm::Decorator {
    Counter(std::unique_ptr<llm::Llm> inner, uint64_t& count) : Decorator(std::move(inner)), calls(count) {}
    void Submit(llm::Request request) override {
      ++calls;
      Decorator::Submit(std::move(request));
    }
    uint64_t& calls;
  };
  uint64_t calls = 0;
  const auto wrap = [&](std::unique_ptr<llm::Llm> llm) -> std::unique_ptr<llm::Llm> {
    return std::make_unique<Counter>(std::move(llm), calls);
  };
  RunWith("fake", {{}, &scratch_.Get(), wrap});
  const uint64_t asked = std::exchange(calls, 0);
  EXPECT_GT(asked, 0u);
  EXPECT_EQ(RunWith("fake", {{}, &scratch_.Get(), wrap}).replayed, asked);
  EXPECT_EQ(calls, asked);  // calls answered by the journal pass through it too
}

}  // namespace
}  // namespace throng::app
