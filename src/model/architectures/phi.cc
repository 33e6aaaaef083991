#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"

namespace throng::model {
namespace {

void BuildPhi3(ModelBuilder& builder) {
  ModelConfig& config = builder.GetModel().config;
  const Rope* rope = builder.FileRope(/*halves=*/true);
  config.window = builder.Keys().CountOr("attention.sliding_window", 0, 1 << 28, 0);
  for (int i = 0; i < builder.NumLayers(); ++i) {
    AddStandardLayer(builder, i, builder.Attention(i, {.rope = rope, .window = config.window}),
                     builder.FeedForward(i));
  }
  builder.Finish();
}

constexpr Architecture kPhi[] = {{"phi3", BuildPhi3}};

}  // namespace

std::span<const Architecture> PhiArchitectures() { return kPhi; }

}  // namespace throng::model
