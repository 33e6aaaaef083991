#include <cmath>

#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"

namespace throng::model {
namespace {

void BuildGemma3(ModelBuilder& builder) {
  Model& model = builder.GetModel();
  ModelConfig& config = model.config;
  model.embedding_scale = std::sqrt(static_cast<float>(config.dim));
  const Rope* rope = builder.FileRope(/*halves=*/true);
  const Rope* window_rope = rope;
  config.window = builder.Keys().CountOr("attention.sliding_window", 0, 1 << 28, 0);
  if (config.window > 0) {
    config.window_pattern = 6;
    config.window_rope_base = builder.Keys().PositiveOr("rope.freq_base_swa", 10000.0);
    window_rope = builder.AddRope(/*halves=*/true, config.rope_dim,
                                  static_cast<double>(config.window_rope_base), {});
  }
  AttentionTraits traits;
  // The 27B model, which has 62 layers, scales by the size of the stream instead of the head's.
  if (config.num_layers == 62) {
    traits.scale = 1.0f / std::sqrt(static_cast<float>(config.dim / config.num_heads));
  }
  for (int i = 0; i < builder.NumLayers(); ++i) {
    const bool windowed = config.window > 0 && (i + 1) % config.window_pattern != 0;
    traits.rope = windowed ? window_rope : rope;
    traits.window = windowed ? config.window : 0;
    AddStandardLayer(builder, i, builder.Attention(i, traits),
                     builder.FeedForward(i, {.activation = Activation::kGeluTanh}));
  }
  builder.Finish();
}

constexpr Architecture kGemma[] = {{"gemma3", BuildGemma3}};

}  // namespace

std::span<const Architecture> GemmaArchitectures() { return kGemma; }

}  // namespace throng::model
