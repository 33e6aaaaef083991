#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "model/architectures/gemma.h"
#include "model/blocks/alt_up.h"
#include "model/blocks/low_rank_block.h"
#include "model/gguf/gguf.h"

namespace throng::model {
namespace {

constexpr int kLowRank = 64;  // of LAuReL; no key says it

// The deviations above the mean at which a layer's gates are cut off; minus infinity: nowhere.
std::vector<float> ReadCutoffs(const ModelBuilder& builder) {
  constexpr const char* kKey = "activation_sparsity_scale";
  const auto layers = static_cast<size_t>(builder.NumLayers());
  if (!builder.Keys().Has(kKey)) {
    // The first 10 layers keep the upper 5 % of a normal distribution.
    std::vector<float> cutoffs(layers, -std::numeric_limits<float>::infinity());
    std::fill_n(cutoffs.begin(), std::min<size_t>(layers, 10), 1.6448533535f);
    return cutoffs;
  }
  std::vector<float> cutoffs = builder.Keys().Floats(kKey, /*may_be_infinite=*/true);
  if (cutoffs.size() != layers) {
    throw MakeError(ErrorCode::kCorrupt,
                    "{}: {} is a list of {} numbers; {} are expected, one for each layer",
                    builder.Keys().File().Name(), kKey, cutoffs.size(), layers);
  }
  return cutoffs;
}

std::unique_ptr<Layer> OneResidual(Residual residual, float scale = 1.0f) {
  std::vector<Residual> residuals;
  residuals.push_back(std::move(residual));
  return std::make_unique<ResidualLayer>(std::move(residuals), scale);
}

// Attention beside LAuReL.
std::unique_ptr<Layer> AttentionLayer(ModelBuilder& builder, int layer, const AttentionTraits& traits) {
  const int dim = builder.Config().dim;
  const Tensors& tensors = builder.GetTensors();
  Residual residual{builder.LayerNorm(layer, "attn_norm"), {}};
  residual.branches.push_back(
      {builder.Attention(layer, traits), {}, builder.LayerNorm(layer, "post_attention_norm")});
  residual.branches.push_back({std::make_unique<LowRankBlock>(
      tensors.FindMatrix(ModelBuilder::Name(layer, "laurel_l"), kLowRank, dim),
      tensors.FindMatrix(ModelBuilder::Name(layer, "laurel_r"), dim, kLowRank),
      builder.LayerNorm(layer, "laurel_post_norm"))});
  return OneResidual(std::move(residual), std::sqrt(0.5f));
}

std::unique_ptr<Layer> FeedForwardLayer(ModelBuilder& builder, int layer, float cutoff) {
  FeedForwardTraits traits = kGemmaFeedForward;
  if (std::isfinite(cutoff)) traits.outliers = cutoff;
  Residual residual{builder.LayerNorm(layer, "ffn_norm"), {}, builder.LayerNorm(layer, "post_ffw_norm")};
  residual.branches.push_back({builder.FeedForward(layer, traits)});
  return OneResidual(std::move(residual));
}

AltUpLayer::Weights FindAltUp(const ModelBuilder& builder, int layer, int streams, int width) {
  const int dim = builder.Config().dim;
  const Tensors& tensors = builder.GetTensors();
  const auto name = [&](const char* tensor) { return ModelBuilder::Name(layer, tensor); };
  AltUpLayer::Weights weights;
  weights.router_norm = builder.LayerNorm(layer, "altup_router_norm");
  for (float& weight : weights.router_norm.weight) weight /= static_cast<float>(dim);
  weights.router = tensors.FindMatrix(name("altup_router"), streams, dim);
  weights.predict = tensors.FindFloats(name("altup_predict_coef"), {streams, streams * streams});
  weights.correct = tensors.FindFloats(name("altup_correct_coef"), {streams, streams});
  weights.input = PerLayerInput(builder, layer, width);
  weights.input_scale = tensors.FindVector(name("altup_correct_scale"), dim);
  weights.input_norm = builder.LayerNorm(layer, "post_norm");
  return weights;
}

}  // namespace

void BuildGemma3n(ModelBuilder& builder) {
  const Metadata& keys = builder.Keys();
  const ModelConfig& config = builder.Config();
  ScaleEmbedding(builder);
  builder.ReadWindows(keys.Count("attention.sliding_window", 1 << 28), 5);
  const Rope* rope = builder.FileRope(/*halves=*/true);
  const Rope* window_rope = WindowRope(builder, 10000.0, 1.0, config.head_dim);
  // Files do not have all keys; where they are missing, they are those of the models that there are.
  const int width = keys.CountOr("embedding_length_per_layer_input", 256, 1 << 16);
  const int streams = keys.CountOr("altup.num_inputs", 4, 16, 2);
  if (const int active = keys.CountOr("altup.active_idx", 0, streams - 1, 0); active != 0) {
    keys.Refuse("altup.active_idx", std::to_string(active), "0");
  }
  const int num_own = keys.Has("attention.shared_kv_layers")
                          ? config.num_layers - keys.Count("attention.shared_kv_layers", config.num_layers, 0)
                          : std::min(config.num_layers, 20);
  const std::vector<float> cutoffs = ReadCutoffs(builder);

  AddPerLayerInputs(builder, width);
  const Tensors& tensors = builder.GetTensors();
  builder.Add(std::make_unique<AltUpSplit>(
      tensors.FindExperts("altup_proj.weight", streams - 1, config.dim, config.dim)));
  for (int i = 0; i < config.num_layers; ++i) {
    const bool windowed = config.IsWindowed(i);
    AttentionTraits traits{.rope = windowed ? window_rope : rope, .scale = 1.0f, .norms_values = true};
    traits.window = windowed ? config.window : 0;
    traits.cache_layer = SharedCacheLayer(builder, i, num_own);
    std::vector<std::unique_ptr<Layer>> layers;
    layers.push_back(AttentionLayer(builder, i, traits));
    layers.push_back(FeedForwardLayer(builder, i, cutoffs[static_cast<size_t>(i)]));
    builder.Add(std::make_unique<AltUpLayer>(std::move(layers), FindAltUp(builder, i, streams, width)));
  }
  builder.Add(std::make_unique<AltUpMerge>(
      tensors.FindExperts("altup_unembd_proj.weight", streams - 1, config.dim, config.dim)));
  builder.GetModel().logit_cap = keys.PositiveOr("final_logit_softcapping", 30.0);
  builder.Finish();
}

}  // namespace throng::model
