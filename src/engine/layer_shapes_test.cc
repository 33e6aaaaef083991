// A model whose layers differ in what they cache: how its codecs are chosen, and its prefixes kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "attention/attention.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/codecs/codec_config.h"
#include "engine/prefix/prefix_cache.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/cache/spill_file.h"
#include "kv/testing/random_rows.h"
#include "model/config.h"
#include "model/transformer.h"

namespace throng::engine {
namespace {

constexpr int kVocab = 100;
constexpr int kGroup = 2;

const std::vector<kv::LayerShape> kShapes = {
    {.num_kv_heads = 2, .key_dim = 32, .value_dim = 16},
    {.num_kv_heads = 1, .key_dim = 48, .value_dim = 32, .values_in_keys = true},
    {.num_kv_heads = 1, .key_dim = 24, .value_dim = 40}};

// Keys, values and queries are random vectors of tokens; logits are random combinations of what attention
// gives in all layers.
class ShapedTransformer : public model::Transformer {
 public:
  explicit ShapedTransformer(std::vector<kv::LayerShape> shapes) {
    config_.context_length = 512;
    config_.vocab_size = kVocab;
    config_.cache_layers = std::move(shapes);
  }
  const model::ModelConfig& Config() const override { return config_; }
  Digest WeightsDigest() const override { return {5, config_.cache_layers.size()}; }

  void Forward(std::span<const model::BatchItem> items, ThreadPool&, float* logits) override {
    const model::BatchItem& item = items.front();
    const size_t count = item.tokens.size();
    item.cache->BeginChunk(static_cast<int>(count));
    std::vector<std::vector<float>> states(count);
    for (int layer = 0; layer < item.cache->Layout().NumLayers(); ++layer) {
      const kv::LayerShape& shape = config_.cache_layers[static_cast<size_t>(layer)];
      for (int head = 0; head < shape.num_kv_heads; ++head) {
        Attend(item, layer, head, shape, states);
        item.cache->FinishLayer(layer, head);
      }
    }
    item.cache->EndChunk();
    for (size_t i = count - static_cast<size_t>(item.num_logits); i < count; ++i) {
      for (int word = 0; word < kVocab; ++word) {
        const std::vector<float> row = kv::Normal(states[i].size(), static_cast<uint64_t>(word), 0.3f);
        float logit = 0.0f;
        for (size_t j = 0; j < row.size(); ++j) logit += row[j] * states[i][j];
        *logits++ = logit;
      }
    }
  }

 private:
  static void Attend(const model::BatchItem& item, int layer, int head, const kv::LayerShape& shape,
                     std::vector<std::vector<float>>& states) {
    const auto rows = [&](uint64_t kind, int size) {
      std::vector<float> all;
      for (const int32_t token : item.tokens) {
        const uint64_t seed = ((static_cast<uint64_t>(token) * 8 + static_cast<uint64_t>(layer)) * 4 +
                               static_cast<uint64_t>(head)) *
                                  4 +
                              kind;
        const std::vector<float> row = kv::Normal(static_cast<size_t>(size), seed);
        all.insert(all.end(), row.begin(), row.end());
      }
      return all;
    };
    const auto key_dim = static_cast<size_t>(shape.key_dim), value_dim = static_cast<size_t>(shape.value_dim);
    const std::vector<float> keys = rows(0, shape.key_dim), values = rows(1, shape.value_dim);
    const std::vector<float> queries = rows(2, kGroup * shape.key_dim);
    item.cache->Append(layer, head, {keys.data(), key_dim}, {values.data(), value_dim});
    std::vector<float> out(item.tokens.size() * kGroup * value_dim);
    const attention::AttentionJob job{.cache = item.cache,
                                      .layer = layer,
                                      .kv_head = head,
                                      .group = kGroup,
                                      .first_token = 0,
                                      .num_tokens = static_cast<int>(item.tokens.size()),
                                      .queries = queries.data(),
                                      .query_stride = kGroup * key_dim,
                                      .out = out.data(),
                                      .out_stride = kGroup * value_dim,
                                      .scale = 1.0f / std::sqrt(static_cast<float>(shape.key_dim))};
    attention::AttentionScratch scratch;
    attention::Attend(job, scratch);
    for (size_t i = 0; i < states.size(); ++i) {
      const auto row = out.begin() + static_cast<ptrdiff_t>(i * kGroup * value_dim);
      states[i].insert(states[i].end(), row, row + static_cast<ptrdiff_t>(kGroup * value_dim));
    }
  }

  model::ModelConfig config_{};
};

// Keeps what a search finds in a cache of its own.
class LayerShapesTest : public testing::Test {
 protected:
  LayerShapesTest()
      : cache_(std::filesystem::path(testing::TempDir()) / ("layer_shapes_" + std::to_string(getpid()))) {
    setenv("XDG_CACHE_HOME", cache_.c_str(), 1);
  }
  ~LayerShapesTest() override { std::filesystem::remove_all(cache_); }

