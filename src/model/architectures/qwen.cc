#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"

namespace throng::model {
namespace {

// Qwen 2, 2.5 and 3.
void BuildQwen(ModelBuilder& builder) {
  // Files carry it although their layers do not use it.
  builder.Keys().Ignore("attention.sliding_window");
  const Rope* rope = builder.FileRope(/*halves=*/true);
  for (int i = 0; i < builder.NumLayers(); ++i) {
    AddStandardLayer(builder, i, builder.Attention(i, {.rope = rope}), builder.FeedForward(i));
  }
  builder.Finish();
}

// With experts: those of Qwen 3 have weights that add up to 1, those of Qwen 2 a shared expert.
void BuildQwenMoe(ModelBuilder& builder) {
  builder.Keys().Ignore("attention.sliding_window");
  const Rope* rope = builder.FileRope(/*halves=*/true);
  const bool normalised = builder.Config().architecture == "qwen3moe";
  const RouterConfig router = builder.ReadRouter({.normalised = normalised});
  for (int i = 0; i < builder.NumLayers(); ++i) {
    const int ffn_dim =
        builder.Keys().CountOr("expert_feed_forward_length", builder.FfnDim(i) / router.num_chosen, 1 << 24);
    AddStandardLayer(
        builder, i, builder.Attention(i, {.rope = rope}),
        ExpertsAndShared(builder, i, {.router = router, .ffn_dim = ffn_dim}, "ffn_gate_inp_shexp"));
  }
  builder.Finish();
}

constexpr Architecture kQwen[] = {
    {"qwen2", BuildQwen}, {"qwen3", BuildQwen}, {"qwen2moe", BuildQwenMoe}, {"qwen3moe", BuildQwenMoe}};

}  // namespace

std::span<const Architecture> QwenArchitectures() { return kQwen; }

}  // namespace throng::model
