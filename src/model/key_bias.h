// How keys enter a cache that leaves out a bias (attention/key_bias.h), for each of a model's layers.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "attention/key_bias.h"
#include "kv/block_layout.h"
#include "model/model.h"

namespace throng::model {

// Keys that lack a part of each head's bias.
struct StoredKeys {
  struct Layer {
    std::vector<float> added;   // [kv_dim], to the projection, before a norm; empty: nothing
    std::vector<float> offset;  // [kv_dim], added after the norm, before rotation; empty: nothing
  };
  std::vector<Layer> layers;
  std::shared_ptr<const attention::KeyBias> bias;  // what the keys lack
};

class ModelKeys {
 public:
  // The model must outlive this.
  explicit ModelKeys(Model& model);

  // Of a layer of the cache; without frequencies if keys are not rotated, or not last.
  const attention::Rotation& RotationOf(int layer) const { return *rotations_[static_cast<size_t>(layer)]; }

  // What the keys lack with kv::KeyBias::kModel; null: nothing.
  std::shared_ptr<const attention::KeyBias> OfModel() const { return model_ ? model_->bias : nullptr; }

  // Call before Find, with each cache's layout; not thread-safe.
  void Prepare(const kv::BlockLayout& layout);
  // Null if the cache holds whole keys.
  const StoredKeys* Find(const kv::BlockLayout& layout) const;

 private:
  struct Means {
    std::shared_ptr<const kv::KeyMeans> means;
    std::optional<StoredKeys> keys;
  };

  std::optional<StoredKeys> Without(std::span<const attention::BiasOfLayer> biases) const;

  const ModelConfig& config_;
  const std::vector<Model::CacheLayer> layers_;
  std::vector<const attention::Rotation*> rotations_;  // [layers]
  std::optional<StoredKeys> model_;  // without the projections' biases, as far as they stand out
  std::vector<Means> means_;
};

}  // namespace throng::model
