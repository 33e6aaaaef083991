// The layer that most architectures vary: attention, then feed-forward, each after a norm.
#pragma once

#include "model/load/builder.h"

namespace throng::model {

// stream += attention(attn_norm(stream)); stream += feed_forward(ffn_norm(stream)). The results pass through
// norms of their own where the file has them (post_attention_norm, post_ffw_norm).
inline std::vector<Residual> StandardResiduals(ModelBuilder& builder, int layer,
                                               std::unique_ptr<Block> attention,
                                               std::unique_ptr<Block> feed_forward, float scale = 1.0f) {
  const auto norm_if_there = [&](const char* name) {
    return builder.GetTensors().Has(ModelBuilder::Name(layer, name)) ? builder.LayerNorm(layer, name)
                                                                     : Norm();
  };
  std::vector<Residual> residuals;
  residuals.push_back(
      {builder.LayerNorm(layer, "attn_norm"), {}, norm_if_there("post_attention_norm"), scale});
  residuals.back().branches.push_back({std::move(attention)});
  residuals.push_back({builder.LayerNorm(layer, "ffn_norm"), {}, norm_if_there("post_ffw_norm"), scale});
  residuals.back().branches.push_back({std::move(feed_forward)});
  return residuals;
}

inline void AddStandardLayer(ModelBuilder& builder, int layer, std::unique_ptr<Block> attention,
                             std::unique_ptr<Block> feed_forward, float scale = 1.0f) {
  builder.Add(StandardResiduals(builder, layer, std::move(attention), std::move(feed_forward), scale));
}

}  // namespace throng::model
