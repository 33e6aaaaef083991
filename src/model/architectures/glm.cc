#include <string>

#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"
#include "model/gguf/gguf.h"

namespace throng::model {
namespace {

constexpr const char* kSections = "rope.dimension_sections";

// Models that see pictures too rotate other pairs; for text, the sections of those rotations are all alike,
// but for a fourth one, which would not turn.
bool HasSections(const ModelBuilder& builder) {
  const Metadata& keys = builder.Keys();
  keys.Ignore(kSections);
  if (!keys.Has(kSections)) return false;
  const std::vector<int64_t> sizes = keys.File().Ints(builder.Config().architecture + "." + kSections);
  if (sizes.size() < 2 || sizes[0] <= 0 || sizes[1] <= 0) return false;
  if (sizes.size() > 3 && sizes[3] != 0) keys.Refuse(kSections, "of four sections", "three");
  return true;
}

void BuildGlm4(ModelBuilder& builder) {
  const Rope* rope = builder.FileRope(/*halves=*/HasSections(builder));
  for (int i = 0; i < builder.NumLayers(); ++i) {
    AddStandardLayer(builder, i, builder.Attention(i, {.rope = rope}), builder.FeedForward(i));
  }
  builder.Finish();
}

// GLM 4.5 and later: experts but in the first layers.
void BuildGlm4Moe(ModelBuilder& builder) {
  HasSections(builder);  // the same pairs either way
  const Rope* rope = builder.FileRope(/*halves=*/true);
  const RouterConfig router = builder.ReadRouter({.scoring = RouterConfig::Scoring::kSigmoid});
  const int num_dense = builder.Keys().CountOr("leading_dense_block_count", 0, 4096, 0);
  const LayerTraits traits{.ffn_norm = "post_attention_norm", .post_attention_norm = nullptr};
  for (int i = 0; i < builder.NumLayers(); ++i) {
    auto attention = builder.Attention(i, {.rope = rope});
    if (i < num_dense) {
      AddStandardLayer(builder, i, std::move(attention), builder.FeedForward(i), traits);
    } else {
      AddStandardLayer(builder, i, std::move(attention), ExpertsAndShared(builder, i, {.router = router}),
                       traits);
    }
  }
  builder.Finish();
}

constexpr Architecture kGlm[] = {{"glm4", BuildGlm4}, {"glm4moe", BuildGlm4Moe}};

}  // namespace

std::span<const Architecture> GlmArchitectures() { return kGlm; }

}  // namespace throng::model
