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

constexpr Architecture kQwen[] = {{"qwen2", BuildQwen}, {"qwen3", BuildQwen}};

}  // namespace

std::span<const Architecture> QwenArchitectures() { return kQwen; }

}  // namespace throng::model
