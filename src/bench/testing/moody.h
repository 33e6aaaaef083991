// A model whose logits depend on the batch, which measurements must find out.
#pragma once

#include "model/config.h"
#include "model/transformer.h"

namespace throng::bench {

class Moody final : public model::Transformer {
 public:
  explicit Moody(model::Transformer& sound) : sound_(sound) {}
  const model::ModelConfig& Config() const override { return sound_.Config(); }
  Digest WeightsDigest() const override { return sound_.WeightsDigest(); }
  void Forward(std::span<const model::BatchItem> items, ThreadPool& pool, float* logits) override {
    sound_.Forward(items, pool, logits);
    // Enough to be the largest.
    if (items.size() > 1 || items[0].tokens.size() > 1) logits[Config().vocab_size - 1] += 1e6f;
  }

 private:
  model::Transformer& sound_;
};

}  // namespace throng::bench
