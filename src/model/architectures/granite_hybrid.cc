#include "model/architectures/architectures.h"
#include "model/load/recurrent.h"

namespace throng::model {
namespace {

// Granite 4: layers without KV heads are Mamba-2 layers.
void BuildGraniteHybrid(ModelBuilder& builder) {
  const Metadata& keys = builder.Keys();
  Model& model = builder.GetModel();
  if (keys.Has("embedding_scale")) model.embedding_scale = keys.Positive("embedding_scale");
  if (keys.Has("logit_scale")) model.logit_scale = 1.0f / keys.Positive("logit_scale");
  const float residual_scale = keys.PositiveOr("residual_scale", 1.0);
  AttentionTraits traits;
  if (keys.Has("attention.scale")) traits.scale = keys.Positive("attention.scale");
  // Files say in this way whether positions count at all.
  const Rope* rope = builder.FileRope(/*halves=*/false);
  if (keys.BoolOr("rope.scaling.finetuned", true)) traits.rope = rope;
  const bool has_experts = keys.CountOr("expert_count", 0, 1 << 16, 0) > 0;
  const int shared = keys.CountOr("expert_shared_feed_forward_length", 0, 1 << 24, 0);
  for (int i = 0; i < builder.NumLayers(); ++i) {
    std::vector<Residual> residuals;
    residuals.push_back({builder.LayerNorm(i, "attn_norm"), {}, {}, residual_scale});
    residuals.back().branches.push_back(
        {builder.NumKvHeads(i) == 0 ? BuildMamba2(builder, i) : builder.Attention(i, traits)});
    residuals.push_back({builder.LayerNorm(i, "ffn_norm"), {}, {}, residual_scale});
    std::vector<Branch>& branches = residuals.back().branches;
    if (has_experts) {
      RouterConfig router = builder.ReadRouter();
      router.normalised = true;
      branches.push_back({builder.Experts(i, {.router = router, .ffn_dim = builder.FfnDim(i)})});
      if (shared > 0) branches.push_back({builder.FeedForward(i, {.ffn_dim = shared, .suffix = "_shexp"})});
    } else {
      branches.push_back({builder.FeedForward(i)});
    }
    builder.Add(std::move(residuals));
  }
  builder.Finish();
}

constexpr Architecture kGraniteHybrid[] = {{"granitehybrid", BuildGraniteHybrid}};

}  // namespace

std::span<const Architecture> GraniteHybridArchitectures() { return kGraniteHybrid; }

}  // namespace throng::model
