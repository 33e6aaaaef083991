// Models whose blocks read the stream as it is, and whose results are normed.
#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"

namespace throng::model {
namespace {

// OLMo 2 and 3. With a window, windowed layers are not stretched to longer contexts.
void BuildOlmo2(ModelBuilder& builder) {
  ModelConfig& config = builder.GetModel().config;
  const Rope* rope = builder.FileRope(/*halves=*/true);
  const Rope* window_rope = rope;
  config.window = builder.Keys().CountOr("attention.sliding_window", 0, 1 << 28, 0);
  std::vector<bool> windowed(static_cast<size_t>(config.num_layers), false);
  if (config.window > 0) {
    windowed = builder.WindowedLayers(4);
    config.window_rope_base =
        builder.Keys().PositiveOr("rope.freq_base_swa", static_cast<double>(config.rope_base));
    window_rope =
        builder.AddRope(/*halves=*/true, config.rope_dim, static_cast<double>(config.window_rope_base), {});
  }
  for (int i = 0; i < builder.NumLayers(); ++i) {
    AttentionTraits traits{.rope = rope};
    if (windowed[static_cast<size_t>(i)]) traits = {.rope = window_rope, .window = config.window};
    AddStandardLayer(builder, i, builder.Attention(i, traits), builder.FeedForward(i), {.pre_norms = false});
  }
  builder.Finish();
}

// EXAONE 4. The model of 64 layers has windows, and rotations in windowed layers only.
void BuildExaone4(ModelBuilder& builder) {
  ModelConfig& config = builder.GetModel().config;
  const Metadata& keys = builder.Keys();
  const bool has_windows = config.num_layers == 64;
  const Rope* rope = builder.FileRope(/*halves=*/true);
  std::vector<bool> windowed(static_cast<size_t>(config.num_layers), false);
  if (has_windows) {
    config.window = keys.CountOr("attention.sliding_window", 4096, 1 << 28);
    windowed = builder.WindowedLayers(4);
    rope = builder.WindowRope(/*halves=*/true, rope);
  } else {
    keys.Ignore("attention.sliding_window");
    keys.Ignore("attention.sliding_window_pattern");
  }
  for (int i = 0; i < builder.NumLayers(); ++i) {
    AttentionTraits traits;
    if (!has_windows || windowed[static_cast<size_t>(i)]) traits.rope = rope;
    if (windowed[static_cast<size_t>(i)]) traits.window = config.window;
    AddStandardLayer(builder, i, builder.Attention(i, traits), builder.FeedForward(i), {.pre_norms = false});
  }
  builder.Finish();
}

constexpr Architecture kOlmo[] = {{"olmo2", BuildOlmo2}, {"exaone4", BuildExaone4}};

}  // namespace

std::span<const Architecture> OlmoArchitectures() { return kOlmo; }

}  // namespace throng::model
