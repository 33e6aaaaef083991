// Feed-forward blocks and experts, as the keys and tensors of a file say.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "model/gguf/gguf.h"
#include "model/load/builder.h"

namespace throng::model {

std::unique_ptr<Block> ModelBuilder::FeedForward(int layer, const FeedForwardTraits& traits) {
  const int dim = model_.config.dim;
  const int ffn_dim = traits.ffn_dim > 0 ? traits.ffn_dim : FfnDim(layer);
  const auto name = [&](const char* tensor) {
    return fmt::format("blk.{}.{}{}", layer, tensor, traits.suffix);
  };
  FeedForwardWeights weights;
  weights.outliers = traits.outliers;
  const TensorInfo* up = tensors_.Info(name("ffn_up") + ".weight");
  const bool fused = up != nullptr && up->dims[1] == 2 * static_cast<uint64_t>(ffn_dim);
  if (fused) {
    const Matrix both = tensors_.FindMatrix(name("ffn_up") + ".weight", 2 * ffn_dim, dim);
    weights.gate = both.Rows(0, static_cast<size_t>(ffn_dim));
    weights.up = both.Rows(static_cast<size_t>(ffn_dim), static_cast<size_t>(ffn_dim));
  } else {
    // Architectures without gates have none in any file.
    if (traits.gated) {
      weights.gate = tensors_.FindMatrix(name("ffn_gate") + ".weight", ffn_dim, dim);
      weights.gate_bias = tensors_.FindVectorOrNone(name("ffn_gate") + ".bias", ffn_dim);
    }
    weights.up = tensors_.FindMatrix(name("ffn_up") + ".weight", ffn_dim, dim);
    weights.up_bias = tensors_.FindVectorOrNone(name("ffn_up") + ".bias", ffn_dim);
  }
  weights.down = tensors_.FindMatrix(name("ffn_down") + ".weight", dim, ffn_dim);
  weights.down_bias = tensors_.FindVectorOrNone(name("ffn_down") + ".bias", dim);
  if (!traits.result_gate.empty()) {
    weights.result_gate = tensors_.FindMatrix(Name(layer, traits.result_gate), 1, dim);
  }
  return std::make_unique<FeedForwardBlock>(std::move(weights), traits.activation);
}

bool ModelBuilder::HasExperts() const {
  if (keys_.CountOr("expert_count", 0, 1 << 16, 0) > 0) return true;
  // Converters of architectures that may have experts write these of every model.
  for (const char* unused : {"expert_used_count", "expert_feed_forward_length",
                             "expert_shared_feed_forward_length", "expert_shared_count"}) {
    keys_.Ignore(unused);
  }
  return false;
}

RouterConfig ModelBuilder::ReadRouter(RouterConfig router) const {
  router.num_experts = keys_.Count("expert_count", 1 << 16);
  router.num_chosen = keys_.Count("expert_used_count", router.num_experts);
  router.num_groups = std::max(1, keys_.CountOr("expert_group_count", 1, router.num_experts, 0));
  router.num_chosen_groups = std::max(1, keys_.CountOr("expert_group_used_count", 1, router.num_groups, 0));
  if (router.num_experts % router.num_groups != 0 ||
      router.num_chosen > router.num_experts / router.num_groups * router.num_chosen_groups) {
    throw MakeError(ErrorCode::kCorrupt, "{}: {} of {} experts cannot be chosen from {} of {} groups",
                    file_.Name(), router.num_chosen, router.num_experts, router.num_chosen_groups,
                    router.num_groups);
  }
  router.normalised = keys_.BoolOr("expert_weights_norm", router.normalised);
  const float scale = keys_.NumberOr("expert_weights_scale", 1.0);
  router.scale = scale == 0.0f ? 1.0f : scale;  // 0 is what converters write for none
  using Scoring = RouterConfig::Scoring;
  constexpr Scoring kScorings[] = {Scoring::kSoftmax, Scoring::kSigmoid, Scoring::kSoftmaxOfChosen};
  const int function = keys_.CountOr("expert_gating_func", 0, 3, 0);
  if (function > 0) router.scoring = kScorings[function - 1];
  return router;
}

std::unique_ptr<Block> ModelBuilder::Experts(int layer, const ExpertsTraits& traits) {
  const int dim = model_.config.dim;
  const int experts = traits.router.num_experts;
  const int ffn_dim = traits.ffn_dim > 0
                          ? traits.ffn_dim
                          : keys_.CountOr("expert_feed_forward_length", FfnDim(layer), 1 << 24);
  keys_.Ignore("expert_shared_count");  // shapes say it
  ExpertsWeights weights;
  weights.router_norm = traits.router_norm;
  weights.input_norm = traits.input_norm;
  weights.router = tensors_.FindMatrix(Name(layer, "ffn_gate_inp"), experts, dim);
  weights.router_bias = tensors_.FindVectorOrNone(Name(layer, "ffn_gate_inp", ".bias"), experts);
  weights.selection_bias = tensors_.FindVectorOrNone(Name(layer, "exp_probs_b", ".bias"), experts);
  ExpertsBlock::Options options = traits.options;
  if (tensors_.Has(Name(layer, "ffn_gate_up_exps"))) {
    options.fused_gate = true;
    weights.up = tensors_.FindExperts(Name(layer, "ffn_gate_up_exps"), experts, 2 * ffn_dim, dim);
  } else {
    weights.gate = tensors_.FindExperts(Name(layer, "ffn_gate_exps"), experts, ffn_dim, dim);
    weights.up = tensors_.FindExperts(Name(layer, "ffn_up_exps"), experts, ffn_dim, dim);
  }
  weights.down = tensors_.FindExperts(Name(layer, "ffn_down_exps"), experts, dim, ffn_dim);
  const auto bias = [&](const char* name, int rows) {
    const std::string tensor = Name(layer, name, ".bias");
    return tensors_.Has(tensor) ? tensors_.FindFloats(tensor, {rows, experts}) : std::vector<float>();
  };
  weights.gate_bias = bias("ffn_gate_exps", ffn_dim);
  weights.up_bias = bias("ffn_up_exps", ffn_dim);
  weights.down_bias = bias("ffn_down_exps", dim);
  return std::make_unique<ExpertsBlock>(traits.router, options, std::move(weights));
}

}  // namespace throng::model
