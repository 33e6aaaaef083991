// Attention and feed-forward read the same norm, beside each other.
#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"

namespace throng::model {
namespace {

constexpr LayerTraits kParallel{.norm = NormKind::kLayer, .ffn_norm = nullptr};

void BuildCommandR(ModelBuilder& builder) {
  builder.GetModel().logit_scale = builder.Keys().PositiveOr("logit_scale", 1.0);
  const Rope* rope = builder.FileRope(/*halves=*/false);
  for (int i = 0; i < builder.NumLayers(); ++i) {
    AddStandardLayer(builder, i, builder.Attention(i, {.rope = rope, .head_norm = NormKind::kLayer}),
                     builder.FeedForward(i), kParallel);
  }
  builder.Finish(NormKind::kLayer);
}

// Windows and rotations in three layers of four, neither in the fourth.
void BuildCohere2(ModelBuilder& builder) {
  ModelConfig& config = builder.GetModel().config;
  builder.GetModel().logit_scale = builder.Keys().PositiveOr("logit_scale", 1.0);
  const Rope* rope = builder.WindowRope(/*halves=*/false, builder.FileRope(/*halves=*/false));
  config.window = builder.Keys().Count("attention.sliding_window", 1 << 28);
  const std::vector<bool> windowed = builder.WindowedLayers(4);
  for (int i = 0; i < builder.NumLayers(); ++i) {
    AttentionTraits traits;
    if (windowed[static_cast<size_t>(i)]) traits = {.rope = rope, .window = config.window};
    AddStandardLayer(builder, i, builder.Attention(i, traits), builder.FeedForward(i), kParallel);
  }
  builder.Finish(NormKind::kLayer);
}

constexpr Architecture kCohere[] = {{"command-r", BuildCommandR}, {"cohere2", BuildCohere2}};

}  // namespace

std::span<const Architecture> CohereArchitectures() { return kCohere; }

}  // namespace throng::model
