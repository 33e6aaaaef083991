// The engine over a model with recurrent layers: their state never changes an answer, and is reused where
// docs/recurrent-state.md says so.
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "engine/testing/engine_rig.h"
#include "engine/testing/fake_transformer.h"
#include "engine/testing/prompts.h"
#include "engine/testing/purity_check.h"
#include "kv/cache/page_file.h"

namespace throng::engine {
namespace {

TEST(EngineStatePurity, LogitsDependOnTokensAlone) {
  for (const std::vector<size_t>& floats : {std::vector<size_t>{5}, {3, 1500}}) {
    for (const char* codec : {"f32", "kivi2:sink=64,recent=64"}) {
      SCOPED_TRACE(fmt::format("{} layers, {}", floats.size(), codec));
      FakeTransformer fake(kVocab, floats);
      PurityCheck(fake, codec).Run();
    }
  }
}

class EngineStateTest : public ::testing::Test {
 protected:
  // A state takes as much as the pages of 20 blocks.
  static inline const std::vector<size_t> kFloats = {7, 20000};
  static constexpr int kFar = 20 * kv::kPageTokens;

  EngineRig& Start(Conditions conditions = {}) {
    rig_.reset();
    rig_ = std::make_unique<EngineRig>(fake_, "f32", conditions);
    return *rig_;
  }

  // Asks, compares each row of logits with what the tokens alone say, and returns the result.
  EngineResult Ask(const Question& question) {
    const Answer answer = rig_->Ask(question);
    ExpectRight(question, answer);
    return answer.result;
  }
  int Cached(const std::vector<int32_t>& prompt, int max_tokens = 3) {
    return Ask({prompt, max_tokens}).cached_prompt_tokens;
  }

  static void ExpectRight(const Question& question, const Answer& answer) {
    EXPECT_EQ(answer.result.error ? answer.result.error->what() : std::string(), "");
    EXPECT_EQ(answer.logits.size(), static_cast<size_t>(question.max_tokens));
    std::vector<int32_t> tokens = question.prompt;
    FakeStates states(kFloats);
    for (const int32_t token : tokens) states.Add(token);
    for (size_t i = 0; i < answer.logits.size(); ++i) {
      std::vector<float> logits(kVocab);
      FakeTransformer::Logits(tokens, logits, SIZE_MAX, states.Hash());
      ASSERT_EQ(answer.logits[i], logits) << "token " << i << " of the answer";
      tokens.push_back(answer.result.tokens[i]);
      states.Add(tokens.back());
    }
  }