  CodecChoice Choose(const kv::CodecFlags& flags, const std::vector<kv::LayerShape>& shapes = kShapes) {
    ShapedTransformer transformer(shapes);
    const Encoder encode = [](std::string_view text) {
      std::vector<int32_t> tokens(text.begin(), text.begin() + 160);
      for (int32_t& token : tokens) token = std::abs(token) % kVocab;
      return tokens;
    };
    CodecOptions options;
    options.flags = flags;
    CodecChoice choice = ChooseCodecs(options, transformer, encode, threads_);
    const std::string written = WriteChoice(choice, {}, transformer.Config());
    EXPECT_EQ(ReadChoice(written, "file", {}, transformer.Config()).layers, choice.layers);
    return choice;
  }

  const std::filesystem::path cache_;
  ThreadPool threads_{1};
};

TEST_F(LayerShapesTest, OneCodecIsForWhatEachLayerStores) {
  const CodecChoice choice = Choose({.kv = "int8"});
  EXPECT_EQ(choice.layers, (std::vector<kv::LayerCodecs>{{"int8", "int8"}, {"int8", ""}, {"int8", "int8"}}));
  model::ModelConfig config{};
  config.cache_layers = kShapes;
  const kv::BlockLayout layout = choice.Layout(config);
  EXPECT_EQ(F16BytesPerToken(layout), 2.0 * (2 * (32 + 16) + 48 + 24 + 40));
  EXPECT_EQ(layout.bytes, 64u * (2 * (32 + 16) + 48 + 24 + 40 + 7 * 4));
}

TEST_F(LayerShapesTest, AutoFindsCodecsForEveryLayer) {
  for (const std::vector<kv::LayerShape>& shapes : {kShapes, {kShapes[1], kShapes[1]}}) {
    const CodecChoice choice = Choose({.kv = "auto:kl=0.01"}, shapes);
    EXPECT_GT(choice.kl.mean, 0.0);
    EXPECT_LE(choice.kl.mean, 0.01);
    model::ModelConfig config{};
    config.cache_layers = shapes;
    const kv::BlockLayout layout = choice.Layout(config);
    EXPECT_LT(BytesPerToken(layout), F16BytesPerToken(layout));
  }
}

TEST_F(LayerShapesTest, HeadsAreRankedInTheLayersThatHaveSome) {
  const CodecChoice choice = Choose({.kv = "flashq-mixed"});
  EXPECT_THAT(choice.layers[0].k, testing::AnyOf("flashq-mixed:bits=24", "flashq-mixed:bits=42"));
  EXPECT_EQ(choice.layers[1], (kv::LayerCodecs{"flashq-mixed:bits=4", ""}));
  EXPECT_EQ(choice.layers[2], (kv::LayerCodecs{"flashq-mixed:bits=4", "flashq-mixed:bits=4"}));
}

TEST_F(LayerShapesTest, MeansAreOfKeysThatAreNotValues) {
  try {
    Choose({.kv = "int8:bias=mean"});
    ADD_FAILURE() << "it is not refused";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("this model's keys are its values too"));
  }
  const CodecChoice choice = Choose({.kv = "int8:bias=mean"}, {kShapes[0], kShapes[2]});
  ASSERT_EQ(choice.key_means->size(), 2u);
  EXPECT_EQ((*choice.key_means)[0].size(), 64u);
  EXPECT_EQ((*choice.key_means)[1].size(), 24u);
}

// Logits of the last token.
std::vector<float> Read(ShapedTransformer& transformer, std::span<const int32_t> tokens,
                        kv::SequenceCache& cache) {
  ThreadPool threads(1);
  std::vector<float> logits(kVocab);
  const auto rest = tokens.subspan(static_cast<size_t>(cache.NumTokens()));
  EXPECT_TRUE(cache.Reserve(static_cast<int>(rest.size())));
  const model::BatchItem item{rest, &cache, 1};
  transformer.Forward({&item, 1}, threads, logits.data());
  return logits;
}

TEST(LayerShapesPrefixTest, PrefixesComeBackFromMemoryAndFromDisk) {
  ShapedTransformer transformer(kShapes);
  for (const char* codec : {"f16", "rot4", "kivi2:sink=64,recent=64"}) {
    kv::BlockPool pool(kv::MakeLayout(kv::CodecFlags{.kv = codec}, kShapes), 64 << 20);
    kv::SpillFile spill(testing::TempDir(), pool.Layout(), 1 << 20);
    PrefixCache prefixes(pool, &spill);
    std::vector<int32_t> tokens;
    for (int i = 0; i < 200; ++i) tokens.push_back(i * 7 % kVocab);
    kv::SequenceCache first(pool);
    const std::vector<float> logits = Read(transformer, tokens, first);
    prefixes.Insert(tokens, first.SealedBlocks());
    first.Release();
    for (const bool on_disk : {false, true}) {
      while (on_disk && prefixes.EvictOne()) {
      }
      std::vector<kv::SealedBlock> blocks;
      prefixes.Match(tokens, blocks);
      EXPECT_EQ(blocks.size(), on_disk ? 0u : 3u);
      prefixes.Restore(tokens, blocks);
      kv::SequenceCache again(pool);
      again.Adopt(std::span(blocks).first(kv::UsableBlocks(pool.Layout(), blocks)));
      EXPECT_EQ(again.NumTokens(), 192) << codec;
      EXPECT_EQ(Read(transformer, tokens, again), logits) << codec;
    }
  }
}

}  // namespace
}  // namespace throng::engine
