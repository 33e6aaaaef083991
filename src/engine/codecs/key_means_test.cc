#include "engine/codecs/key_means.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "base/thread_pool.h"
#include "engine/codecs/codec_config.h"
#include "kv/cache/block_pool.h"
#include "model/config.h"
#include "model/gguf/gguf.h"
#include "model/testing/tiny_model.h"
#include "model/transformer.h"

namespace throng::engine {
namespace {

using testing::HasSubstr;

class KeyMeansTest : public testing::Test {
 protected:
  void UseModel(const model::TinyModel& shape) {
    bytes_ = shape.Bytes();
    file_.emplace(bytes_, "tiny");
    transformer_ = model::LoadTransformer(*file_);
  }
  static std::vector<int32_t> Text(size_t tokens) {
    CounterRng rng(3);
    std::vector<int32_t> text(tokens);
    for (int32_t& token : text) token = static_cast<int32_t>(rng.NextBelow(64));
    return text;
  }
  std::shared_ptr<const kv::KeyMeans> Measure(size_t tokens) {
    return MeasureKeyMeans(*transformer_, Text(tokens), kv::SoftmaxKind::kExact, threads_);
  }

  std::vector<uint8_t> bytes_;
  std::optional<model::GgufFile> file_;
  std::unique_ptr<model::Transformer> transformer_;
  ThreadPool threads_{1};
};

// The mean is near the bias, as far as the text is short, whatever the rotation.
TEST_F(KeyMeansTest, FindABias) {
  for (const char* architecture : {"qwen2", "llama"}) {
    for (const int rope_dim : {0, 12}) {
      UseModel({.architecture = architecture,
                .type = model::TensorType::kF32,
                .key_bias = 50.0f,
                .bias_pairs = {1, 4},
                .rope_dim = rope_dim});
      const auto means = Measure(600);
      const auto bias = transformer_->KeyBias();
      for (size_t layer = 0; layer < 2; ++layer) {
        for (size_t i = 0; i < (*bias)[layer].removed.size(); ++i) {
          const float removed = (*bias)[layer].removed[i];
          if (std::abs(removed) < 1.0f) continue;
          EXPECT_NEAR((*means)[layer][i], removed, 1.5f)
              << architecture << rope_dim << " " << layer << " " << i;
        }
      }
    }
  }
}

TEST_F(KeyMeansTest, SmallMeansAreLeftInKeys) {
  UseModel({.type = model::TensorType::kF32});
  const auto means = Measure(512);
  size_t zeros = 0;
  for (const std::vector<float>& layer : *means) zeros += std::count(layer.begin(), layer.end(), 0.0f);
  EXPECT_GT(zeros, 2u * 32 / 2);
}

TEST_F(KeyMeansTest, ShortTextsAreRefused) {
  UseModel({});
  try {
    Measure(63);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("bias=mean: it takes 64 tokens, the model's context has 2048 and the text 63"));
  }
}

// As --kv says it, also of heads that the engine ranks.
TEST_F(KeyMeansTest, ChoicesHaveThem) {
  UseModel({.architecture = "qwen2", .key_bias = 50.0f, .bias_pairs = {1}});
  const Encoder encode = [](std::string_view) { return Text(512); };
  const std::filesystem::path cache =
      std::filesystem::path(testing::TempDir()) / ("key_means_" + std::to_string(getpid()));
  setenv("XDG_CACHE_HOME", cache.c_str(), 1);
  for (const char* kv : {"rot4:bias=mean", "flashq-mixed:bias=mean", "auto:kl=0.1,bias=mean"}) {
    const CodecOptions options{.flags = {.kv = kv, .k = "", .v = ""}};
    EXPECT_FALSE(IsPlain(options.flags));
    const CodecChoice choice = ChooseCodecs(options, *transformer_, encode, threads_);
    ASSERT_NE(choice.key_means, nullptr);
    EXPECT_NEAR((*choice.key_means)[0][1], (*transformer_->KeyBias())[0].removed[1], 1.0f);
    EXPECT_EQ(choice.Layout(transformer_->Config()).key_bias, kv::KeyBias::kMean);
    EXPECT_EQ(choice.layers[0].v.find("bias"), std::string::npos);
  }
  std::filesystem::remove_all(cache);
}

}  // namespace
}  // namespace throng::engine
