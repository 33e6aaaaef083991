#include "engine/codecs/flashq_mixed.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/codecs/codec_config.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/testing/random_rows.h"
#include "model/config.h"
#include "model/transformer.h"

namespace throng::engine {
namespace {

constexpr int kLayers = 2;
constexpr int kHeads = 4;
constexpr int kHeadDim = 16;

// Only fills the cache: head h of layer l has a channel that is kOutliers[l][h] times the others, in values
// the other way round.
class Filler : public model::Transformer {
 public:
  static constexpr float kOutliers[kLayers][kHeads] = {{9, 2, 30, 4}, {3, 40, 8, 20}};

  explicit Filler(int context) {
    config_.context_length = context;
    config_.cache_layers = kv::AlikeLayers(kLayers, kHeads, kHeadDim);
  }
  const model::ModelConfig& Config() const override { return config_; }
  Digest WeightsDigest() const override { return {}; }
  void Forward(std::span<const model::BatchItem> items, ThreadPool&, float*) override {
    const model::BatchItem& item = items.front();
    softmax_seen = item.cache->Pool().Softmax();
    item.cache->BeginChunk(static_cast<int>(item.tokens.size()));
    for (int layer = 0; layer < kLayers; ++layer) {
      for (int head = 0; head < kHeads; ++head) {
        const auto rows = [&](float outlier, uint64_t seed) {
          std::vector<float> x = kv::Normal(item.tokens.size() * kHeadDim, seed);
          for (size_t i = 5; i < x.size(); i += kHeadDim) x[i] *= outlier;
          return x;
        };
        const auto keys = rows(kOutliers[layer][head], 1);
        const auto values = rows(kOutliers[layer][kHeads - 1 - head], 2);
        item.cache->Append(layer, head, {keys.data(), kHeadDim}, {values.data(), kHeadDim});
        item.cache->FinishLayer(layer, head);
      }
    }
    item.cache->EndChunk();
  }

  kv::SoftmaxKind softmax_seen = kv::SoftmaxKind::kExact;

 private:
  model::ModelConfig config_{};
};

std::vector<std::string> Names(const kv::CodecFlags& flags, kv::Part part, int context = 512) {
  Filler filler(context);
  ThreadPool threads(1);
  CodecOptions options;
  options.flags = flags;
  const Encoder encode = [](std::string_view text) { return std::vector<int32_t>(text.begin(), text.end()); };
  const CodecChoice choice = ChooseCodecs(options, filler, encode, threads);
  const kv::BlockLayout layout = choice.Layout(filler.Config());
  std::vector<std::string> names;
  for (const kv::PageSpec& page : layout.pages)
    names.push_back((part == kv::Part::kKeys ? page.keys : page.values)->Name());
  return names;
}

TEST(FlashqMixedTest, HalfOfTheHeadsOfEachLayerGetTwoBits) {
  const kv::CodecFlags flags{.kv = "flashq-mixed"};
  EXPECT_EQ(Names(flags, kv::Part::kKeys),
            (std::vector<std::string>{"flashq4", "flashq2", "flashq4", "flashq2",  //
                                      "flashq2", "flashq4", "flashq2", "flashq4"}));
  EXPECT_EQ(Names(flags, kv::Part::kValues),
            (std::vector<std::string>{"flashq2", "flashq4", "flashq2", "flashq4",  //
                                      "flashq4", "flashq2", "flashq4", "flashq2"}));
}

TEST(FlashqMixedTest, KeepsTheBufferThatWasAskedFor) {
  const kv::CodecFlags flags{.kv = "flashq-mixed:buffer=int8"};
  EXPECT_EQ(Names(flags, kv::Part::kKeys)[1], "flashq2:buffer=int8");
  EXPECT_THROW(Names({.kv = "flashq-mixed:buffer=int9"}, kv::Part::kKeys), Error);
}

TEST(FlashqMixedTest, HeadsAreRankedWithTheSoftmaxOfTheRun) {
  Filler filler(512);
  ThreadPool threads(1);
  CodecOptions options;
  options.flags.kv = "flashq-mixed";
  options.softmax = kv::SoftmaxKind::kSas;
  const Encoder encode = [](std::string_view text) { return std::vector<int32_t>(text.begin(), text.end()); };
  EXPECT_EQ(ChooseCodecs(options, filler, encode, threads).softmax, kv::SoftmaxKind::kSas);
  EXPECT_EQ(filler.softmax_seen, kv::SoftmaxKind::kSas);
}

TEST(FlashqMixedTest, MayBeForKeysOrValuesAlone) {
  const kv::CodecFlags flags{.kv = "int8", .k = "flashq-mixed"};
  EXPECT_EQ(Names(flags, kv::Part::kKeys)[1], "flashq2");
  EXPECT_EQ(Names(flags, kv::Part::kValues), std::vector<std::string>(8, "int8"));
}

TEST(FlashqMixedTest, RefusesAModelWithTooShortAContext) {
  EXPECT_THROW(Names({.kv = "flashq-mixed"}, kv::Part::kKeys, 100), Error);
}

}  // namespace
}  // namespace throng::engine
