// The engine over models with layers that do not see everything: pages that nobody will see are released, and
// that never changes an answer.
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "engine/testing/engine_rig.h"
#include "engine/testing/fake_transformer.h"
#include "engine/testing/prompts.h"
#include "engine/testing/purity_check.h"
#include "kv/cache/page_file.h"
#include "model/gguf/gguf.h"
#include "model/testing/tiny_model.h"

namespace throng::engine {
namespace {

constexpr kv::Reach kAll{};

// Windows below a page, within the prompts, at borders of pages, and beyond everything.
class EngineSlidingPurity : public ::testing::TestWithParam<int> {};

TEST_P(EngineSlidingPurity, LogitsDependOnTokensModelAndCodecAlone) {
  const std::vector<uint8_t> bytes =
      model::TinyModel{.type = model::TensorType::kQ8_0, .window = GetParam()}.Bytes();
  const model::GgufFile file(bytes, "tiny");
  const auto transformer = model::LoadTransformer(file);
  for (const char* codec : {"f32", "flashq4:buffer=int8", "kivi2:sink=64,recent=64"}) {
    SCOPED_TRACE(codec);
    PurityCheck(*transformer, codec).Run();
  }
}

INSTANTIATE_TEST_SUITE_P(Windows, EngineSlidingPurity, ::testing::Values(3, 40, 65, 128, 1000));

TEST(EngineSlidingPurity, MixedLayersChunksAndStates) {
  struct Case {
    std::vector<kv::Reach> reaches;
    std::vector<size_t> floats;
  };
  for (const Case& with :
       {Case{{kAll, {.window = 100}, {.window = 30}}, {5}}, Case{{{.window = 130}, kAll}, {3, 1500}},
        Case{{{.chunk = 96}, kAll, {.window = 20}}, {7}}}) {
    for (const char* codec : {"f32", "kivi2:sink=64,recent=128"}) {
      SCOPED_TRACE(codec);
      FakeTransformer fake(kVocab, with.floats, 1, with.reaches);
      PurityCheck(fake, codec).Run();
    }
  }
}

class EngineSlidingTest : public ::testing::Test {
 protected:
  EngineRig& Start(const std::vector<kv::Reach>& reaches, Conditions conditions = {}) {
    rig_.reset();
    fake_ = std::make_unique<FakeTransformer>(kVocab, std::vector<size_t>{}, 1, reaches);
    rig_ = std::make_unique<EngineRig>(*fake_, "f32", conditions);
    return *rig_;
  }
  EngineResult Ask(const Question& question) {
    const Answer answer = rig_->Ask(question);
    EXPECT_EQ(answer.result.error ? answer.result.error->what() : std::string(), "");
    EXPECT_EQ(answer.logits.size(), static_cast<size_t>(question.max_tokens));
    return answer.result;
  }
  int Cached(const std::vector<int32_t>& prompt) { return Ask({prompt, 3}).cached_prompt_tokens; }

