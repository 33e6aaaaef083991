#include "model/key_bias.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "model/matmul/block_formats.h"

namespace throng::model {
namespace {

// The length of an average pair of each head's keys without bias, expected for normed inputs whose elements
// are independent: [KV heads].
std::vector<double> ExpectedLengths(const ModelConfig& config, const LayerWeights& layer) {
  std::vector<double> lengths;
  std::vector<float> row(layer.k.cols);
  for (int head = 0; head < config.num_kv_heads; ++head) {
    double squares = 0.0;
    for (int i = 0; i < config.head_dim; ++i) {
      const size_t index =
          static_cast<size_t>(head) * static_cast<size_t>(config.head_dim) + static_cast<size_t>(i);
      DequantizeRow(layer.k.type, layer.k.data + index * layer.k.RowBytes(), row.size(), row.data());
      for (size_t j = 0; j < row.size(); ++j) {
        const double weight = static_cast<double>(row[j]) * layer.attention_norm[j];
        squares += weight * weight;
      }
    }
    lengths.push_back(std::sqrt(2.0 * squares / config.head_dim));
  }
  return lengths;
}

std::vector<float> Difference(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> difference(a.size());
  for (size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
  return difference;
}

}  // namespace

ModelKeys::ModelKeys(const ModelConfig& config, const Weights& weights,
                     std::vector<const attention::Rotation*> rotations)
    : config_(config), weights_(weights), rotations_(std::move(rotations)) {
  // A norm after the projection mixes the bias into each key differently.
  const bool biased =
      std::any_of(weights.layers.begin(), weights.layers.end(),
                  [](const LayerWeights& layer) { return !layer.k_bias.empty() && layer.k_norm.empty(); });
  if (!biased) return;
  std::vector<attention::BiasOfLayer> biases;
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    attention::BiasOfLayer of{layer.k_bias, {}, rotations_[i]};
    if (layer.k_bias.empty() || !layer.k_norm.empty()) {
      of.bias.assign(static_cast<size_t>(config.KvDim()), 0.0f);
      of.averages.assign(static_cast<size_t>(config.num_kv_heads), 0.0);
    } else {
      for (const double length : ExpectedLengths(config, layer)) of.averages.push_back(length);
    }
    biases.push_back(std::move(of));
  }
  model_ = Without(biases);
}

std::optional<StoredKeys> ModelKeys::Without(std::span<const attention::BiasOfLayer> biases) const {
  StoredKeys keys;
  keys.bias = attention::MakeKeyBias(biases, config_.context_length);
  if (keys.bias == nullptr) return std::nullopt;
  const std::vector<float> zero(static_cast<size_t>(config_.KvDim()), 0.0f);
  for (size_t i = 0; i < biases.size(); ++i) {
    const LayerWeights& weights = weights_.layers[i];
    const std::vector<float>& removed = (*keys.bias)[i].removed;
    StoredKeys::Layer layer;
    if (!weights.k_bias.empty() && weights.k_norm.empty()) {
      layer.added = Difference(weights.k_bias, removed);
    } else {
      layer.added = weights.k_bias;
      layer.offset = Difference(zero, removed);
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
    biases.push_back({(*layout.key_means)[i],
                      std::vector<double>(static_cast<size_t>(config_.num_kv_heads), 0.0), rotations_[i]});
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
