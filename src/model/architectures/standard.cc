#include "model/architectures/standard.h"

namespace throng::model {

std::vector<Residual> StandardResiduals(ModelBuilder& builder, int layer, std::unique_ptr<Block> attention,
                                        std::vector<Branch> feed_forward, const LayerTraits& traits) {
  const auto pre_norm = [&](const char* name) {
    return traits.pre_norms ? builder.LayerNorm(layer, name, traits.norm) : Norm();
  };
  const auto post_norm = [&](const char* name) {
    const bool has = name != nullptr && builder.GetTensors().Has(ModelBuilder::Name(layer, name));
    return has ? builder.LayerNorm(layer, name, traits.norm) : Norm();
  };
  std::vector<Residual> residuals;
  residuals.push_back({pre_norm("attn_norm"), {}, post_norm(traits.post_attention_norm), traits.scale});
  residuals.back().branches.push_back({std::move(attention)});
  if (traits.ffn_norm != nullptr) {
    residuals.push_back({pre_norm(traits.ffn_norm), {}, post_norm(traits.post_ffn_norm), traits.scale});
  }
  for (Branch& branch : feed_forward) residuals.back().branches.push_back(std::move(branch));
  return residuals;
}

void AddStandardLayer(ModelBuilder& builder, int layer, std::unique_ptr<Block> attention,
                      std::vector<Branch> feed_forward, const LayerTraits& traits) {
  builder.Add(StandardResiduals(builder, layer, std::move(attention), std::move(feed_forward), traits));
}

void AddStandardLayer(ModelBuilder& builder, int layer, std::unique_ptr<Block> attention,
                      std::unique_ptr<Block> feed_forward, const LayerTraits& traits) {
  AddStandardLayer(builder, layer, std::move(attention), Alone(std::move(feed_forward)), traits);
}

std::vector<Branch> Alone(std::unique_ptr<Block> block) {
  std::vector<Branch> branches;
  branches.push_back({std::move(block)});
  return branches;
}

std::vector<Branch> ExpertsAndShared(ModelBuilder& builder, int layer, const ExpertsTraits& traits,
                                     std::string_view shared_gate) {
  std::vector<Branch> branches;
  branches.push_back({builder.Experts(layer, traits)});
  const TensorInfo* shared = builder.GetTensors().Info(ModelBuilder::Name(layer, "ffn_up_shexp"));
  builder.Keys().Ignore("expert_shared_feed_forward_length");  // the tensor's shape says it
  if (shared != nullptr) {
    const auto ffn_dim = static_cast<int>(shared->dims[1]);
    branches.push_back(
        {builder.FeedForward(layer, {.ffn_dim = ffn_dim, .suffix = "_shexp", .result_gate = shared_gate})});
  }
  return branches;
}

}  // namespace throng::model
