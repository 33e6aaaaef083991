#include "bench/throughput.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/thread_pool.h"
#include "bench/random_model.h"
#include "bench/testing/moody.h"
#include "model/config.h"

namespace throng::bench {
namespace {

struct Subject {
  Subject() : bytes(RandomModel("tiny", model::TensorType::kQ8_0)), file(bytes, "tiny") {
    transformer = model::LoadTransformer(file);
  }
  std::vector<uint8_t> bytes;
  model::GgufFile file;
  std::unique_ptr<model::Transformer> transformer;
};

// Pages of the tiny shape in f16: 2 layers, 2 heads, keys and values, 64 x 64.
constexpr size_t kBlock = size_t{2} * 2 * 2 * 64 * 64 * 2;

std::vector<ThroughputRow> Measure(model::Transformer& model, const Subject& subject, const char* kv,
                                   size_t budget, const ThroughputLoad& load) {
  ThreadPool threads(2);
  return MeasureThroughput(subject.file, model, {.kv = kv}, kv::SoftmaxKind::kExact, budget, load, threads);
}

TEST(ThroughputTest, TheBatchRisesUntilTheBudgetIsFull) {
  Subject subject;
  // 128 + 70 tokens: 3 sealed blocks and an open one.
  const ThroughputLoad load{.prompt = 128, .answer = 70};
  const std::vector<ThroughputRow> rows = Measure(*subject.transformer, subject, "f16", 4 * 6 * kBlock, load);
  ASSERT_EQ(rows.size(), 4u);
  const int batches[] = {1, 2, 4, 6};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(rows[i].batch, batches[i]);
    EXPECT_EQ(rows[i].most, 6);
    EXPECT_EQ(rows[i].decode.tokens, 70 * batches[i]);
    EXPECT_EQ(rows[i].kv_bytes, 4 * kBlock * static_cast<size_t>(batches[i]));
    EXPECT_EQ(rows[i].answer.size(), 70u);
    EXPECT_GT(rows[i].prompt_seconds, 0);
    EXPECT_LT(rows[i].WholeRate(), rows[i].DecodeRate());
  }
}

TEST(ThroughputTest, ACompressedCacheHoldsMoreSequencesInTheSameBytes) {
  Subject subject;
  const ThroughputLoad load{.prompt = 256, .answer = 10, .compute_prompt = false};
  const size_t budget = size_t{5} * 4 * kBlock;
  const std::vector<ThroughputRow> f16 = Measure(*subject.transformer, subject, "f16", budget, load);
  const std::vector<ThroughputRow> flashq = Measure(*subject.transformer, subject, "flashq4", budget, load);
  EXPECT_EQ(f16.back().batch, 4);
  EXPECT_EQ(flashq.back().batch, 8);  // 4 blocks of 0.31 with the padding of so small ones, and an open one
  EXPECT_LE(flashq.back().kv_bytes, budget);
  EXPECT_EQ(flashq.back().WholeRate(), 0);
}

TEST(ThroughputTest, GivenBatchesThatDoNotFitAreLeftOut) {
  Subject subject;
  const ThroughputLoad load{.prompt = 64, .answer = 5, .batches = {2, 3, 7}};
  const std::vector<ThroughputRow> rows = Measure(*subject.transformer, subject, "f16", 2 * 3 * kBlock, load);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1].batch, 3);
}

TEST(ThroughputTest, ThePromptLeavesRoomForTheAnswerInTheContext) {
  EXPECT_EQ(DefaultPrompt(8192, 125), 1024);
  EXPECT_EQ(DefaultPrompt(1024, 125), 896);  // 14 pages
  EXPECT_EQ(DefaultPrompt(100, 90), 64);     // refused by the check of the context
}

TEST(ThroughputTest, ABudgetTooSmallForOneSequenceIsRefused) {
  Subject subject;
  EXPECT_THROW(Measure(*subject.transformer, subject, "f16", kBlock, {}), Error);
}

TEST(ThroughputTest, AnAnswerThatDependsOnTheBatchIsFoundOut) {
  Subject subject;
  Moody moody(*subject.transformer);
  const ThroughputLoad load{.prompt = 64, .answer = 5, .compute_prompt = false};
  EXPECT_THROW(Measure(moody, subject, "f16", 2 * 2 * kBlock, load), Error);
}

}  // namespace
}  // namespace throng::bench
