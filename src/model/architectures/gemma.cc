#include "model/architectures/gemma.h"

#include <cmath>

#include "base/error.h"
#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"
#include "model/blocks/per_layer_inputs.h"
#include "model/gguf/gguf.h"

namespace throng::model {

void ScaleEmbedding(ModelBuilder& builder) {
  builder.GetModel().embedding_scale = std::sqrt(static_cast<float>(builder.Config().dim));
}

const Rope* WindowRope(ModelBuilder& builder, double base, double linear, int head_dim) {
  ModelConfig& config = builder.GetModel().config;
  config.window_rope_base = builder.Keys().PositiveOr("rope.freq_base_swa", base);
  const int dim = builder.Keys().CountOr("rope.dimension_count_swa", config.rope_dim, head_dim);
  RopeScaling scaling;
  scaling.linear = linear;
  return builder.AddRope(/*halves=*/true, dim, static_cast<double>(config.window_rope_base), scaling);
}

int SharedCacheLayer(const ModelBuilder& builder, const std::vector<bool>& windowed, int layer, int num_own) {
  if (layer < num_own) return -1;
  const bool is_windowed = windowed[static_cast<size_t>(layer)];
  // Of the last two layers with pages of their own, the first is windowed and the second sees everything.
  const int shared = num_own - (is_windowed ? 2 : 1);
  if (shared < 0 || windowed[static_cast<size_t>(shared)] != is_windowed) {
    throw MakeError(
        ErrorCode::kCorrupt,
        "{}: layer {}, {} window, is to use the keys and values of layer {}, which is not such a layer",
        builder.Keys().File().Name(), layer, is_windowed ? "with a" : "without a", shared);
  }
  return shared;
}

void AddPerLayerInputs(ModelBuilder& builder, int width) {
  const ModelConfig& config = builder.Config();
  const int all = config.num_layers * width;
  PerLayerInputs::Weights weights;
  weights.table = builder.GetTensors().FindTable("per_layer_token_embd.weight", config.vocab_size, all);
  weights.projection = builder.GetTensors().FindMatrix("per_layer_model_proj.weight", all, config.dim);
  weights.norm = builder.FindNorm("per_layer_proj_norm", width);
  builder.Add(std::make_unique<PerLayerInputs>(std::move(weights), width));
}

std::unique_ptr<Block> PerLayerInput(const ModelBuilder& builder, int layer, int width) {
  const int dim = builder.Config().dim;
  const Tensors& tensors = builder.GetTensors();
  return std::make_unique<PerLayerInputBlock>(
      layer, tensors.FindMatrix(ModelBuilder::Name(layer, "inp_gate"), width, dim),
      tensors.FindMatrix(ModelBuilder::Name(layer, "proj"), dim, width));
}

namespace {

void BuildGemma(ModelBuilder& builder) {
  ScaleEmbedding(builder);
  const Rope* rope = builder.FileRope(/*halves=*/true);
  for (int i = 0; i < builder.NumLayers(); ++i) {
    AddStandardLayer(builder, i, builder.Attention(i, {.rope = rope}),
                     builder.FeedForward(i, kGemmaFeedForward));
  }
  builder.Finish();
}

// Layers of which some see only a window, and rotate as window_rope says. The largest model, which has so
// many layers, scales scores by the size of the stream instead of the head's.
void AddWindowedLayers(ModelBuilder& builder, const std::vector<bool>& windowed, const Rope* rope,
                       const Rope* window_rope, float score_cap, int layers_of_largest) {
  const ModelConfig& config = builder.Config();
  AttentionTraits traits{.score_cap = score_cap};
  if (config.num_layers == layers_of_largest) {
    traits.scale = 1.0f / std::sqrt(static_cast<float>(config.dim / config.num_heads));
  }
  for (int i = 0; i < builder.NumLayers(); ++i) {
    const bool is_windowed = windowed[static_cast<size_t>(i)];
    traits.rope = is_windowed ? window_rope : rope;
    traits.window = is_windowed ? config.window : 0;
    AddStandardLayer(builder, i, builder.Attention(i, traits), builder.FeedForward(i, kGemmaFeedForward));
  }
}

void BuildGemma2(ModelBuilder& builder) {
  Model& model = builder.GetModel();
  ModelConfig& config = model.config;
  const Metadata& keys = builder.Keys();
  ScaleEmbedding(builder);
  config.window = keys.CountOr("attention.sliding_window", 4096, 1 << 28);
  config.window_pattern = 2;
  const Rope* rope = builder.FileRope(/*halves=*/true);
  const Rope* window_rope = WindowRope(builder, static_cast<double>(config.rope_base),
                                       static_cast<double>(config.rope_scale), config.head_dim);
  // Old files do not say the caps.
  AddWindowedLayers(builder, builder.WindowedLayers(config.window_pattern), rope, window_rope,
                    keys.PositiveOr("attn_logit_softcapping", 50.0), 46);
  model.logit_cap = keys.PositiveOr("final_logit_softcapping", 30.0);
  builder.Finish();
}

void BuildGemma3(ModelBuilder& builder) {
  Model& model = builder.GetModel();
  ModelConfig& config = model.config;
  const Metadata& keys = builder.Keys();
  ScaleEmbedding(builder);
  const Rope* rope = builder.FileRope(/*halves=*/true);
  const Rope* window_rope = rope;
  std::vector<bool> windowed(static_cast<size_t>(config.num_layers), false);
  config.window = keys.CountOr("attention.sliding_window", 0, 1 << 28, 0);
  if (config.window > 0) {
    config.window_pattern = 6;
    windowed = builder.WindowedLayers(config.window_pattern);
    window_rope = WindowRope(builder, 10000.0, 1.0, config.head_dim);
  }
  AddWindowedLayers(builder, windowed, rope, window_rope, /*score_cap=*/0.0f, 62);
  if (keys.Has("final_logit_softcapping")) model.logit_cap = keys.Positive("final_logit_softcapping");
  builder.Finish();
}

constexpr Architecture kGemma[] = {{"gemma", BuildGemma},
                                   {"gemma2", BuildGemma2},
                                   {"gemma3", BuildGemma3},
                                   {"gemma3n", BuildGemma3n},
                                   {"gemma4", BuildGemma4}};

}  // namespace

std::span<const Architecture> GemmaArchitectures() { return kGemma; }

}  // namespace throng::model
