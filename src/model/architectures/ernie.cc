#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"

namespace throng::model {
namespace {

// ERNIE 4.5 with experts in some layers.
void BuildErnieMoe(ModelBuilder& builder) {
  const Metadata& keys = builder.Keys();
  const Rope* rope = builder.FileRope(/*halves=*/false);
  const RouterConfig router = builder.ReadRouter({.normalised = true});
  const int interval = keys.Count("interleave_moe_layer_step", 4096);
  const int num_dense = keys.CountOr("leading_dense_block_count", 0, 4096, 0);
  for (int i = 0; i < builder.NumLayers(); ++i) {
    auto attention = builder.Attention(i, {.rope = rope});
    if (i >= num_dense && (i + 1) % interval == 0) {
      AddStandardLayer(builder, i, std::move(attention), ExpertsAndShared(builder, i, {.router = router}));
    } else {
      AddStandardLayer(builder, i, std::move(attention), builder.FeedForward(i));
    }
  }
  builder.Finish();
}

constexpr Architecture kErnie[] = {{"ernie4_5-moe", BuildErnieMoe}};

}  // namespace

std::span<const Architecture> ErnieArchitectures() { return kErnie; }

}  // namespace throng::model
