#include "engine/codecs/codec_search.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/codecs/kv_probe.h"
#include "engine/local_llm.h"
#include "kv/cache/block_pool.h"
#include "model/config.h"

namespace throng::engine {
namespace {

double CodeBits(const kv::Codec* codec, kv::Part part) {
  return static_cast<double>(codec->Count(part).codes);
}

// On the model that comes with the program. The search keeps its result in a cache of the test's own.
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
    return ChooseCodecs(options, *model_.transformer, MakeEncoder(*model_.tokenizer), threads_);
  }
  kv::BlockLayout Uniform(const std::string& codec) const {
    return kv::MakeLayout({.kv = codec, .k = "", .v = ""}, config_.num_layers, config_.num_kv_heads,
                          config_.head_dim);
  }
  KvProbe MakeProbe() {
    return KvProbe(*model_.transformer, MakeEncoder(*model_.tokenizer)(CalibrationText()), threads_);
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
  // The second time it is in the cache, and no less precise.
  const CodecChoice again = Choose("auto:kl=1%");
  EXPECT_EQ(again.layers, choice.layers);
  EXPECT_EQ(again.kl, choice.kl);
  EXPECT_FALSE(std::filesystem::is_empty(cache_ / "throng"));
}

TEST_F(EmbeddedModelTest, ATargetBeyondAllCodecsGivesF32) {
  std::vector<int32_t> text = MakeEncoder(*model_.tokenizer)(CalibrationText());
  text.resize(KvProbe::kLeastTokens);
  KvProbe probe(*model_.transformer, text, threads_);
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
  EXPECT_THROW(KvProbe(*model_.transformer, std::vector<int32_t>(100, 1), threads_), Error);
}

}  // namespace
}  // namespace throng::engine
