#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"
#include "model/load/recurrent.h"

namespace throng::model {
namespace {

RouterConfig ReadLfm2Router(const ModelBuilder& builder) {
  RouterConfig router = builder.ReadRouter();
  router.normalised = true;
  const int scoring = builder.Keys().Count("expert_gating_func", 1 << 16, 0);
  if (scoring != 1 && scoring != 2) {
    builder.Keys().Refuse("expert_gating_func", std::to_string(scoring), "1 (softmax) and 2 (sigmoid)");
  }
  if (scoring == 2) router.scoring = RouterConfig::Scoring::kSigmoid;
  return router;
}

// Layers without KV heads have convolutions in place of attention. dense: layers without experts, the first.
void Build(ModelBuilder& builder, int dense) {
  const Rope* rope = builder.FileRope(/*halves=*/true);
  ModelConfig& config = builder.GetModel().config;
  config.window = builder.Keys().CountOr("attention.sliding_window", 0, 1 << 28, 0);
  for (int i = 0; i < builder.NumLayers(); ++i) {
    auto mixer = builder.NumKvHeads(i) == 0
                     ? BuildShortConv(builder, i)
                     : builder.Attention(i, {.rope = rope, .window = config.window});
    auto feed_forward = i < dense ? builder.FeedForward(i)
                                  : builder.Experts(i, {.router = ReadLfm2Router(builder)});
    AddStandardLayer(builder, i, std::move(mixer), std::move(feed_forward));
  }
  builder.GetModel().output_norm = builder.FindNorm("token_embd_norm", config.dim);
  builder.Finish();
}

void BuildLfm2(ModelBuilder& builder) { Build(builder, builder.NumLayers()); }

void BuildLfm2Moe(ModelBuilder& builder) {
  Build(builder, builder.Keys().CountOr("leading_dense_block_count", 0, builder.NumLayers(), 0));
}

constexpr Architecture kLfm2[] = {{"lfm2", BuildLfm2}, {"lfm2moe", BuildLfm2Moe}};

}  // namespace

std::span<const Architecture> Lfm2Architectures() { return kLfm2; }

}  // namespace throng::model
