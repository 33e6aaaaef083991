// Granite, and MiniCPM, which has its multipliers: of embeddings, of what is added to the stream, and of
// logits. In Granite 4, layers without KV heads are Mamba-2 layers.
#include <cmath>
#include <string>

#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"
#include "model/load/recurrent.h"

namespace throng::model {
namespace {

struct Multipliers {
  double embedding, residual, logit;
};

// Those of the file stand in place of these.
void BuildWithMultipliers(ModelBuilder& builder, bool rotated, const Multipliers& multipliers) {
  const Metadata& keys = builder.Keys();
  Model& model = builder.GetModel();
  model.embedding_scale = keys.PositiveOr("embedding_scale", multipliers.embedding);
  model.logit_scale = 1.0f / keys.PositiveOr("logit_scale", multipliers.logit);
  const float residual = keys.PositiveOr("residual_scale", multipliers.residual);
  const Rope* rope = builder.FileRope(/*halves=*/false);
  const bool has_experts = builder.HasExperts();
  bool recurrent = false;
  for (int i = 0; i < builder.NumLayers(); ++i) recurrent |= builder.NumKvHeads(i) == 0;
  if (!recurrent) {
    // Granite 4 without recurrent layers is of the older architectures, but has the keys of the family.
    for (const char* key : {"conv_kernel", "inner_size", "state_size", "time_step_rank", "group_count"}) {
      keys.Ignore(std::string("ssm.") + key);
    }
  }
  for (int i = 0; i < builder.NumLayers(); ++i) {
    auto attention = builder.NumKvHeads(i) == 0 ? BuildMamba2(builder, i)
                                                : builder.Attention(i, {.rope = rotated ? rope : nullptr});
    if (has_experts) {
      const RouterConfig router = builder.ReadRouter({.normalised = true});
      AddStandardLayer(builder, i, std::move(attention), ExpertsAndShared(builder, i, {.router = router}),
                       {.scale = residual});
    } else {
      AddStandardLayer(builder, i, std::move(attention), builder.FeedForward(i), {.scale = residual});
    }
  }
  builder.Finish();
}

void BuildGranite(ModelBuilder& builder) {
  // Of all files, in these two architectures alone this key says whether there are rotations.
  const bool rotated = builder.Keys().BoolOr("rope.scaling.finetuned", true);
  builder.Keys().Ignore("deepstack_mapping");  // into which layers pictures go
  BuildWithMultipliers(builder, rotated, {1.0, 1.0, 1.0});
}

void BuildGraniteMoe(ModelBuilder& builder) { BuildWithMultipliers(builder, true, {1.0, 1.0, 1.0}); }

void BuildMiniCpm(ModelBuilder& builder) {
  // Old files lack the numbers, which were the same in all models.
  const ModelConfig& config = builder.Config();
  BuildWithMultipliers(builder, true, {12.0, 1.4 / std::sqrt(config.num_layers), 256.0 / config.dim});
}

constexpr Architecture kGranite[] = {{"granite", BuildGranite},
                                     {"granitemoe", BuildGraniteMoe},
                                     {"granitehybrid", BuildGranite},
                                     {"minicpm", BuildMiniCpm}};

}  // namespace

std::span<const Architecture> GraniteArchitectures() { return kGranite; }

}  // namespace throng::model
