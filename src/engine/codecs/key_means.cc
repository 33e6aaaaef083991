#include "engine/codecs/key_means.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "kv/layer_codecs.h"
#include "model/config.h"
#include "model/transformer.h"

namespace throng::engine {
namespace {

constexpr size_t kMostTokens = 512;
constexpr size_t kChunk = 128;  // tokens of one forward pass
// Longer than so many average pairs. In the embedded model, shorter ones are many and gain nothing.
constexpr double kOutstanding = 2.0;

// Turns a head's key at a position back to what it was before rotation.
void TurnBack(const attention::Rotation& rotation, int position, float* key) {
  for (size_t i = 0; i < rotation.frequencies.size(); ++i) {
    const double angle = position * rotation.frequencies[i];
    const double cosine = std::cos(angle), sine = std::sin(angle);
    float& first = key[rotation.First(i)];
    float& second = key[rotation.Second(i)];
    const double x = first / rotation.magnitude, y = second / rotation.magnitude;
    first = static_cast<float>(x * cosine + y * sine);
    second = static_cast<float>(y * cosine - x * sine);
  }
}

// Keys of all sealed pages of one head, before rotation: [tokens, key_dim].
std::vector<float> KeysOf(const kv::SequenceCache& cache, const attention::Rotation& rotation, int layer,
                          int head) {
  const kv::BlockLayout& layout = cache.Layout();
  const auto dim = static_cast<size_t>(layout.layers[static_cast<size_t>(layer)].key_dim);
  const int blocks = cache.NumTokens() / kv::kPageTokens;
  std::vector<float> keys(static_cast<size_t>(blocks * kv::kPageTokens) * dim);
  for (int block = 0; block < blocks; ++block) {
    float* page = keys.data() + static_cast<size_t>(block * kv::kPageTokens) * dim;
    layout.At(layer, head).keys->Decode(kv::Part::kKeys, cache.Sealed(layer, head, block).keys, page);
    for (int t = 0; t < kv::kPageTokens; ++t) {
      TurnBack(rotation, block * kv::kPageTokens + t, page + static_cast<size_t>(t) * dim);
    }
  }
  return keys;
}

// The mean of keys, [tokens, dim], where it stands out.
void MeanOf(const std::vector<float>& keys, const attention::Rotation& rotation, size_t dim, float* mean) {
  const size_t tokens = keys.size() / dim;
  std::vector<double> sum(dim), squares(dim);
  for (size_t i = 0; i < keys.size(); ++i) {
    sum[i % dim] += keys[i];
    squares[i % dim] += static_cast<double>(keys[i]) * keys[i];
  }
  double variance = 0.0;  // of all elements
  for (size_t j = 0; j < dim; ++j) {
    sum[j] /= static_cast<double>(tokens);
    variance += squares[j] / static_cast<double>(tokens) - sum[j] * sum[j];
  }
  const double limit = kOutstanding * std::sqrt(2.0 * std::max(0.0, variance) / static_cast<double>(dim));
  for (size_t i = 0; i < rotation.frequencies.size(); ++i) {
    for (const size_t j : {rotation.First(i), rotation.Second(i)}) {
      const bool kept = std::hypot(sum[rotation.First(i)], sum[rotation.Second(i)]) > limit;
      mean[j] = kept ? static_cast<float>(sum[j]) : 0.0f;
    }
  }
  for (size_t j = 2 * rotation.frequencies.size(); j < dim; ++j) mean[j] = static_cast<float>(sum[j]);
}

}  // namespace

std::shared_ptr<const kv::KeyMeans> MeasureKeyMeans(model::Transformer& transformer,
                                                    std::span<const int32_t> text, kv::SoftmaxKind softmax,
                                                    ThreadPool& threads) {
  const model::ModelConfig& config = transformer.Config();
  kv::CheckKeyMeans(config.cache_layers);
  const auto context = static_cast<size_t>(config.context_length);
  const size_t count = std::min({text.size(), kMostTokens, context}) / kv::kPageTokens * kv::kPageTokens;
  if (count == 0) {
    throw MakeError(text.size() < kv::kPageTokens ? ErrorCode::kInvalid : ErrorCode::kUnsupported,
                    "bias=mean: it takes {} tokens, the model's context has {} and the text {}",
                    kv::kPageTokens, context, text.size());
  }
  kv::BlockLayout layout = kv::WithStates(
      kv::MakeLayout({.kv = "f32:bias=off", .k = "", .v = ""}, config.cache_layers), config.state_floats);
  kv::BlockPool pool(std::move(layout), std::numeric_limits<size_t>::max() / 2, softmax);
  kv::SequenceCache cache(pool);
  for (size_t first = 0; first < count; first += kChunk) {
    const auto chunk = text.subspan(first, std::min(kChunk, count - first));
    if (!cache.Reserve(static_cast<int>(chunk.size()))) {
      throw MakeError(ErrorCode::kExhausted, "bias=mean: no memory for a cache of {} tokens", count);
    }
    const model::BatchItem item{chunk, &cache, 0};
    transformer.Forward({&item, 1}, threads, nullptr);
  }
  kv::KeyMeans means;
  for (int layer = 0; layer < cache.Layout().NumLayers(); ++layer) {
    const kv::LayerShape& shape = config.cache_layers[static_cast<size_t>(layer)];
    const auto dim = static_cast<size_t>(shape.key_dim);
    const attention::Rotation rotation = transformer.KeyRotation(layer);
    means.emplace_back(static_cast<size_t>(shape.num_kv_heads) * dim);
    for (int head = 0; head < shape.num_kv_heads; ++head) {
      MeanOf(KeysOf(cache, rotation, layer, head), rotation, dim,
             means.back().data() + static_cast<size_t>(head) * dim);
    }
  }
  return std::make_shared<kv::KeyMeans>(std::move(means));
}

}  // namespace throng::engine
