#include "bench/model_speed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "bench/random_model.h"
#include "bench/testing/moody.h"
#include "engine/loaded_model.h"
#include "model/config.h"
#include "model/model.h"
#include "model/testing/test_matrices.h"
#include "model/tokenizer/tokenizer.h"

namespace throng::bench {
namespace {

struct Subject {
  explicit Subject(model::TensorType type)
      : bytes(RandomModel("tiny", type)), file(bytes, "tiny"), transformer(model::LoadTransformer(file)) {}
  std::vector<uint8_t> bytes;
  model::GgufFile file;
  std::unique_ptr<model::Transformer> transformer;
};

constexpr size_t kBudget = size_t{64} << 20;

TEST(ModelSpeedTest, MeasuresEveryTypeOfWeights) {
  ThreadPool threads(2);
  ReadMeter memory(threads);
  for (const model::TensorType type : model::kAllTensorTypes) {
    Subject subject(type);
    ModelSpeed speed(subject.file, *subject.transformer, {.kv = "flashq4"}, kv::SoftmaxKind::kExact, kBudget,
                     threads);
    speed.Fill(3, 128);
    const PassSpeed prefill = speed.Prefill(70, 2, memory);
    EXPECT_EQ(prefill.tokens, 70);
    EXPECT_EQ(prefill.seconds.size(), 2u);
    ASSERT_EQ(prefill.read_rates.size(), 2u);
    EXPECT_GT(prefill.read_rates[1], 1e8);
    EXPECT_LT(prefill.read_rates[1], 1e13);
    const PassSpeed decode = speed.Decode(5, 1, memory);
    EXPECT_EQ(decode.tokens, 15);
    EXPECT_EQ(decode.seconds.size(), 1u);
  }
}

TEST(ModelSpeedTest, CountsTheBytesOfWeightsOncePerPassAndOfPagesPerSequence) {
  ThreadPool threads(1);
  Subject subject(model::TensorType::kQ8_0);
  // 2 layers: q and output 256 x 256, k and v 256 x 128, gate, up and down 256 x 512; output 256 x 512;
  // norms.
  const double weights =
      (2 * (2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 512) + 256 * 512) * 34 / 32 + 5 * 256 * 4;
  EXPECT_EQ(static_cast<double>(model::WeightBytes(subject.file)), weights);
  ModelSpeed speed(subject.file, *subject.transformer, {.kv = "f16"}, kv::SoftmaxKind::kExact, kBudget,
                   threads);
  ReadMeter memory(threads);
  speed.Fill(4, 192);
  const double page = 2.0 * 64 * 64 * 2;  // keys and values of 64 tokens, 64 wide, 2 bytes each
  EXPECT_EQ(speed.Decode(2, 1, memory).bytes, 2 * (weights + 4 * 3 * 2 * 2 * page));
  // The pass sees its own tokens too: at its last one, 4 pages are complete.
  EXPECT_EQ(speed.Prefill(100, 1, memory).bytes, weights + 4 * 2 * 2 * page);
}

// Two of four pages are seen in int8. Going back from beyond a block takes the fine forms of the start.
TEST(ModelSpeedTest, MeasuresCachesWithFinePages) {
  ThreadPool threads(1);
  Subject subject(model::TensorType::kQ8_0);
  ModelSpeed speed(subject.file, *subject.transformer, {.kv = "kivi2:sink=64,recent=64"},
                   kv::SoftmaxKind::kExact, kBudget, threads);
  ReadMeter memory(threads);
  speed.Fill(2, 256);
  const double fine = 2.0 * (64 * 64 + 64 * 4), base = 2.0 * (64 * 64 / 4 + 64 * 4);
  const auto weights = static_cast<double>(model::WeightBytes(subject.file));
  EXPECT_EQ(speed.Decode(1, 1, memory).bytes, weights + 2 * 2 * 2 * 2 * (fine + base));
  EXPECT_EQ(speed.Decode(130, 2, memory).seconds.size(), 2u);
  EXPECT_EQ(speed.Prefill(130, 2, memory).tokens, 130);
}

TEST(ModelSpeedTest, ARandomModelCanHaveTheVocabularyOfAnother) {
  const model::GgufFile town(engine::EmbeddedModelPath());
  const std::vector<uint8_t> bytes = RandomModel("tiny", model::TensorType::kQ4_0, &town);
  const model::GgufFile file(bytes, "tiny");
  const model::Tokenizer tokenizer(file), of_town(town);
  EXPECT_EQ(model::BuildModel(file)->config.vocab_size, of_town.VocabSize());
  EXPECT_EQ(tokenizer.EncodePrompt("Finn likes tea."), of_town.EncodePrompt("Finn likes tea."));
  EXPECT_EQ(tokenizer.EndOfGeneration(), of_town.EndOfGeneration());
  const std::vector<uint8_t> without = RandomModel("tiny", model::TensorType::kQ4_0);
  const model::GgufFile no_vocabulary(without, "tiny");
  EXPECT_THROW(RandomModel("tiny", model::TensorType::kQ4_0, &no_vocabulary), Error);
}

// Of 8 experts, one token reads 2; more tokens read more of them.
TEST(ModelSpeedTest, CountsTheExpertsThatPassesRead) {
  const std::vector<uint8_t> bytes = RandomModel("mixtral-tiny", model::TensorType::kQ4_0);
  const model::GgufFile file(bytes, "mixtral-tiny");
  const WeightUse use = ReadWeightUse(file);
  EXPECT_EQ(use.chosen_share, 0.25);
  const double experts = 16.0 * 3 * 8 * 1024 * 2048;
  EXPECT_EQ(use.expert_bytes, experts * 18 / 32);
  EXPECT_EQ(use.Bytes(1), use.shared_bytes + use.expert_bytes / 4);
  EXPECT_NEAR(use.Bytes(2), use.shared_bytes + use.expert_bytes * 7 / 16, 1.0);
  EXPECT_EQ(use.weights, experts / 4 + 16.0 * (2 * 1024 * 1024 + 2 * 1024 * 256 + 8 * 1024));
}

TEST(ModelSpeedTest, RandomModelsHaveRecurrentLayersAndWindows) {
  struct Case {
    const char* shape;
    size_t attention, sliding, recurrent;
  };
  for (const auto& [shape, attention, sliding, recurrent] :
       {Case{"qwen35-0.8b", 6, 0, 18}, {"falcon-h1-0.5b", 36, 0, 36}, {"gemma3-1b", 26, 22, 0}}) {
    const std::vector<uint8_t> bytes = RandomModel(shape, model::TensorType::kQ4_0);
    const model::GgufFile file(bytes, shape);
    const model::ModelConfig config = model::BuildModel(file)->config;
    EXPECT_EQ(config.cache_layers.size(), attention) << shape;
    EXPECT_EQ(static_cast<size_t>(std::ranges::count_if(
                  config.cache_reaches, [](const kv::Reach& reach) { return !reach.SeesAll(); })),
              sliding)
        << shape;
    EXPECT_EQ(config.state_floats.size(), recurrent) << shape;
  }
}

TEST(ModelSpeedTest, CachesWithoutRoomAreRefused) {
  ThreadPool threads(1);
  Subject subject(model::TensorType::kF16);
  ModelSpeed speed(subject.file, *subject.transformer, {}, kv::SoftmaxKind::kExact, size_t{1} << 20, threads);
  EXPECT_GT(speed.CacheBytes(1, 4096), size_t{1} << 20);
  EXPECT_THROW(speed.Fill(1, 4096), Error);
}

TEST(ModelSpeedTest, AWrongResultIsNotTimed) {
  ThreadPool threads(1);
  Subject subject(model::TensorType::kQ4_0);
  Moody moody(*subject.transformer);
  ModelSpeed speed(subject.file, moody, {}, kv::SoftmaxKind::kExact, kBudget, threads);
  ReadMeter memory(threads);
  speed.Fill(2, 64);
  EXPECT_THROW(speed.Prefill(10, 1, memory), Error);
  speed.Fill(2, 64);
  EXPECT_THROW(speed.Decode(10, 1, memory), Error);
}

TEST(ModelSpeedTest, UnknownShapesAndTypesAreRefused) {
  EXPECT_THROW(RandomModel("llama-900b", model::TensorType::kF16), Error);
  EXPECT_EQ(ParseWeights("q4_k"), model::TensorType::kQ4_K);
  EXPECT_THROW(ParseWeights("q4_z"), Error);
}

}  // namespace
}  // namespace throng::bench
