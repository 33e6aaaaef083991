#include <algorithm>

#include "base/error.h"
#include "model/architectures/architectures.h"
#include "model/gguf/gguf.h"
#include "model/load/recurrent.h"

namespace throng::model {
namespace {

// Positions of text are one number, so it is no matter which pairs turn with which coordinate of a picture,
// as long as all pairs turn: those of no coordinate would not.
void CheckSections(const ModelBuilder& builder) {
  const GgufFile& file = builder.Keys().File();
  const std::string key = builder.Config().architecture + ".rope.dimension_sections";
  const std::vector<int64_t> sections = file.Ints(key);
  builder.Keys().Ignore("rope.dimension_sections");
  int64_t pairs = 0;
  for (const int64_t section : sections) pairs += std::clamp<int64_t>(section, 0, 1 << 20);
  bool all_turn = sections.size() >= 3 && pairs > 0;
  for (int64_t i = 0; all_turn && i < builder.Config().rope_dim / 2; ++i) {
    all_turn = i % pairs < 3 * sections[static_cast<size_t>(i % pairs % 3)];
  }
  if (all_turn) return;
  throw MakeError(ErrorCode::kUnsupported, "{}: {} leaves pairs without a coordinate; each of {} needs one",
                  file.Name(), key, builder.Config().rope_dim / 2);
}

std::vector<bool> RecurrentLayers(const ModelBuilder& builder) {
  const Metadata& keys = builder.Keys();
  std::vector<bool> recurrent = keys.BoolsOr("attention.recurrent_layers", builder.NumBlocks());
  const int interval = keys.CountOr("full_attention_interval", 4, 4096);
  for (int i = 0; recurrent.size() < static_cast<size_t>(builder.NumLayers()); ++i) {
    recurrent.push_back((i + 1) % interval != 0);
  }
  return recurrent;
}

// Experts, and beside them one that all tokens go to, with a gate.
void AddExperts(ModelBuilder& builder, int layer, Residual& residual) {
  RouterConfig router = builder.ReadRouter();
  router.normalised = true;
  const int ffn_dim = builder.Config().ffn_dim;
  const int of_expert = builder.Keys().CountOr("expert_feed_forward_length", ffn_dim / router.num_chosen, 1 << 24);
  const int shared = builder.Keys().CountOr("expert_shared_feed_forward_length", ffn_dim, 1 << 24);
  residual.branches.push_back({builder.Experts(layer, {.router = router, .ffn_dim = of_expert})});
  residual.branches.push_back({builder.FeedForward(
      layer, {.ffn_dim = shared, .suffix = "_shexp", .result_gate = "ffn_gate_inp_shexp"})});
}

void Build(ModelBuilder& builder, bool neighbours_share, bool has_experts) {
  const Rope* rope = builder.FileRope(/*halves=*/true);
  const std::vector<bool> recurrent = RecurrentLayers(builder);
  for (int i = 0; i < builder.NumLayers(); ++i) {
    std::vector<Residual> residuals;
    residuals.push_back({builder.LayerNorm(i, "attn_norm"), {}});
    residuals.back().branches.push_back({recurrent[static_cast<size_t>(i)]
                                             ? BuildDeltaNet(builder, i, neighbours_share)
                                             : builder.Attention(i, {.rope = rope, .gated = true})});
    residuals.push_back({builder.LayerNorm(i, "post_attention_norm"), {}});
    if (has_experts) {
      AddExperts(builder, i, residuals.back());
    } else {
      residuals.back().branches.push_back({builder.FeedForward(i)});
    }
    builder.Add(std::move(residuals));
  }
  builder.Finish();
}

void BuildQwen3Next(ModelBuilder& builder) {
  Build(builder, /*neighbours_share=*/true, /*has_experts=*/true);
}

void BuildQwen35(ModelBuilder& builder) {
  CheckSections(builder);
  Build(builder, /*neighbours_share=*/false, /*has_experts=*/false);
}

void BuildQwen35Moe(ModelBuilder& builder) {
  CheckSections(builder);
  Build(builder, /*neighbours_share=*/false, /*has_experts=*/true);
}

constexpr Architecture kQwen35[] = {
    {"qwen3next", BuildQwen3Next}, {"qwen35", BuildQwen35}, {"qwen35moe", BuildQwen35Moe}};

}  // namespace

std::span<const Architecture> Qwen35Architectures() { return kQwen35; }

}  // namespace throng::model
