#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/codecs/calibration.h"
#include "engine/codecs/codec_config.h"
#include "engine/codecs/codec_search.h"
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
  constexpr KlFigures kTarget = {0.01, 0.2};
  const CodecChoice choice = Choose("auto:kl=0.01");
  const kv::BlockLayout layout = choice.Layout(config_);
  KvProbe probe = MakeProbe();
  KvProbe held_out(*model_.transformer, model_.tokenizer->EncodePrompt(HeldOutText()),
                   kv::SoftmaxKind::kExact, threads_, 2048);
  EXPECT_EQ(choice.target, kTarget);
  EXPECT_TRUE(choice.kl.Meets(kTarget));
  EXPECT_TRUE(choice.held_out.Meets(kTarget));
  EXPECT_EQ(probe.Divergence(layout), choice.kl);  // measured again: the same to the last bit
  EXPECT_EQ(held_out.Divergence(layout), choice.held_out);
  for (const kv::CodecEntry& entry : kv::CodecTable()) {
    const kv::BlockLayout uniform = Uniform(entry.name);
    if (BytesPerToken(uniform) >= BytesPerToken(layout)) continue;
    EXPECT_FALSE(probe.Divergence(uniform).Meets(kTarget) && held_out.Divergence(uniform).Meets(kTarget))
        << entry.name << " takes fewer bytes";
  }
  bool heads_differ = false;
  for (size_t i = 0; i < layout.pages.size(); ++i) {
    const kv::PageSpec& page = layout.pages[i];
    EXPECT_GE(CodeBits(page.keys, kv::Part::kKeys), CodeBits(page.values, kv::Part::kValues)) << "page " << i;
    heads_differ |=
        i % static_cast<size_t>(config_.num_kv_heads) > 0 && page.keys != layout.pages[i - 1].keys;
  }
  EXPECT_TRUE(heads_differ);
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
  EXPECT_LE(sas.kl.mean, kTarget);
  KvProbe probe(*transformer, encode(CalibrationText()), kv::SoftmaxKind::kSas, threads_);
  EXPECT_EQ(probe.Divergence(sas.Layout(transformer->Config())), sas.kl);
  EXPECT_EQ(choose(kv::SoftmaxKind::kSas).kl, sas.kl);
  EXPECT_EQ(choose(kv::SoftmaxKind::kExact).kl, exact.kl);
}

// The reference is exact, so what the softmax costs counts towards the target, too.
TEST_F(EmbeddedModelTest, TheProbeCountsWhatTheSoftmaxCosts) {
  EXPECT_GT(MakeProbe(kv::SoftmaxKind::kSas).Divergence(Uniform("f32")).mean, 1e-9);
}

TEST_F(EmbeddedModelTest, ATargetBeyondAllCodecsGivesF32) {
  std::vector<int32_t> text = Text();
  text.resize(KvProbe::kLeastTokens);
  KvProbe probe(*model_.transformer, text, kv::SoftmaxKind::kExact, threads_);
  EXPECT_EQ(SearchCodecs(probe, probe, {.target = {1e-6, 1.0}}).layers,
            std::vector<kv::LayerCodecs>(static_cast<size_t>(config_.num_layers), {"f32", "f32"}));
}

// The search may fit its text by chance; the other text decides.
TEST_F(EmbeddedModelTest, WhatTheHeldOutTextRefutesIsCorrected) {
  std::vector<int32_t> easy = Text();
  std::fill(easy.begin() + 1, easy.end(), easy[1]);  // one token again and again
  KvProbe probe(*model_.transformer, easy, kv::SoftmaxKind::kExact, threads_, 256);
  KvProbe held_out = MakeProbe();
  const SearchOptions options{.target = {0.02, 0.2}};
  const FoundCodecs found = SearchCodecs(probe, held_out, options);
  EXPECT_GT(found.corrections, 0);
  EXPECT_TRUE(found.kl.Meets(options.target));
  EXPECT_TRUE(found.held_out.Meets(options.target));
  const kv::BlockLayout layout = kv::MakeLayout(found.layers, config_.cache_layers);
  EXPECT_EQ(held_out.Divergence(layout), found.held_out);
}

// Positions that see nothing beyond the window are left out of the mean.
TEST_F(EmbeddedModelTest, AWindowIsKeptAndOnlyWhatLiesBeyondItIsCompared) {
  KvProbe probe = MakeProbe();
  const SearchOptions options{.target = {0.05, 5}, .window = {.sink_blocks = 1, .recent_blocks = 1}};
  const FoundCodecs found = SearchCodecs(probe, probe, options);
  EXPECT_EQ(kv::MakeLayout(found.layers, config_.cache_layers).window, options.window);
  EXPECT_TRUE(found.kl.Meets(options.target));
}

TEST_F(EmbeddedModelTest, TheProbeAgreesWithItself) {
  KvProbe probe = MakeProbe();
  EXPECT_LT(probe.Divergence(Uniform("f32")).p99, 1e-12);
  const KlFigures int8 = probe.Divergence(Uniform("int8"));
  EXPECT_GT(int8.mean, 0.0);
  EXPECT_GT(int8.p99, int8.mean);
  EXPECT_LT(int8.mean, probe.Divergence(Uniform("rot2")).mean);
  EXPECT_EQ(probe.NumPasses(), 4);
}

TEST_F(EmbeddedModelTest, ShortTextsAndContextsAreRefused) {
  const auto refusal = [&](const std::string& kv, const std::string& text) {
    CodecOptions options;
    options.flags.kv = kv;
    options.calibration = (cache_.parent_path() / "short.txt").string();
    std::ofstream(options.calibration) << text;
    try {
      model_.ChooseCodecs(options, threads_);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(refusal("auto", "A short text."), testing::HasSubstr("its halves have"));
  std::string text;
  for (int i = 0; i < 40; ++i) text += "the concert is at the park at 20:00. ";
  EXPECT_THAT(refusal("auto:recent=1024", text), testing::HasSubstr("need at least 1152 tokens"));
  EXPECT_THROW(KvProbe(*model_.transformer, std::vector<int32_t>(100, 1), kv::SoftmaxKind::kExact, threads_),
               Error);
}

}  // namespace
}  // namespace throng::engine
