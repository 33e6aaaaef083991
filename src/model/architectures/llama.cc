#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"

namespace throng::model {
namespace {

// Llama 1 to 3, Mistral, Mixtral (with experts) and many others.
void BuildLlama(ModelBuilder& builder) {
  const Rope* rope = builder.FileRope(/*halves=*/false);
  const bool has_experts = builder.Keys().CountOr("expert_count", 0, 1 << 16, 0) > 0;
  for (int i = 0; i < builder.NumLayers(); ++i) {
    auto attention = builder.Attention(i, {.rope = rope});
    if (has_experts) {
      RouterConfig router = builder.ReadRouter();
      router.normalised = true;
      AddStandardLayer(builder, i, std::move(attention), builder.Experts(i, {.router = router}));
    } else {
      AddStandardLayer(builder, i, std::move(attention), builder.FeedForward(i));
    }
  }
  builder.Finish();
}

constexpr Architecture kLlama[] = {{"llama", BuildLlama}};

}  // namespace

std::span<const Architecture> LlamaArchitectures() { return kLlama; }

}  // namespace throng::model
