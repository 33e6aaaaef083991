#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/thread_pool.h"
#include "eval/divergence.h"
#include "eval/recall.h"

namespace throng::eval {
namespace {

const std::string kModel = std::string(THRONG_SHARED_DIR) + "/models/stories260K.gguf";

TEST(DivergenceTest, F32AgreesWithItselfAndCodecsDriftByTheirBits) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  std::vector<int32_t> text(200);
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<int32_t>(260 + i * 37 % 200);
  ThreadPool threads(2);
  const std::vector<std::string> codecs = {"f32", "int8", "rot2"};
  const auto results = MeasureDivergence(*model.transformer, {&text, 1}, codecs, threads);
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0].positions, 200u - 64 - 1);
  EXPECT_EQ(results[0].kl_mean, 0.0);
  EXPECT_EQ(results[0].kl_p99, 0.0);
  EXPECT_EQ(results[0].top1, 1.0);
  EXPECT_GT(results[1].kl_mean, 0.0);
  EXPECT_LT(results[1].kl_mean, 0.01);
  EXPECT_NEAR(results[1].ppl / results[0].ppl, 1.0, 0.05);
  EXPECT_GT(results[2].kl_mean, results[1].kl_mean);
  EXPECT_DOUBLE_EQ(results[0].ratio_to_f16, 0.5);
  EXPECT_GT(results[2].ratio_to_f16, results[1].ratio_to_f16);
}

TEST(DivergenceTest, TextsWithoutSealedPagesAreRefused) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  const engine::LoadedModel model = engine::LoadModel(kModel);
  const std::vector<int32_t> text(64, 300);
  const std::vector<std::string> codecs = {"int8"};
  ThreadPool threads(1);
  EXPECT_THROW(MeasureDivergence(*model.transformer, {&text, 1}, codecs, threads), Error);
}

TEST(RecallTest, F32LosesNothingToItself) {
  if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is missing";
  std::vector<Question> questions;
  for (int i = 0; i < 4; ++i) {
    std::string prompt;
    for (int j = 0; j < 25; ++j) prompt += "Tom and Lily went to the park. ";
    questions.push_back({prompt + "They saw a", {" dog", " cat", " bird"}, " dog", 60 * i});
  }
  engine::LocalOptions options;
  options.model = kModel;
  options.kv_budget_bytes = 64 << 20;
  const std::vector<std::string> codecs = {"f32", "int8"};
  const auto results = MeasureRecall(options, questions, codecs);
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].lost + results[0].gained, 0);
  EXPECT_EQ(results[0].difference_low, 0.0);
  EXPECT_EQ(results[0].length_ratio, 1.0);
  EXPECT_EQ(results[1].buckets[0].questions, 2);  // distances 0 and 60
  EXPECT_EQ(results[1].buckets[1].questions, 1);
  EXPECT_EQ(results[1].buckets[2].questions, 1);
}

TEST(QuestionsTest, ABadLineIsNamed) {
  const std::string path = testing::TempDir() + "/questions.jsonl";
  std::ofstream(path) << R"({"prompt":"p","choices":["a"],"answer":"a","distance":3})"
                      << "\n{}\n";
  EXPECT_EQ(ReadQuestions(path, 1).size(), 1u);
  try {
    ReadQuestions(path, 0);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(":2:"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace throng::eval
