#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"

namespace throng::model {
namespace {

// Three layers of four rotate and see chunks of 8192 positions; the fourth sees everything, with scores that
// grow. A sliding window of 0 says that there are neither chunks nor growing scores.
void BuildLlama4(ModelBuilder& builder) {
  const Metadata& keys = builder.Keys();
  constexpr int kChunk = 8192;
  const bool chunked = keys.CountOr("attention.sliding_window", kChunk, 1 << 28, 0) > 0;
  const Rope* rope = builder.FileRope(/*halves=*/false);
  const Rope* chunk_rope = builder.WindowRope(/*halves=*/false, rope);
  std::vector<bool> in_chunks(static_cast<size_t>(builder.NumLayers()), false);
  if (chunked) in_chunks = builder.WindowedLayers(4);
  const RouterConfig router =
      builder.ReadRouter({.scoring = RouterConfig::Scoring::kSigmoid, .normalised = false});
  const int interval = keys.Count("interleave_moe_layer_step", 4096, 0);
  // Maverick, the model of 48 layers and 128 experts, has no norms of heads.
  const bool head_norms = router.num_experts != 128;
  for (int i = 0; i < builder.NumLayers(); ++i) {
    const bool in_chunk = in_chunks[static_cast<size_t>(i)];
    AttentionTraits traits{.chunk = in_chunk ? kChunk : 0};
    if ((i + 1) % 4 != 0) {
      traits.rope = in_chunk ? chunk_rope : rope;
      traits.norms_after_rope = true;
      traits.plain_head_norm = head_norms;
    } else if (chunked) {
      traits.temperature = {.scale = 0.1f, .period = kChunk, .offset = 1};
    }
    auto attention = builder.Attention(i, traits);
    if (interval > 0 && (i + 1) % interval == 0) {
      AddStandardLayer(builder, i, std::move(attention),
                       ExpertsAndShared(builder, i, {.router = router, .options = {.weighs_inputs = true}}));
    } else {
      AddStandardLayer(builder, i, std::move(attention), builder.FeedForward(i));
    }
  }
  builder.Finish();
}

constexpr Architecture kLlama4[] = {{"llama4", BuildLlama4}};

}  // namespace

std::span<const Architecture> Llama4Architectures() { return kLlama4; }

}  // namespace throng::model
