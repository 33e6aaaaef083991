#include "model/key_bias.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/codec_table.h"
#include "kv/layer_codecs.h"
#include "kv/testing/random_rows.h"
#include "model/gguf/gguf.h"
#include "model/testing/tiny_model.h"
#include "model/transformer.h"

namespace throng::model {
namespace {

constexpr int kTokens = 200;

// A model over a cache with some codec.
class Subject {
 public:
  explicit Subject(const TinyModel& model) : Subject(model.Bytes()) {}
  explicit Subject(std::vector<uint8_t> file)
      : bytes_(std::move(file)),
        file_(bytes_, "model"),
        transformer_(LoadTransformer(file_, {.exact_activations = true})) {}

  struct Result {
    std::vector<float> logits;  // [tokens, vocab]
    float largest_key = 0.0f;   // element of a sealed page
  };

  // codec: of keys; values are f32.
  Result Run(const std::string& codec, std::shared_ptr<const kv::KeyMeans> means = nullptr,
             int chunk = kTokens, int num_threads = 1) const {
    const ModelConfig& config = transformer_->Config();
    const std::vector<kv::LayerCodecs> layers(static_cast<size_t>(config.num_layers), {codec, "f32"});
    kv::BlockPool pool(kv::MakeLayout(layers, config.cache_layers, std::move(means)), size_t{1} << 28);
    kv::SequenceCache cache(pool);
    ThreadPool threads(num_threads);
    CounterRng rng(1);
    std::vector<int32_t> tokens(kTokens);
    for (int32_t& token : tokens) {
      token = static_cast<int32_t>(rng.NextBelow(static_cast<uint64_t>(config.vocab_size)));
    }
    Result result{std::vector<float>(tokens.size() * static_cast<size_t>(config.vocab_size))};
    for (int first = 0; first < kTokens; first += chunk) {
      const int count = std::min(chunk, kTokens - first);
      EXPECT_TRUE(cache.Reserve(count));
      const auto part = std::span(tokens).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
      const BatchItem item{part, &cache, count};
      transformer_->Forward({&item, 1}, threads,
                            result.logits.data() + static_cast<size_t>(first * config.vocab_size));
    }
    std::vector<float> keys(static_cast<size_t>(kv::kPageTokens * config.head_dim));
    for (int layer = 0; layer < config.num_layers; ++layer) {
      for (int head = 0; head < config.num_kv_heads; ++head) {
        pool.Layout()
            .At(layer, head)
            .keys->Decode(kv::Part::kKeys, cache.Sealed(layer, head, 0).keys, keys.data());
        for (const float key : keys) result.largest_key = std::max(result.largest_key, std::abs(key));
      }
    }
    return result;
  }

  const Transformer& Get() const { return *transformer_; }

