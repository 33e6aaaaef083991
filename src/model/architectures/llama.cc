// Llama and those that differ from it in little.
#include <cmath>

#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"

namespace throng::model {
namespace {

std::unique_ptr<Block> FeedForwardOrExperts(ModelBuilder& builder, int layer) {
  if (!builder.HasExperts()) return builder.FeedForward(layer);
  return builder.Experts(layer, {.router = builder.ReadRouter({.normalised = true})});
}

// Llama 1 to 3, Mistral, Mixtral (with experts) and many others; InternLM 2 and ERNIE 4.5 (dense).
void BuildLlama(ModelBuilder& builder) {
  const Rope* rope = builder.FileRope(/*halves=*/false);
  for (int i = 0; i < builder.NumLayers(); ++i) {
    AddStandardLayer(builder, i, builder.Attention(i, {.rope = rope}), FeedForwardOrExperts(builder, i));
  }
  builder.Finish();
}

// Mistral 3: scores grow with the position.
void BuildMistral3(ModelBuilder& builder) {
  AttentionTraits traits{.rope = builder.FileRope(/*halves=*/false)};
  traits.temperature = {.scale = builder.Keys().NumberOr("attention.temperature_scale", 0.0),
                        .period = builder.Keys().CountOr("rope.scaling.original_context_length",
                                                         builder.Config().context_length, 1 << 28)};
  for (int i = 0; i < builder.NumLayers(); ++i) {
    AddStandardLayer(builder, i, builder.Attention(i, traits), FeedForwardOrExperts(builder, i));
  }
  builder.Finish();
}

// SmolLM 3: each fourth layer does not know positions.
void BuildSmolLm3(ModelBuilder& builder) {
  const Rope* rope = builder.FileRope(/*halves=*/false);
  for (int i = 0; i < builder.NumLayers(); ++i) {
    const bool rotated = (i + 1) % 4 != 0;
    AddStandardLayer(builder, i, builder.Attention(i, {.rope = rotated ? rope : nullptr}),
                     builder.FeedForward(i));
  }
  builder.Finish();
}

// Seed-OSS: its norm after attention is the one before feed-forward.
void BuildSeedOss(ModelBuilder& builder) {
  const Rope* rope = builder.FileRope(/*halves=*/true);
  for (int i = 0; i < builder.NumLayers(); ++i) {
    AddStandardLayer(builder, i, builder.Attention(i, {.rope = rope}), builder.FeedForward(i),
                     {.ffn_norm = "post_attention_norm", .post_attention_norm = nullptr});
  }
  builder.Finish();
}

// Hunyuan, dense or with experts of which one is shared: heads are normed after the rotation.
void BuildHunyuan(ModelBuilder& builder) {
  const AttentionTraits traits{.rope = builder.FileRope(/*halves=*/true), .norms_after_rope = true};
  // Files of dense models may say that they have one expert.
  const bool has_experts = builder.HasExperts() && builder.Config().architecture == "hunyuan-moe";
  for (int i = 0; i < builder.NumLayers(); ++i) {
    auto attention = builder.Attention(i, traits);
    if (has_experts) {
      const RouterConfig router = builder.ReadRouter({.normalised = true});
      AddStandardLayer(builder, i, std::move(attention), ExpertsAndShared(builder, i, {.router = router}));
    } else {
      AddStandardLayer(builder, i, std::move(attention), builder.FeedForward(i));
    }
  }
  builder.Finish();
}

constexpr Architecture kLlama[] = {
    {"llama", BuildLlama},           {"internlm2", BuildLlama},     {"ernie4_5", BuildLlama},
    {"mistral3", BuildMistral3},     {"smollm3", BuildSmolLm3},     {"seed_oss", BuildSeedOss},
    {"hunyuan-dense", BuildHunyuan}, {"hunyuan-moe", BuildHunyuan},
};

}  // namespace

std::span<const Architecture> LlamaArchitectures() { return kLlama; }

}  // namespace throng::model
