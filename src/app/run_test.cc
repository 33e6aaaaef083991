#include "app/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <memory>
#include <set>
#include <string>

#include "app/record/citation.h"
#include "app/record/event_condition.h"
#include "app/record/manifest.h"
#include "journal/read/reader.h"
#include "journal/read/report.h"
#include "journal/store/scratch_journal.h"
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
  const RunOutcome with = RunWith("fake", {.journal = &scratch_.Get()});
  EXPECT_EQ(with.result.hash, without.result.hash);
  EXPECT_EQ(with.used.prompt, without.used.prompt);
  EXPECT_EQ(with.replayed, 0u);
  const RunOutcome again = RunWith("fake", {.journal = &scratch_.Get()});
  EXPECT_EQ(again.result.hash, without.result.hash);
  EXPECT_EQ(again.replayed, without.result.stats.calls);
  EXPECT_EQ(again.used.prompt, without.used.prompt);  // nothing was asked again
  for (const journal::SessionRow& session : journal::Reader(scratch_.Get()).Sessions()) {
    EXPECT_EQ(session.outcome, "done");
  }
}

TEST_F(RunTest, AnEventEndsItWithTheSameStepInEveryMode) {
  struct Going : sim::RunObserver {
    void OnCommit(const sim::CommitRecord& record) override {
      for (const sim::Event& event : record.events) {
        if (event.kind == "go") steps.insert(record.step);
      }
    }
    void OnStep(sim::Step, const Digest&) override {}
    std::set<sim::Step> steps;
  } going;
  options_.observers = {&going};
  RunWith("fake", {});
  ASSERT_GE(going.steps.size(), 2u);
  const sim::Step first = *going.steps.begin();
  const sim::Step second = *std::next(going.steps.begin());
  options_.observers.clear();
  options_.steps = second + 1;
  const Digest straight = RunWith("fake", {}).result.hash;
  for (const sim::Mode mode :
       {sim::Mode::kSingle, sim::Mode::kLockstep, sim::Mode::kOutOfOrder, sim::Mode::kSpeculative}) {
    options_ = {};
    options_.steps = 30;
    options_.mode = mode;
    EndAtEvent("go", first + 1, options_);
    journal::ScratchJournal scratch;
    const RunOutcome outcome = RunWith("fake:latency=1,spread=0.9", {.journal = &scratch.Get()});
    EXPECT_EQ(outcome.result.step_hashes.size(), static_cast<size_t>(second + 1)) << sim::ModeName(mode);
    EXPECT_EQ(scratch.Get().ManifestValue("steps"), std::to_string(second + 1));
    EXPECT_EQ(journal::Reader(scratch.Get()).Events(second + 1, 100).size(), 0u);
    EXPECT_EQ(outcome.result.hash, straight) << sim::ModeName(mode);
  }
}

TEST(EventCondition, KindAndTextMustMatch) {
  const auto ends = [](const std::string& condition, const char* kind, const char* text, sim::Step from = 0) {
    EventCondition event(condition, from);
    const std::vector<sim::Event> events = {{0, "go", "home"}, {1, kind, text}};
    sim::CommitRecord record;
    record.step = 5;
    record.events = events;
    event.OnCommit(record);
    EXPECT_FALSE(event.EndsAfter(4));
    return event.EndsAfter(5);
  };
  EXPECT_TRUE(ends("say", "say", "to Ben: hello"));
  EXPECT_TRUE(ends("say=hello", "say", "to Ben: hello"));
  EXPECT_TRUE(ends("say=a=b", "say", "a=b"));
  EXPECT_TRUE(ends("say", "say", "hello", 5));
  EXPECT_FALSE(ends("say=hallo", "say", "to Ben: hello"));
  EXPECT_FALSE(ends("sa", "say", "to Ben: hello"));
  EXPECT_FALSE(ends("say", "plan", "say"));
  EXPECT_FALSE(ends("say", "say", "hello", 6));
  EXPECT_THROW(EventCondition("", 0), Error);
  EXPECT_THROW(EventCondition("=x", 0), Error);
}

TEST_F(RunTest, SessionsEndWithWhatWentWrong) {
  std::string message;
  try {
    RunWith("fake:fail=1", {.journal = &scratch_.Get()});
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
  EXPECT_THROW(RunWith("fake", {.limits = limits, .journal = &scratch_.Get()}), Stopped);
  EXPECT_NE(journal::Reader(scratch_.Get()).Sessions().at(0).outcome, "done");
  EXPECT_THROW(RunWith("fake", {.limits = limits, .journal = &scratch_.Get()}),
               Stopped);  // earlier sessions count
  EXPECT_EQ(RunWith("fake", {.journal = &scratch_.Get()}).result.hash, RunWith("fake", {}).result.hash);
}

TEST_F(RunTest, JournalsCountWrongGuesses) {
  options_.mode = sim::Mode::kSpeculative;
  const RunOutcome outcome = RunWith("fake:latency=1,spread=0.9", {.journal = &scratch_.Get()});
  ASSERT_GT(outcome.result.stats.wasted_calls, 0u);
  const journal::TokenSums in_vain = journal::TokensInVain(scratch_.Get());
  EXPECT_EQ(in_vain.prompt, outcome.used.prompt - outcome.result.stats.prompt_tokens);
  EXPECT_GT(in_vain.prompt, 0u);
}

TEST_F(RunTest, TheCitationTellsOfAWorldInAnotherLanguage) {
  using Keys = ForeignWorldKeys;
  journal::Journal& journal = scratch_.Get();
  journal.Begin({{journal::JournalKeys::kLanguage, "Python"},
                 {Keys::kClass, "market.Market"},
                 {Keys::kParameters, R"({"people": 40})"},
                 {Keys::kSource, "/home/ann/market.py"},
                 {Keys::kSourceDigest, "0123abcd"}},
                *world_, options_, "fake");
  EXPECT_THAT(Cite(journal),
              testing::HasSubstr(", written in Python, class market.Market of market.py (XXH3-128 "
                                 "0123abcd), made with {\"people\": 40}) with 12 agents"));
  journal::ScratchJournal plain;
  plain.Get().Begin({}, *world_, options_, "fake");
  EXPECT_THAT(Cite(plain.Get()), testing::Not(testing::HasSubstr("written in")));
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
  RunWith("fake", {.limits = {}, .journal = &scratch_.Get(), .on_wait = {}, .wrap = wrap});
  const uint64_t asked = std::exchange(calls, 0);
  EXPECT_GT(asked, 0u);
  EXPECT_EQ(RunWith("fake", {.limits = {}, .journal = &scratch_.Get(), .on_wait = {}, .wrap = wrap}).replayed,
            asked);
  EXPECT_EQ(calls, asked);  // calls answered by the journal pass through it too
}

}  // namespace
}  // namespace throng::app
