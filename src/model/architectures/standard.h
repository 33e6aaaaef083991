// The layer that most architectures vary: attention, then feed-forward.
#pragma once

#include <memory>
#include <vector>

#include "model/load/builder.h"

namespace throng::model {

struct LayerTraits {
  NormKind norm = NormKind::kRms;
  const char* ffn_norm = "ffn_norm";  // null: feed-forward reads what attention reads, beside it
  bool pre_norms = true;              // false: blocks read the stream as it is
  // Norms of results, where the file has them; null: none.
  const char* post_attention_norm = "post_attention_norm";
  const char* post_ffn_norm = "post_ffw_norm";
  float scale = 1.0f;  // of what is added to the stream
};

// stream += post_norm(attention(norm(stream))); stream += post_norm(sum of blocks(norm(stream))).
std::vector<Residual> StandardResiduals(ModelBuilder& builder, int layer, std::unique_ptr<Block> attention,
                                        std::vector<Branch> feed_forward, const LayerTraits& traits = {});
void AddStandardLayer(ModelBuilder& builder, int layer, std::unique_ptr<Block> attention,
                      std::vector<Branch> feed_forward, const LayerTraits& traits = {});
void AddStandardLayer(ModelBuilder& builder, int layer, std::unique_ptr<Block> attention,
                      std::unique_ptr<Block> feed_forward, const LayerTraits& traits = {});

// A block by itself.
std::vector<Branch> Alone(std::unique_ptr<Block> block);

// Experts, with a shared one beside them where the file has it.
std::vector<Branch> ExpertsAndShared(ModelBuilder& builder, int layer, const ExpertsTraits& traits,
                                     std::string_view shared_gate = "");

}  // namespace throng::model
