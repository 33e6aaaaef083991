// What a journal knows of effects: from before they are begun, and once they are done.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "journal/llm/journaled_llm.h"
#include "journal/store/database.h"
#include "llm/decorators/decorator.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

using llm::Effect;
using llm::FinishReason;

// Counts what it is asked, and answers when it is waited for.
class CountingLlm final : public sim::HashLlm {
 public:
  CountingLlm() : HashLlm(1) {}
  void Submit(llm::Request request) override {
    ++asked;
    HashLlm::Submit(std::move(request));
  }
  int asked = 0;
};

class JournalEffectsTest : public testing::Test {
 protected:
  JournalEffectsTest() { journal_->Begin({}, world_, {}, "test"); }
  ~JournalEffectsTest() override {
    journal_.reset();
    std::remove(path_.c_str());
  }

  static llm::Request Use(Effect effect, const std::string& arguments = R"({"to":"Ben"})") {
    llm::Request request;
    request.id = 1;
    request.key = {2, 5, 0};
    request.kind = llm::Kind::kTool;
    request.effect = effect;
    request.function = "pay";
    request.prompt = arguments;
    return request;
  }

  // Asks through a new session of the journal. waits: otherwise the process dies before the answer.
  llm::Completion Ask(llm::Request request, bool waits = true) {
    JournaledLlm llm(below_, *journal_);
    llm.Submit(std::move(request));
    std::vector<llm::Completion> done;
    if (waits) llm.Wait(done, llm::Llm::kForever);
    num_replayed_ = llm.NumReplayed();
    return done.empty() ? llm::Completion() : done[0];
  }
  std::string Text(const char* sql) { return journal_->GetDatabase().TextOf(sql); }

  sim::WalkerWorld world_{sim::WalkerOptions{}};
  const std::string path_ = testing::TempDir() + fmt::format("effects_test_{}", getpid());
  std::unique_ptr<Journal> journal_ = Journal::Create(path_);
  CountingLlm below_;
  uint64_t num_replayed_ = 0;
};

TEST_F(JournalEffectsTest, WhatIsDoneIsReplayed) {
  for (const Effect effect : {Effect::kPure, Effect::kIdempotent, Effect::kAtCommit}) {
    llm::Request request = Use(effect);
    request.key.call = static_cast<uint32_t>(effect);
    const std::string first = Ask(request).text;
    EXPECT_EQ(num_replayed_, 0u);
    EXPECT_EQ(Ask(request).text, first);
    EXPECT_EQ(num_replayed_, 1u);
  }
  EXPECT_EQ(below_.asked, 3);
  EXPECT_EQ(journal_->NumToolUses(), 3);
  EXPECT_EQ(
      Text("SELECT group_concat(concat) FROM (SELECT kind || ' ' || effect || ' ' || function || ' ' || "
           "arguments || ' ' || outcome AS concat FROM effects ORDER BY call)"),
      R"(tool pure pay {"to":"Ben"} done,tool idempotent pay {"to":"Ben"} done,)"
      R"(tool at-commit pay {"to":"Ben"} done)");
}

TEST_F(JournalEffectsTest, AnInterruptedEffectIsAskedAgainUnlessItMustNotBeDoneTwice) {
  Ask(Use(Effect::kIdempotent), /*waits=*/false);
  EXPECT_EQ(Ask(Use(Effect::kIdempotent)).finish, FinishReason::kStop);
  EXPECT_EQ(below_.asked, 2);
}

TEST_F(JournalEffectsTest, AnInterruptedEffectAtCommitIsUnknownAndStaysSo) {
  Ask(Use(Effect::kAtCommit), /*waits=*/false);
  EXPECT_EQ(Text("SELECT outcome FROM effects"), "begun");
  for (int i = 0; i < 2; ++i) {
    const llm::Completion completion = Ask(Use(Effect::kAtCommit));
    EXPECT_EQ(completion.finish, FinishReason::kUnknown);
    EXPECT_EQ(completion.text, "the run was interrupted while this was being done");
    EXPECT_EQ(num_replayed_, static_cast<uint64_t>(i));
  }
  EXPECT_EQ(below_.asked, 1);
  EXPECT_EQ(Text("SELECT outcome FROM effects"), "unknown");
  EXPECT_EQ(Text("SELECT finish || ': ' || error FROM calls"),
            "unknown: the run was interrupted while this was being done");
}

TEST_F(JournalEffectsTest, AnEffectThatWasCancelledBeforeItBeganIsNotUnknown) {
  {
    JournaledLlm llm(below_, *journal_);
    llm.Submit(Use(Effect::kAtCommit));
    EXPECT_EQ(Text("SELECT outcome FROM effects"), "begun");
    llm.Cancel(1);
    std::vector<llm::Completion> done;
    llm.Wait(done, llm::Llm::kForever);
    EXPECT_EQ(done.at(0).finish, FinishReason::kCancelled);
  }
  EXPECT_EQ(Ask(Use(Effect::kAtCommit)).finish, FinishReason::kStop);
  EXPECT_EQ(below_.asked, 2);
}

TEST_F(JournalEffectsTest, AnotherUseUnderTheKeyOfAnInterruptedOneIsRefused) {
  Ask(Use(Effect::kAtCommit), /*waits=*/false);
  EXPECT_THROW(Ask(Use(Effect::kAtCommit, R"({"to":"Cleo"})")), Error);
  EXPECT_EQ(below_.asked, 1);
}

// A failure is an answer like any other, which needs nobody to fall back.
TEST_F(JournalEffectsTest, FailuresAreKept) {
  class FailingLlm final : public llm::Decorator {
   public:
    using Decorator::Decorator;
    void Wait(std::vector<llm::Completion>& done, double seconds) override {
      Inner().Wait(done, seconds);
      for (llm::Completion& completion : done) {
        completion.finish = FinishReason::kFailed;
        completion.text = "no money";
      }
    }
  } failing(below_);
  for (int i = 0; i < 2; ++i) {
    JournaledLlm llm(failing, *journal_);
    llm.Submit(Use(Effect::kAtCommit));
    std::vector<llm::Completion> done;
    llm.Wait(done, llm::Llm::kForever);
    EXPECT_EQ(done.at(0).finish, FinishReason::kFailed);
    EXPECT_EQ(done.at(0).text, "no money");
    EXPECT_FALSE(done.at(0).error.has_value());
  }
  EXPECT_EQ(below_.asked, 1);
  EXPECT_EQ(Text("SELECT outcome || ': ' || result FROM effects"), "failed: no money");
}

}  // namespace
}  // namespace throng::journal
