#include "journal/llm/replay_llm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "journal/llm/journaled_llm.h"
#include "journal/store/scratch_journal.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

using ::testing::HasSubstr;

class ReplayLlmTest : public ::testing::Test {
 protected:
  static sim::RunOptions Options(sim::Mode mode) {
    sim::RunOptions options;
    options.mode = mode;
    options.steps = 10;
    options.seed = 7;
    return options;
  }

  // A run out of order on a journal.
  Digest Record() {
    sim::HashLlm backend(1);
    sim::RunOptions options = Options(sim::Mode::kOutOfOrder);
    journal_.Get().Begin({}, world_, options, backend.Identity());
    JournaledLlm llm(backend, journal_.Get());
    options.observers = {&journal_.Get()};
    return sim::RunWorld(world_, llm, options).hash;
  }

  sim::WalkerWorld world_{sim::WalkerOptions{}};
  ScratchJournal journal_;
};

TEST_F(ReplayLlmTest, ARunFromItsOwnJournalLeavesTheSameHash) {
  const Digest hash = Record();
  for (const sim::Mode mode :
       {sim::Mode::kSingle, sim::Mode::kLockstep, sim::Mode::kOutOfOrder, sim::Mode::kSpeculative}) {
    ReplayLlm llm(journal_.Get());
    const sim::RunResult result = sim::RunWorld(world_, llm, Options(mode));
    EXPECT_EQ(result.hash, hash);
    EXPECT_GT(result.stats.calls, 0u);
    EXPECT_EQ(llm.Identity(), "replay of hash");
  }
}

TEST_F(ReplayLlmTest, OtherQuestionsAreErrors) {
  Record();
  sim::RunOptions options = Options(sim::Mode::kOutOfOrder);
  const auto error_of = [&] {
    ReplayLlm llm(journal_.Get());
    try {
      sim::RunWorld(world_, llm, options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  options.seed = 8;
  EXPECT_THAT(error_of(), HasSubstr("answers another question than call 0 (think) of agent"));
  options.seed = 7;
  options.steps = 30;
  EXPECT_THAT(error_of(), HasSubstr("has no answer for call 0 (think) of agent"));
}

}  // namespace
}  // namespace throng::journal
