#include "sim/run/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <utility>

#include "sim/testing/test_worlds.h"

namespace throng::sim {
namespace {

std::shared_ptr<llm::Llm> MakeHashLlm(const VerifyRun& run) {
  return std::make_shared<HashLlm>(run.shuffle.value_or(0));
}

RunOptions Options() {
  RunOptions options;
  options.steps = 8;
  return options;
}

std::string TextOf(const std::optional<Difference>& difference) { return difference ? difference->text : ""; }

TEST(Verify, AnExactWorldIsEqualInAllRuns) {
  const auto make_world = [] { return std::make_unique<WalkerWorld>(WalkerOptions{}); };
  Recording recording;
  const VerifyReport report = Verify(make_world, MakeHashLlm, StandardRuns(4), Options(), recording);
  EXPECT_EQ(TextOf(report.difference), "");
  EXPECT_EQ(report.runs.size(), 12u);
}

// Breaks the contract: an agent's step depends on how many steps others have done before.
class LeakyWorld : public WalkerWorld {
 public:
  using WalkerWorld::WalkerWorld;
  Task<void> Resolve(Step step, const std::vector<Member>& members, Commit& commit) const override {
    ++count_;
    if (step == 5 && members.front().id == 3) {
      Event event{3, "count", std::to_string(count_)};
      commit.AddEvent(std::move(event));
    }
    return WalkerWorld::Resolve(step, members, commit);
  }

 private:
  mutable std::atomic<int> count_ = 0;
};

TEST(Verify, ALeakIsFoundWithItsStepAgentAndEvents) {
  WalkerOptions walkers;
  walkers.width = walkers.height = 200;
  const auto make_world = [&] { return std::make_unique<LeakyWorld>(walkers); };
  Recording recording;
  const VerifyReport report = Verify(make_world, MakeHashLlm, StandardRuns(4), Options(), recording);
  EXPECT_THAT(
      TextOf(report.difference),
      ::testing::MatchesRegex("single and .* differ first at step 5, agent 3 \\(walker3\\), events.*: "
                              "\"count: [0-9]+\" and \"count: [0-9]+\""));
}

// One agent alone, whose every step asks what it is told to ask, and reports the answer as its status.
class AskingWorld : public WalkerWorld {
 public:
  AskingWorld(const WalkerOptions& walkers, std::vector<llm::Request> requests)
      : WalkerWorld(walkers), requests_(std::move(requests)) {}
  Task<IntentPtr> Proceed(const View& view, Caller& caller) const override {
    if (view.Self() != 1 || view.Now() != 2) co_return nullptr;
    for (const llm::Request& request : requests_) {
      llm::Request copy = request;
      co_await caller.Ask(std::move(copy));
    }
    co_return nullptr;
  }
  Task<void> Resolve(Step, const std::vector<Member>&, Commit&) const override { co_return; }

 private:
  std::vector<llm::Request> requests_;
};

llm::Request Question(std::string prompt) {
  llm::Request request;
  request.function = "greet";
  request.prompt = std::move(prompt);
  return request;
}

// The difference between a recorded run that asks `first` and its repetition that asks `second`.
std::string Differ(const std::vector<llm::Request>& first, const std::vector<llm::Request>& second) {
  Recording recording;
  const auto make_world = [&] { return std::make_unique<AskingWorld>(WalkerOptions{}, first); };
  const VerifyReport report =
      Verify(make_world, MakeHashLlm, {{"single", Mode::kSingle, {}}}, Options(), recording);
  EXPECT_EQ(TextOf(report.difference), "");
  return TextOf(
      Repeat(AskingWorld(WalkerOptions{}, second), recording, "the repetition", Options()).difference);
}

TEST(Verify, ARepetitionSaysWhichLineOfWhichPromptDiffers) {
  const std::string where = "the first run and the repetition differ first at step 2, agent 1 (walker1), ";
  EXPECT_EQ(Differ({Question("a"), Question("b")}, {Question("a"), Question("b")}), "");
  EXPECT_EQ(Differ({Question("You see Ann.")}, {Question("You see Ben.")}),
            where + "prompt of call 0 (greet): \"You see Ann.\" and \"You see Ben.\"");
  EXPECT_EQ(
      Differ({Question("a"), Question("one\ntwo\nthree")}, {Question("a"), Question("one\ntwo, too\nthree")}),
      where + "prompt of call 1 (greet), line 2: \"two\" and \"two, too\"");
  const std::string long_text(500, 'x');
  EXPECT_EQ(Differ({Question(long_text + "\u00e4")}, {Question(long_text + "\u00f6")}),
            where + "prompt of call 0 (greet): ...\"" + std::string(30, 'x') + "\u00e4\" and ...\"" +
                std::string(30, 'x') + "\u00f6\"");
  llm::Request warm = Question("a");
  warm.sampling.temperature = 0.5f;
  EXPECT_THAT(Differ({Question("a")}, {warm}), ::testing::HasSubstr("sampling of call 0 (greet): "));
  EXPECT_EQ(Differ({Question("a")}, {Question("a"), Question("b")}),
            where + "call 1 (greet), which only the repetition asks: \"b\"");
  EXPECT_EQ(Differ({Question("a"), Question("b")}, {Question("a")}),
            where + "call 1 (greet), which only the first run asks: \"b\"");
}

TEST(Verify, ARepetitionHasTheSameHashAndAnswers) {
  const auto make_world = [] { return std::make_unique<WalkerWorld>(WalkerOptions{}); };
  Recording recording;
  const VerifyReport report = Verify(make_world, MakeHashLlm, StandardRuns(0), Options(), recording);
  const RepeatReport repeated = Repeat(*make_world(), recording, "the repetition", Options());
  EXPECT_EQ(TextOf(repeated.difference), "");
  EXPECT_EQ(repeated.result.hash, report.runs.front().result.hash);
  EXPECT_EQ(repeated.result.stats.calls, report.runs.front().result.stats.calls);
}

TEST(Verify, AnotherStartIsNamed) {
  Recording recording;
  const auto make_world = [] { return std::make_unique<WalkerWorld>(WalkerOptions{}); };
  Verify(make_world, MakeHashLlm, StandardRuns(0), Options(), recording);
  WalkerOptions other;
  other.seed = 99;
  EXPECT_THAT(TextOf(Repeat(WalkerWorld(other), recording, "the repetition", Options()).difference),
              ::testing::HasSubstr("differ before step 0, agent 0 (walker0), position: ("));
}

// Answers each question with another number.
class CountingLlm : public HashLlm {
 public:
  using HashLlm::HashLlm;
  void Wait(std::vector<llm::Completion>& done, double seconds) override {
    HashLlm::Wait(done, seconds);
    for (llm::Completion& answer : done) answer.text = std::to_string(++count_);
  }

