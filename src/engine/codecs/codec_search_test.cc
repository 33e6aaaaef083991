#include "engine/codecs/codec_search.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/codecs/calibration.h"
#include "engine/codecs/codec_config.h"
#include "engine/codecs/kv_probe.h"
#include "engine/loaded_model.h"
#include "kv/cache/block_pool.h"
#include "kv/codec_table.h"
#include "model/config.h"
#include "model/testing/tiny_model.h"

namespace throng::engine {
namespace {

double CodeBits(const kv::Codec* codec, kv::Part part) {
  return static_cast<double>(codec->Count(part).codes);
}

// Uses the model that comes with the program. The search keeps its result in a cache private to the test.
class EmbeddedModelTest : public testing::Test {
 protected:
  EmbeddedModelTest()
      : cache_(std::filesystem::path(testing::TempDir()) / ("kv_cache_" + std::to_string(getpid()))) {
    setenv("XDG_CACHE_HOME", cache_.c_str(), 1);
  }
  ~EmbeddedModelTest() override { std::filesystem::remove_all(cache_); }

  CodecChoice Choose(const std::string& kv) {
    CodecOptions options;
    options.flags.kv = kv;
    return model_.ChooseCodecs(options, threads_);
  }
  kv::BlockLayout Uniform(const std::string& codec) const {
    return kv::MakeLayout({.kv = codec, .k = "", .v = ""}, config_.cache_layers);
  }
  std::vector<int32_t> Text() const { return model_.tokenizer->EncodePrompt(CalibrationText()); }
  KvProbe MakeProbe(kv::SoftmaxKind softmax = kv::SoftmaxKind::kExact) {
    return KvProbe(*model_.transformer, Text(), softmax, threads_);
  }

  const std::filesystem::path cache_;
  const LoadedModel model_ = LoadModel(std::string(THRONG_SOURCE_DIR) + "/town/model.gguf");
  const model::ModelConfig& config_ = model_.transformer->Config();
  ThreadPool threads_{1};
};

TEST_F(EmbeddedModelTest, AutoHoldsItsTargetWithFewerBytesThanAnyCodecForAllLayers) {
  constexpr double kTarget = 0.01;
  const CodecChoice choice = Choose("auto:kl=0.01");
  const kv::BlockLayout layout = choice.Layout(config_);
  KvProbe probe = MakeProbe();
  EXPECT_LE(choice.kl, kTarget);
  EXPECT_EQ(probe.Divergence(layout), choice.kl);  // measured again: the same to the last bit
  for (const kv::CodecEntry& entry : kv::CodecTable()) {
    const kv::BlockLayout uniform = Uniform(entry.name);
    if (BytesPerToken(uniform) >= BytesPerToken(layout)) continue;
    EXPECT_GT(probe.Divergence(uniform), kTarget) << entry.name << " takes fewer bytes";
  }
  // Over a layer: flashq-mixed ranks the heads of keys and of values apart.
  const auto heads = static_cast<size_t>(config_.num_kv_heads);
  for (size_t first = 0; first < layout.pages.size(); first += heads) {
    double keys = 0;
    double values = 0;
    for (size_t i = first; i < first + heads; ++i) {
      keys += CodeBits(layout.pages[i].keys, kv::Part::kKeys);
      values += CodeBits(layout.pages[i].values, kv::Part::kValues);
    }
    EXPECT_GE(keys, values) << "layer " << first / heads;
  }
  // The second time the choice comes from the cache, with full precision.
  const CodecChoice again = Choose("auto:kl=1%");
  EXPECT_EQ(again.layers, choice.layers);
  EXPECT_EQ(again.kl, choice.kl);
  EXPECT_FALSE(std::filesystem::is_empty(cache_ / "throng"));
}

// On a small random model: a search over the embedded one takes many seconds.
TEST_F(EmbeddedModelTest, TheSoftmaxOfTheRunIsMeasuredAndKeptApartInTheCache) {
  constexpr double kTarget = 0.001;
  const std::vector<uint8_t> bytes = model::TinyModel().Bytes();
  const model::GgufFile file(bytes, "tiny");
  const auto transformer = model::LoadTransformer(file);
  const Encoder encode = [](std::string_view text) {
    std::vector<int32_t> tokens;
    for (const char c : text) tokens.push_back(c % 64);
    return tokens;
  };
  const auto choose = [&](kv::SoftmaxKind softmax) {
    const CodecOptions options{.flags = {.kv = fmt::format("auto:kl={}", kTarget)}, .softmax = softmax};
    return ChooseCodecs(options, *transformer, encode, threads_);
  };
  const CodecChoice exact = choose(kv::SoftmaxKind::kExact);
  const CodecChoice sas = choose(kv::SoftmaxKind::kSas);
  EXPECT_EQ(sas.softmax, kv::SoftmaxKind::kSas);
  EXPECT_NE(sas.kl, exact.kl);  // not the one that the cache has for the exact softmax
  EXPECT_LE(sas.kl, kTarget);
  KvProbe probe(*transformer, encode(CalibrationText()), kv::SoftmaxKind::kSas, threads_);
  EXPECT_EQ(probe.Divergence(sas.Layout(transformer->Config())), sas.kl);
  EXPECT_EQ(choose(kv::SoftmaxKind::kSas).kl, sas.kl);
  EXPECT_EQ(choose(kv::SoftmaxKind::kExact).kl, exact.kl);
}

// The reference is exact, so what the softmax costs counts towards the target, too.
TEST_F(EmbeddedModelTest, TheProbeCountsWhatTheSoftmaxCosts) {
  EXPECT_GT(MakeProbe(kv::SoftmaxKind::kSas).Divergence(Uniform("f32")), 1e-9);
}

TEST_F(EmbeddedModelTest, ATargetBeyondAllCodecsGivesF32) {
  std::vector<int32_t> text = Text();
  text.resize(KvProbe::kLeastTokens);
  KvProbe probe(*model_.transformer, text, kv::SoftmaxKind::kExact, threads_);
  EXPECT_EQ(SearchCodecs(probe, {}, 1e-6).layers,
            std::vector<kv::LayerCodecs>(static_cast<size_t>(config_.num_layers), {"f32", "f32"}));
}

TEST_F(EmbeddedModelTest, TheProbeAgreesWithItself) {
  KvProbe probe = MakeProbe();
  EXPECT_LT(probe.Divergence(Uniform("f32")), 1e-12);
  const double int8 = probe.Divergence(Uniform("int8"));
  EXPECT_GT(int8, 0.0);
  EXPECT_LT(int8, probe.Divergence(Uniform("rot2")));
  EXPECT_EQ(probe.NumPasses(), 4);
}

TEST_F(EmbeddedModelTest, ShortTextsAndContextsAreRefused) {
  EXPECT_THROW(KvProbe(*model_.transformer, std::vector<int32_t>(100, 1), kv::SoftmaxKind::kExact, threads_),
               Error);
}

}  // namespace
}  // namespace throng::engine