  std::unique_ptr<FakeTransformer> fake_;
  std::unique_ptr<EngineRig> rig_;
};

// What a sequence takes does not grow with what its layers no longer see.
TEST_F(EngineSlidingTest, MemoryIsThatOfTheWindow) {
  for (const int window : {1, 64, 65, 200}) {
    SCOPED_TRACE(window);
    for (const bool all_slide : {false, true}) {
      const std::vector<kv::Reach> reaches{all_slide ? kv::Reach{.window = window} : kAll,
                                           {.window = window}};
      EngineRig& rig = Start(reaches);
      size_t most = 0;
      fake_->before_forward = [&](std::span<const model::BatchItem> items) {
        if (items[0].cache->NumTokens() % kv::kPageTokens == 1) {
          most = std::max(most, rig.Blocks().GetLedger().sliding_blocks);
        }
      };
      Ask({Tokens(600, 1), 400});
      EXPECT_EQ(most, static_cast<size_t>(std::max(1, (window + 62) / 64)));
      EXPECT_EQ(rig.Blocks().HeldBytes(), 0u);
    }
  }
}

TEST_F(EngineSlidingTest, TheLargestContextThatIsAcceptedRuns) {
  for (const kv::Reach reach : {kv::Reach{.window = 100}, {.window = 1}, {.chunk = 512}, {.chunk = 100}}) {
    for (const bool prefix_cache : {false, true}) {
      for (const int length : {64, 100, 800}) {
        Start({kAll, reach},
              {.chunk_tokens = 1000, .prefix_cache = prefix_cache, .budget_tokens = length + 200});
        Ask({Tokens(static_cast<size_t>(length), 1), 200});
        Ask({Tokens(static_cast<size_t>(length), 2), 200});
        EXPECT_LE(rig_->Blocks().GetLedger().peak.Total(), rig_->Blocks().BudgetBytes());
      }
    }
  }
}

// With room, pages out of the windows stay in the prefix cache, whatever the chunks.
TEST_F(EngineSlidingTest, PromptsGoOnFromAnyBlockOfTheirLikes) {
  for (const int chunk : {64, 1000}) {
    Start({kAll, {.window = 100}}, {.step_tokens = 1024, .chunk_tokens = chunk, .prefix_cache = true});
    const std::vector<int32_t> common = Tokens(650, 1);
    EXPECT_EQ(Cached(common + Tokens(200, 2)), 0);
    EXPECT_EQ(Cached(common + Tokens(200, 3)), 640);
    EXPECT_EQ(Cached(Tokens(650, 1)), 640);
    // The first one's blocks, and the rows that follow them but for the last token's.
    EXPECT_EQ(Cached(common + Tokens(200, 2)), 849);
  }
}

// Without room, they leave first: ends and forks stay.
TEST_F(EngineSlidingTest, PagesInTheMiddleOfPathsLeaveFirst) {
  EngineRig& rig = Start({kAll, {.window = 100}}, {.prefix_cache = true, .budget_tokens = 2000});
  const std::vector<int32_t> first = Tokens(1200, 1);
  Cached(first);
  const double before = rig.Metric("throng:prefix_evictions_total");
  Cached(Tokens(700, 2));
  EXPECT_EQ(rig.Metric("throng:prefix_evictions_total"), before);  // whole blocks
  EXPECT_EQ(Cached(first + Tokens(100, 3)), 1152);
  EXPECT_EQ(Cached(std::vector<int32_t>(first.begin(), first.begin() + 700)), 0);
}

TEST_F(EngineSlidingTest, TightBudgetsChangeNothing) {
  std::vector<Question> questions;
  for (uint64_t i = 0; i < 6; ++i) {
    questions.push_back({Tokens(200, i % 2) + Tokens(40 + 30 * i, 10 + i), static_cast<int>(60 + 20 * i)});
  }
  for (const std::vector<kv::Reach>& reaches :
       {std::vector<kv::Reach>{kAll, {.window = 100}}, {{.window = 100}}, {{.chunk = 128}, kAll}}) {
    std::vector<Answer> alone;
    Start(reaches);
    for (const Question& question : questions) alone.push_back(rig_->Ask(question));
    for (const int budget : {560, 900}) {
      for (const bool spill : {false, true}) {
        SCOPED_TRACE(budget);
        EngineRig& rig = Start(reaches, {.chunk_tokens = 100,
                                         .prefix_cache = true,
                                         .budget_tokens = budget,
                                         .spill_folder = spill ? ::testing::TempDir() : "",
                                         .expectations = true});
        for (int round = 0; round < 2; ++round) {
          const std::vector<Answer> answers = rig.Ask(questions);
          for (size_t i = 0; i < questions.size(); ++i) {
            ASSERT_NO_FATAL_FAILURE(ExpectSame(answers[i], alone[i]));
          }
        }
        EXPECT_LE(rig.Blocks().GetLedger().peak.Total(), rig.Blocks().BudgetBytes());
      }
    }
  }
}

TEST_F(EngineSlidingTest, PagesStartForksAndFilesGoOn) {
  const std::string path =
      std::string(::testing::TempDir()) + "/engine_sliding_pages_" + std::to_string(getpid());
  for (const std::vector<kv::Reach>& reaches :
       {std::vector<kv::Reach>{kAll, {.window = 100}}, {{.window = 100}}}) {
    for (const int length : {100, 300, 321}) {
      Start(reaches);
      const Question question{.prompt = Tokens(static_cast<size_t>(length), 1), .max_tokens = 64};
      const std::vector<int32_t> all = question.prompt + Ask(question).tokens + Tokens(30, 2);
      const Answer expected = rig_->Ask({all, 100});
      Question kept = question;
      kept.keep_pages = true;
      const EngineResult result = Ask(kept);
      ASSERT_NE(result.pages, nullptr);
      const Answer forked = rig_->Ask({all, 100, result.pages});
      EXPECT_EQ(forked.result.cached_prompt_tokens, length + 63);
      ExpectSame(forked, expected);
      kv::SavePages(path, {}, result.pages->tokens, result.pages->cache);
      const auto loaded = std::make_shared<kv::SavedPages>(kv::LoadPages(path, {}, rig_->Blocks()));
      EXPECT_EQ(loaded->cache.SealedBlocks().size(), result.pages->cache.SealedBlocks().size());
      const Answer read = rig_->Ask({all, 100, loaded});
      EXPECT_EQ(read.result.cached_prompt_tokens, length + 63);
      ExpectSame(read, expected);
    }
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace throng::engine