  FakeTransformer fake_{kVocab, kFloats};
  std::unique_ptr<EngineRig> rig_;
};

TEST_F(EngineStateTest, APromptGoesOnFromItsLikes) {
  Start({.prefix_cache = true});
  EXPECT_EQ(Cached(Tokens(300, 1)), 0);
  EXPECT_EQ(Cached(Tokens(300, 1)), 256);
  EXPECT_EQ(Cached(Tokens(300, 1) + Tokens(200, 2)), 256);
  EXPECT_EQ(Cached(Tokens(300, 1) + Tokens(200, 2)), 448);
  EXPECT_EQ(Cached(Tokens(300, 1)), 256);  // its state has been of use, so it has stayed
  EXPECT_EQ(Cached(Tokens(320, 3)), 0);
  EXPECT_EQ(Cached(Tokens(320, 3)), 256);  // one token is left to compute logits from
}

TEST_F(EngineStateTest, AConversationGoesOnFromItsEnd) {
  Start({.prefix_cache = true});
  std::vector<int32_t> prompt = Tokens(100, 1);
  int computed = 0;
  for (int turn = 0; turn < 4; ++turn) {
    const EngineResult result = Ask({prompt, 150});
    EXPECT_EQ(result.cached_prompt_tokens, computed / 64 * 64);
    computed = static_cast<int>(prompt.size()) + 149;
    prompt = prompt + result.tokens + Tokens(30, 7);
  }
}

// Where prompts part is not known before the second one comes.
TEST_F(EngineStateTest, APlaceWherePromptsPartIsLearnedFromTheSecond) {
  Start({.prefix_cache = true});
  const std::vector<int32_t> common = Tokens(650, 1);
  EXPECT_EQ(Cached(common + Tokens(200, 2)), 0);
  EXPECT_EQ(Cached(common + Tokens(200, 3)), 0);
  EXPECT_EQ(Cached(common + Tokens(200, 4)), 640);
  EXPECT_EQ(Cached(common + Tokens(200, 2)), 832);
}

TEST_F(EngineStateTest, LongPromptsHaveStatesAtDistances) {
  Start({.chunk_tokens = 200, .prefix_cache = true});
  const std::vector<int32_t> common = Tokens(kFar + 250, 1);
  EXPECT_EQ(Cached(common + Tokens(200, 2)), 0);
  EXPECT_EQ(Cached(common + Tokens(200, 3)), kFar);
}

TEST_F(EngineStateTest, StatesTakeNoMoreThanTheyMay) {
  EngineRig& rig = Start({.prefix_cache = true});
  Cached(Tokens(kFar + 100, 1), 200);
  // At the distance, at the end of the prompt and at that of the answer.
  EXPECT_EQ(rig.Blocks().GetLedger().states, 3u);
  Start();
  Cached(Tokens(kFar + 100, 1), 200);
  EXPECT_EQ(rig_->Blocks().HeldBytes(), 0u);
}

// Conditions in which states and blocks leave all the time.
TEST_F(EngineStateTest, TightBudgetsChangeNothing) {
  std::vector<Question> questions;
  for (uint64_t i = 0; i < 6; ++i) {
    questions.push_back({Tokens(200, i % 2) + Tokens(40 + 30 * i, 10 + i), static_cast<int>(60 + 20 * i)});
  }
  std::vector<Answer> first;
  for (const int budget : {560, 900}) {
    for (const bool spill : {false, true}) {
      SCOPED_TRACE(budget);
      EngineRig& rig = Start({.chunk_tokens = 100,
                              .prefix_cache = true,
                              .budget_tokens = budget,
                              .spill_folder = spill ? ::testing::TempDir() : "",
                              .expectations = true});
      for (int round = 0; round < 2; ++round) {
        const std::vector<Answer> answers = rig.Ask(questions);
        for (size_t i = 0; i < questions.size(); ++i) {
          if (first.size() == i) {
            ExpectRight(questions[i], first.emplace_back(answers[i]));
          } else {
            ASSERT_NO_FATAL_FAILURE(ExpectSame(answers[i], first[i]));
          }
        }
      }
      EXPECT_LE(rig.Blocks().GetLedger().peak.Total(), rig.Blocks().BudgetBytes());
    }
  }
}

TEST_F(EngineStateTest, TheLargestContextThatIsAcceptedRuns) {
  for (const bool prefix_cache : {false, true}) {
    for (const int length : {1, 64, 100, 128}) {
      Start({.chunk_tokens = 1000, .prefix_cache = prefix_cache, .budget_tokens = length + 200});
      Ask({Tokens(static_cast<size_t>(length), 1), 200});
      Ask({Tokens(static_cast<size_t>(length), 2), 200});
    }
  }
}

TEST_F(EngineStateTest, PreemptedSequencesComeBackFromMemoryOrDisk) {
  EngineRig& rig = Start({.prefix_cache = true, .budget_tokens = 400, .spill_folder = ::testing::TempDir()});
  std::vector<Question> questions;
  for (uint64_t i = 0; i < 3; ++i) questions.push_back({Tokens(100, i), 200});
  const std::vector<Answer> answers = rig.Ask(questions);
  int preemptions = 0;
  for (size_t i = 0; i < questions.size(); ++i) {
    ExpectRight(questions[i], answers[i]);
    preemptions += answers[i].result.preemptions;
  }
  EXPECT_GT(preemptions, 0);
}

TEST_F(EngineStateTest, PagesStartForksOfAllTheirTokens) {
  Start();
  const std::vector<int32_t> prompt = Tokens(100, 1);
  const EngineResult result = Ask({.prompt = prompt, .max_tokens = 50, .keep_pages = true});
  ASSERT_NE(result.pages, nullptr);
  const std::vector<int32_t> all = prompt + result.tokens;
  EXPECT_EQ(Ask({all, 20, result.pages}).cached_prompt_tokens, 149);
  EXPECT_EQ(Ask({all + Tokens(80, 2), 20, result.pages}).cached_prompt_tokens, 149);
  EXPECT_EQ(Ask({prompt, 20, result.pages}).cached_prompt_tokens, 0);
  EXPECT_EQ(Ask({prompt + Tokens(80, 2), 20, result.pages}).cached_prompt_tokens, 0);
}

TEST_F(EngineStateTest, SavedPagesGoOn) {
  const std::string path = std::string(::testing::TempDir()) + "/engine_state_pages";
  for (const int length : {100, 129}) {  // ends within a block, or with it
    Start();
    const EngineResult result =
        Ask({.prompt = Tokens(static_cast<size_t>(length), 1), .max_tokens = 64, .keep_pages = true});
    kv::SavePages(path, {}, result.pages->tokens, result.pages->cache);
    const auto loaded = std::make_shared<kv::SavedPages>(kv::LoadPages(path, {}, rig_->Blocks()));
    EXPECT_EQ(Ask({loaded->tokens + Tokens(30, 2), 100, loaded}).cached_prompt_tokens, length + 63);
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace throng::engine
