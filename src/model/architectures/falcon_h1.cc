#include "model/architectures/architectures.h"
#include "model/load/recurrent.h"

namespace throng::model {
namespace {

// Attention and Mamba-2 side by side in each layer.
void BuildFalconH1(ModelBuilder& builder) {
  const Rope* rope = builder.FileRope(/*halves=*/true);
  for (int i = 0; i < builder.NumLayers(); ++i) {
    std::vector<Residual> residuals;
    residuals.push_back({builder.LayerNorm(i, "attn_norm"), {}});
    residuals.back().branches.push_back({builder.Attention(i, {.rope = rope})});
    residuals.back().branches.push_back({BuildMamba2(builder, i)});
    // The only norm whose name has no suffix.
    Norm ffn_norm{NormKind::kRms,
                  builder.GetTensors().FindVector(ModelBuilder::Name(i, "ffn_norm", ""), builder.Config().dim),
                  {},
                  builder.Config().norm_epsilon};
    residuals.push_back({std::move(ffn_norm), {}});
    residuals.back().branches.push_back({builder.FeedForward(i)});
    builder.Add(std::move(residuals));
  }
  builder.Finish();
}

constexpr Architecture kFalconH1[] = {{"falcon-h1", BuildFalconH1}};

}  // namespace

std::span<const Architecture> FalconH1Architectures() { return kFalconH1; }

}  // namespace throng::model