 private:
  int count_ = 0;
};

TEST(Verify, AnswersThatDifferAreToldFromQuestionsThatDo) {
  const auto make_world = [] {
    return std::make_unique<AskingWorld>(WalkerOptions{}, std::vector{Question("a"), Question("b")});
  };
  const auto llm = std::make_shared<CountingLlm>(1);
  const auto make_llm = [&](const VerifyRun&) { return llm; };
  Recording recording;
  const VerifyReport report = Verify(make_world, make_llm, StandardRuns(0), Options(), recording);
  EXPECT_EQ(
      TextOf(report.difference),
      "single and lockstep differ first at step 2, agent 1 (walker1), answer to call 0 (greet): \"1\" and "
      "\"3\"; the question is the same, so the backend's answers do not depend on the request alone");
}

// What a recording holds can be read in another process.
TEST(Recording, IsReadAsItWasWritten) {
  const std::string path = ::testing::TempDir() + "recording_test";
  Recording written(path);
  RecordedStep what;
  what.body = {{3, 4}, "waving"};
  what.mind = "mind";
  what.mind_digest = DigestOf("mind");
  what.events = {{7, "say", "\xff is no Unicode"}};
  RecordedCall call;
  call.number = 2;
  call.digest = DigestOf("request");
  call.request = {"greet", "", "prompt"};
  call.answer.finish = llm::FinishReason::kError;
  call.answer.prompt_tokens = 5;
  call.answer.error = Error(ErrorCode::kBadAnswer, "why");
  what.calls = {call};
  written.AddScenario(DigestOf("scenario"));
  written.AddStep(6, 7, DigestOf("step"), &what);
  written.AddStep(6, 8, DigestOf("equal"), nullptr);
  written.AddCells(6, std::vector<CellWrite>{{{1, 2}, "chalk"}});
  written.AddIntervention(5, DigestOf("rain"));
  written.Flush();
  const std::unique_ptr<Recording> read = Recording::Open(path);
  std::remove(path.c_str());
  for (const Recording* recording : {&std::as_const(written), static_cast<const Recording*>(read.get())}) {
    EXPECT_EQ(recording->Scenario(), DigestOf("scenario"));
    EXPECT_EQ(recording->DigestOf(6, 7), DigestOf("step"));
    EXPECT_EQ(recording->DigestOf(6, 0), Digest());
    EXPECT_EQ(recording->InterventionsOf(5), DigestOf("rain"));
    EXPECT_EQ(recording->ReadCells(6).at(0).value, "chalk");
    EXPECT_EQ(recording->CellsOf(6), written.CellsOf(6));
    const RecordedStep step = recording->Read(6, 7);
    EXPECT_EQ(step.body, what.body);
    EXPECT_EQ(step.mind, "mind");
    EXPECT_EQ(step.mind_digest, what.mind_digest);
    EXPECT_EQ(step.events.at(0).text, "\xff is no Unicode");
    EXPECT_EQ(step.calls.at(0).number, 2u);
    EXPECT_EQ(step.calls.at(0).digest, call.digest);
    EXPECT_EQ(step.calls.at(0).request, call.request);
    EXPECT_EQ(step.calls.at(0).answer.error->Code(), ErrorCode::kBadAnswer);
    EXPECT_EQ(step.calls.at(0).answer.prompt_tokens, 5);
  }
}

TEST(Recording, WhatIsNoneIsRefused) {
  const std::string path = ::testing::TempDir() + "no_recording_test";
  EXPECT_THROW(Recording::Open(path), Error);
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  std::fputs("this is no recording of a run", file);
  std::fclose(file);
  EXPECT_THROW(Recording::Open(path), Error);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace throng::sim
