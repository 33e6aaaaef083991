#include <cmath>
#include <string>

#include "model/architectures/gemma.h"
#include "model/architectures/standard.h"

namespace throng::model {
namespace {

// Of keys and of values. suffix: of the keys' names.
int ReadHeadDim(const ModelBuilder& builder, const std::string& suffix) {
  const Metadata& keys = builder.Keys();
  const int key_dim = keys.CountOr("attention.key_length" + suffix, builder.Config().head_dim, 4096);
  const std::string value_length = "attention.value_length" + suffix;
  if (const int value_dim = keys.CountOr(value_length, key_dim, 4096); value_dim != key_dim) {
    keys.Refuse(value_length, std::to_string(value_dim), "values of the size of keys");
  }
  return key_dim;
}

// Makes the feed-forward block one of two halves that run side by side: it, and experts.
void AddExperts(ModelBuilder& builder, int layer, Residual& residual) {
  Branch& dense = residual.branches.front();
  dense.norm = std::move(residual.norm);
  dense.post_norm = builder.LayerNorm(layer, "post_ffw_norm_1");
  residual.norm = {};
  ExpertsTraits traits{.router = builder.ReadRouter()};
  traits.router.normalised = true;
  traits.options.activation = Activation::kGeluTanh;
  const int dim = builder.Config().dim;
  traits.router_norm = {NormKind::kRms, {}, {}, builder.Config().norm_epsilon};
  traits.router_norm.weight =
      builder.GetTensors().FindVector(ModelBuilder::Name(layer, "ffn_gate_inp", ".scale"), dim);
  for (float& weight : traits.router_norm.weight) weight /= std::sqrt(static_cast<float>(dim));
  traits.input_norm = builder.LayerNorm(layer, "pre_ffw_norm_2");
  residual.branches.push_back(
      {builder.Experts(layer, traits), {}, builder.LayerNorm(layer, "post_ffw_norm_2")});
}

void AddLayer(ModelBuilder& builder, int layer, const AttentionTraits& attention, int per_layer_width) {
  const Tensors& tensors = builder.GetTensors();
  std::vector<Residual> residuals = StandardResiduals(builder, layer, builder.Attention(layer, attention),
                                                      Alone(builder.FeedForward(layer, kGemmaFeedForward)));
  if (builder.HasExperts() && tensors.Has(ModelBuilder::Name(layer, "ffn_gate_inp"))) {
    AddExperts(builder, layer, residuals.back());
  }
  if (per_layer_width > 0) {
    residuals.push_back({{}, {}, builder.LayerNorm(layer, "post_norm")});
    residuals.back().branches.push_back({PerLayerInput(builder, layer, per_layer_width)});
  }
  const std::vector<float> scale =
      tensors.FindVectorOrNone(ModelBuilder::Name(layer, "layer_output_scale"), 1);
  builder.Add(std::move(residuals), scale.empty() ? 1.0f : scale.front());
}

}  // namespace

void BuildGemma4(ModelBuilder& builder) {
  const Metadata& keys = builder.Keys();
  ModelConfig& config = builder.GetModel().config;
  const Tensors& tensors = builder.GetTensors();
  ScaleEmbedding(builder);
  config.window = keys.Count("attention.sliding_window", 1 << 28);
  config.window_pattern = 6;
  const std::vector<bool> windowed = builder.WindowedLayers(config.window_pattern);
  const int full_head_dim = ReadHeadDim(builder, "");
  const int window_head_dim = ReadHeadDim(builder, "_swa");
  const Rope* rope = builder.FileRope(/*halves=*/true);
  const Rope* window_rope = WindowRope(builder, 10000.0, 1.0, window_head_dim);
  const int num_own = config.num_layers - keys.CountOr("attention.shared_kv_layers", 0, config.num_layers, 0);
  const int per_layer_width = keys.CountOr("embedding_length_per_layer_input", 0, 1 << 16, 0);
  if (per_layer_width > 0) AddPerLayerInputs(builder, per_layer_width);
  for (int i = 0; i < config.num_layers; ++i) {
    const bool is_windowed = windowed[static_cast<size_t>(i)];
    AttentionTraits traits{.rope = is_windowed ? window_rope : rope, .scale = 1.0f, .norms_values = true};
    traits.window = is_windowed ? config.window : 0;
    traits.head_dim = is_windowed ? window_head_dim : full_head_dim;
    traits.values_from_keys =
        !tensors.Has(ModelBuilder::Name(i, "attn_v")) && !tensors.Has(ModelBuilder::Name(i, "attn_qkv"));
    traits.cache_layer = SharedCacheLayer(builder, windowed, i, num_own);
    AddLayer(builder, i, traits, per_layer_width);
  }
  builder.GetModel().logit_cap = keys.PositiveOr("final_logit_softcapping", 30.0);
  builder.Finish();
}

}  // namespace throng::model