 private:
  std::vector<uint8_t> bytes_;
  GgufFile file_;
  std::unique_ptr<Transformer> transformer_;
};

// All ways to rotate: pairs of halves and of neighbours, a part of the head, scaled and divided frequencies,
// windows.
TEST(ModelKeysTest, LogitsAreThoseOfWholeKeys) {
  const TinyModel models[] = {
      {.architecture = "qwen2", .type = TensorType::kF32, .key_bias = 40.0f, .bias_pairs = {0, 5}},
      {.architecture = "llama", .type = TensorType::kF32, .key_bias = 40.0f, .bias_pairs = {0, 5}},
      {.architecture = "qwen2",
       .type = TensorType::kF32,
       .key_bias = 40.0f,
       .bias_pairs = {1},
       .rope_dim = 8},
      {.architecture = "llama",
       .type = TensorType::kF32,
       .key_bias = 40.0f,
       .bias_pairs = {1, 3},
       .rope_dim = 8,
       .rope_scaling = 4.0f},
      {.architecture = "llama",
       .type = TensorType::kF32,
       .key_bias = 40.0f,
       .bias_pairs = {2, 7},
       .rope_factors = true},
      {.type = TensorType::kF32, .key_bias = 40.0f, .bias_pairs = {1, 6}, .rope_scaling = 8.0f, .yarn = true},
      {.type = TensorType::kF32, .window = 30, .key_bias = 40.0f, .bias_pairs = {1, 4}}};
  for (size_t i = 0; i < std::size(models); ++i) {
    SCOPED_TRACE(i);
    const Subject subject(models[i]);
    const auto bias = subject.Get().KeyBias();
    ASSERT_NE(bias, nullptr);
    for (const attention::LayerKeyBias& layer : *bias) {
      for (const attention::HeadKeyBias& head : layer.heads) {
        EXPECT_EQ(head.pairs.size(), models[i].bias_pairs.size());  // the small ones stay
      }
    }
    const Subject::Result whole = subject.Run("f32:bias=off");
    const Subject::Result without = subject.Run("f32");
    EXPECT_GT(whole.largest_key, 20.0f);
    EXPECT_LT(without.largest_key, 14.0f);
    EXPECT_LE(kv::RelativeError(without.logits, whole.logits), 1e-4);
  }
}

TEST(ModelKeysTest, ModelsWithoutAnOutstandingBiasStoreWholeKeys) {
  for (const TinyModel& model : {TinyModel{}, TinyModel{.key_bias = 0.01f, .bias_pairs = {3}}}) {
    const Subject subject(model);
    EXPECT_EQ(subject.Get().KeyBias(), nullptr);
    EXPECT_TRUE(kv::SameBits(subject.Run("f16").logits, subject.Run("f16:bias=off").logits));
  }
}

// Means are anything that keys lack: those of a model with a bias, or without.
TEST(ModelKeysTest, LogitsWithoutMeansAreThoseOfWholeKeys) {
  for (const TinyModel& model :
       {TinyModel{.type = TensorType::kF32},
        TinyModel{.architecture = "qwen2", .type = TensorType::kF32, .key_bias = 40.0f, .bias_pairs = {2}}}) {
    const Subject subject(model);
    const auto means = std::make_shared<kv::KeyMeans>(
        2, std::vector<float>(static_cast<size_t>(model.kv_heads * model.head_dim)));
    (*means)[0][3] = 5.0f;
    (*means)[1][20] = -7.0f;
    const Subject::Result whole = subject.Run("f32:bias=off");
    EXPECT_LE(kv::RelativeError(subject.Run("f32:bias=mean", means).logits, whole.logits), 1e-4);
    EXPECT_FALSE(kv::SameBits(subject.Run("f32:bias=mean", means).logits, whole.logits));
  }
}

TEST(ModelKeysTest, ChunksAndThreadsDoNotChangeBits) {
  const Subject subject(TinyModel{});
  kv::KeyMeans means(2, std::vector<float>(32, 0.5f));
  means[0][3] = 40.0f;
  const auto shared = std::make_shared<kv::KeyMeans>(std::move(means));
  for (const char* codec : {"f16:bias=mean", "rot4:bias=mean"}) {
    const std::vector<float> expected = subject.Run(codec, shared).logits;
    for (const int chunk : {1, 17, 64, 130}) {
      EXPECT_TRUE(kv::SameBits(subject.Run(codec, shared, chunk).logits, expected)) << codec << chunk;
    }
    EXPECT_TRUE(kv::SameBits(subject.Run(codec, shared, 50, 3).logits, expected)) << codec;
  }
}

// Norms of keys, layers with another rotation, other bases: models of other programs' files.
TEST(ModelKeysTest, MeansMayBeOfAnyArchitecture) {
  for (const char* name : {"gemma3.F16", "qwen3.F16", "phi3.F16", "qwen2.F16", "llama_tied_rope500k.F16"}) {
    const std::string path = std::string(THRONG_SHARED_DIR) + "/models/" + name + ".gguf";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing";
    const std::string bytes = ReadFile(path);
    const Subject subject(std::vector<uint8_t>(bytes.begin(), bytes.end()));
    const ModelConfig& config = subject.Get().Config();
    kv::KeyMeans means;
    for (int layer = 0; layer < config.num_layers; ++layer) {
      means.emplace_back(static_cast<size_t>(config.num_kv_heads * config.head_dim));
      means.back()[static_cast<size_t>(layer) % means.back().size()] = 4.0f;
      means.back()[means.back().size() / 2 + 3] = -6.0f;
    }
    const auto shared = std::make_shared<kv::KeyMeans>(std::move(means));
    const std::vector<float> whole = subject.Run("f32:bias=off").logits;
    const std::vector<float> without = subject.Run("f32:bias=mean", shared).logits;
    EXPECT_LE(kv::RelativeError(without, whole), 2e-4) << name;
    EXPECT_FALSE(kv::SameBits(without, whole)) << name;
  }
}

// A head of 128 elements as in Qwen2, with a bias of 300 in a pair that turns quickly or about half around
// within a page: errors are about those of a model without it, and much larger where pages hold the bias.
TEST(ModelKeysTest, CodecsKeepTheirErrorInSpiteOfABias) {
  TinyModel shape = {.architecture = "qwen2",
                     .type = TensorType::kF32,
                     .dim = 128,
                     .heads = 4,
                     .head_dim = 128,
                     .key_bias = 0.01f};
  const auto error = [](const Subject& subject, const std::string& codec) {
    return kv::RelativeError(subject.Run(codec).logits, subject.Run("f32").logits);
  };
  const Subject unbiased(shape);
  shape.key_bias = 300.0f;
  for (const int pair : {3, 24}) {
    shape.bias_pairs = {pair};
    const Subject biased(shape);
    for (const std::string codec : {"int8", "kivi4", "flashq4", "rot4"}) {
      const double own = error(unbiased, codec);
      const double without = error(biased, codec);
      const double whole = error(biased, codec + ":bias=off");
      EXPECT_LE(without, 3.0 * own) << codec << " " << pair;
      EXPECT_GE(whole, 25.0 * without) << codec << " " << pair;
    }
  }
}

// Every codec, with as much bias in all pairs as may stay.
TEST(ModelKeysTest, ABiasThatStaysCostsLittle) {
  constexpr size_t kHeadDim = 128, kPage = kv::kPageTokens * kHeadDim, kPages = 8;
  const std::vector<float> plain = kv::Normal(kPages * kPage, 1);
  std::vector<float> biased = plain;
  const auto length = static_cast<float>(std::sqrt(2.0 * attention::kMostLeft));
  for (size_t t = 0; t < kPages * kv::kPageTokens; ++t) {
    for (size_t pair = 0; pair < kHeadDim / 2; ++pair) {
      const auto angle = static_cast<float>(t) * std::pow(10000.0f, -static_cast<float>(pair) / 64.0f) +
                         static_cast<float>(pair);
      biased[t * kHeadDim + pair] += length * std::cos(angle);
      biased[t * kHeadDim + pair + kHeadDim / 2] += length * std::sin(angle);
    }
  }
  for (const kv::CodecEntry& entry : kv::CodecTable()) {
    if (std::string_view(entry.name) == "f32") continue;
    const auto codec = kv::ParseCodec(entry.name, kHeadDim);
    kv::AlignedBytes encoded(codec->Bytes(kv::Part::kKeys));
    const auto error = [&](const std::vector<float>& keys) {
      std::vector<float> decoded(keys.size());
      for (size_t page = 0; page < kPages; ++page) {
        codec->Encode(kv::Part::kKeys, &keys[page * kPage], encoded.data());
        codec->Decode(kv::Part::kKeys, encoded.data(), &decoded[page * kPage]);
      }
      double sum = 0.0;
      for (size_t i = 0; i < keys.size(); ++i) sum += std::pow(static_cast<double>(decoded[i]) - keys[i], 2);
      return std::sqrt(sum);
    };
    EXPECT_LE(error(biased), 1.1 * error(plain)) << entry.name;
  }
}

}  // namespace
}  // namespace throng::model
