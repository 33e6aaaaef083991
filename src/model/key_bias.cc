#include "model/key_bias.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "model/matmul/block_formats.h"
#include "model/row_ops.h"

namespace throng::model {
namespace {

const attention::Rotation kNoRotation{};

// False where what is added to all scores of a query alike, as elements of keys that are not rotated add it,
// does not leave the probabilities as they are.
bool MayLackUnrotated(const Model::CacheLayer& layer) {
  if (layer.block == nullptr) return false;
  const AttentionConfig& config = layer.block->Config();
  const bool rotates_all =
      config.rope != nullptr && 2 * config.rope->Pairs() == static_cast<size_t>(config.key_dim);
  return rotates_all || (config.score_cap == 0.0f && layer.block->GetWeights().sinks.empty());
}

// True if the projection's bias is a part of keys that is the same for all tokens: a norm after the
// projection mixes it into each key differently.
bool HasKeyBias(const Model::CacheLayer& layer) {
  return MayLackUnrotated(layer) && !layer.block->GetWeights().k_bias.empty() &&
         !layer.block->GetWeights().k_norm;
}

// The length of an average pair of each head's keys without bias, expected for normed inputs whose elements
// are independent: [KV heads].
std::vector<double> ExpectedLengths(const Model::CacheLayer& layer) {
  const AttentionConfig& config = layer.block->Config();
  const Matrix& k = layer.block->GetWeights().k;
  std::vector<double> lengths;
  std::vector<float> row(k.cols);
  for (int head = 0; head < config.num_kv_heads; ++head) {
    double squares = 0.0;
    for (int i = 0; i < config.key_dim; ++i) {
      const size_t index =
          static_cast<size_t>(head) * static_cast<size_t>(config.key_dim) + static_cast<size_t>(i);
      DequantizeRow(k.type, k.data + index * k.RowBytes(), row.size(), row.data());
      if (k.scales != nullptr) Scale(row.data(), *k.scales, row.size());
      for (size_t j = 0; j < row.size(); ++j) {
        const double input = layer.input->weight.empty() ? 1.0 : static_cast<double>(layer.input->weight[j]);
        squares += std::pow(static_cast<double>(row[j]) * input, 2);
      }
    }
    lengths.push_back(std::sqrt(2.0 * squares / config.key_dim));
  }
  return lengths;
}

size_t KvDim(const kv::LayerShape& shape) {
  return static_cast<size_t>(shape.num_kv_heads) * static_cast<size_t>(shape.key_dim);
}

std::vector<float> Difference(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> difference(a.size());
  for (size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
  return difference;
}

}  // namespace

ModelKeys::ModelKeys(Model& model) : config_(model.config), layers_(model.CacheLayers()) {
  for (const Model::CacheLayer& layer : layers_) {
    const bool rotated = layer.block != nullptr && layer.block->Config().rope != nullptr &&
                         !layer.block->Config().norms_after_rope;
    rotations_.push_back(rotated ? &layer.block->Config().rope->rotation : &kNoRotation);
  }
  if (std::ranges::none_of(layers_, HasKeyBias)) return;
  std::vector<attention::BiasOfLayer> biases;
  for (size_t i = 0; i < layers_.size(); ++i) {
    attention::BiasOfLayer of{{}, {}, rotations_[i]};
    if (HasKeyBias(layers_[i])) {
      of.bias = layers_[i].block->GetWeights().k_bias;
      of.averages = ExpectedLengths(layers_[i]);
    } else {
      of.bias.assign(KvDim(config_.cache_layers[i]), 0.0f);
      of.averages.assign(static_cast<size_t>(config_.cache_layers[i].num_kv_heads), 0.0);
    }
    biases.push_back(std::move(of));
  }
  model_ = Without(biases);
}

std::optional<StoredKeys> ModelKeys::Without(std::span<const attention::BiasOfLayer> biases) const {
  StoredKeys keys;
  keys.bias = attention::MakeKeyBias(biases, config_.context_length);
  if (keys.bias == nullptr) return std::nullopt;
  for (size_t i = 0; i < biases.size(); ++i) {
    const std::vector<float>& removed = (*keys.bias)[i].removed;
    StoredKeys::Layer layer;
    if (HasKeyBias(layers_[i])) {
      layer.added = Difference(layers_[i].block->GetWeights().k_bias, removed);
    } else {
      if (layers_[i].block != nullptr) layer.added = layers_[i].block->GetWeights().k_bias;
      layer.offset = Difference(std::vector<float>(removed.size(), 0.0f), removed);
    }
    keys.layers.push_back(std::move(layer));
  }
  return keys;
}

void ModelKeys::Prepare(const kv::BlockLayout& layout) {
  if (layout.key_bias != kv::KeyBias::kMean) return;
  const auto known = [&](const Means& means) { return means.means == layout.key_means; };
  if (std::any_of(means_.begin(), means_.end(), known)) return;
  // Only this object still knows those of caches that are gone.
  std::erase_if(means_, [](const Means& means) { return means.means.use_count() == 1; });
  THRONG_CHECK(layout.key_means->size() == rotations_.size());
  std::vector<attention::BiasOfLayer> biases;
  for (size_t i = 0; i < rotations_.size(); ++i) {
    std::vector<float> mean = (*layout.key_means)[i];
    if (!MayLackUnrotated(layers_[i])) std::ranges::fill(mean, 0.0f);
    const auto heads = static_cast<size_t>(config_.cache_layers[i].num_kv_heads);
    biases.push_back({std::move(mean), std::vector<double>(heads, 0.0), rotations_[i]});
  }
  means_.push_back({layout.key_means, Without(biases)});
}

const StoredKeys* ModelKeys::Find(const kv::BlockLayout& layout) const {
  const auto view = [](const std::optional<StoredKeys>& keys) { return keys ? &*keys : nullptr; };
  if (layout.key_bias == kv::KeyBias::kModel) return view(model_);
  if (layout.key_bias == kv::KeyBias::kNone) return nullptr;
  for (const Means& means : means_) {
    if (means.means == layout.key_means) return view(means.keys);
  }
  THRONG_CHECK(false);
}

}  // namespace throng::model
