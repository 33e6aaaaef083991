#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"
#include "model/gguf/gguf.h"
#include "model/load/recurrent.h"

namespace throng::model {
namespace {

// Positions of text are one number, so it is no matter which pairs turn with which coordinate of a picture,
// as long as all pairs turn: those of no coordinate would not.
void CheckSections(const ModelBuilder& builder) {
  const Metadata& keys = builder.Keys();
  const std::string key = builder.Config().architecture + ".rope.dimension_sections";
  const std::vector<int64_t> sections = keys.File().Ints(key);
  keys.Ignore("rope.dimension_sections");
  const int pairs = keys.CountOr("rope.dimension_count", builder.Config().head_dim, 4096) / 2;
  int64_t all = 0;
  for (const int64_t section : sections) all += std::clamp<int64_t>(section, 0, 4096);
  bool all_turn = sections.size() >= 3 && all > 0;
  for (int64_t i = 0; all_turn && i < pairs; ++i) {
    const int64_t place = i % all;
    all_turn = place < 3 * std::clamp<int64_t>(sections[static_cast<size_t>(place % 3)], 0, 4096);
  }
  if (all_turn) return;
  throw MakeError(ErrorCode::kUnsupported,
                  "{}: {} leaves some of {} pairs without a coordinate; all need one", keys.File().Name(),
                  key, pairs);
}

std::vector<bool> RecurrentLayers(const ModelBuilder& builder) {
  const Metadata& keys = builder.Keys();
  constexpr const char* kKey = "attention.recurrent_layers";
  std::vector<bool> recurrent = keys.BoolsOr(kKey, builder.NumBlocks());
  if (recurrent.empty() && keys.Has(kKey)) keys.Refuse(kKey, "one value", "a list of one for each layer");
  const int interval = keys.CountOr("full_attention_interval", 4, 4096);
  for (int i = 0; recurrent.size() < static_cast<size_t>(builder.NumLayers()); ++i) {
    recurrent.push_back((i + 1) % interval != 0);
  }
  return recurrent;
}

std::vector<Branch> Experts(ModelBuilder& builder, int layer) {
  const RouterConfig router = builder.ReadRouter({.normalised = true});
  const int ffn_dim = builder.Keys().CountOr("expert_feed_forward_length",
                                             builder.FfnDim(layer) / router.num_chosen, 1 << 24);
  return ExpertsAndShared(builder, layer, {.router = router, .ffn_dim = ffn_dim}, "ffn_gate_inp_shexp");
}

void Build(ModelBuilder& builder, bool neighbours_share) {
  const std::vector<bool> recurrent = RecurrentLayers(builder);
  const Rope* rope = builder.FileRope(/*halves=*/true);
  const bool has_experts = builder.HasExperts();
  const LayerTraits traits{.ffn_norm = "post_attention_norm", .post_attention_norm = nullptr};
  for (int i = 0; i < builder.NumLayers(); ++i) {
    auto mixer = recurrent[static_cast<size_t>(i)] ? BuildDeltaNet(builder, i, neighbours_share)
                                                   : builder.Attention(i, {.rope = rope, .gated = true});
    if (has_experts) {
      AddStandardLayer(builder, i, std::move(mixer), Experts(builder, i), traits);
    } else {
      AddStandardLayer(builder, i, std::move(mixer), builder.FeedForward(i), traits);
    }
  }
  builder.Finish();
}

// The value heads of a key head are beside each other; in later files they are not.
void BuildQwen3Next(ModelBuilder& builder) { Build(builder, /*neighbours_share=*/true); }

void BuildQwen35(ModelBuilder& builder) {
  CheckSections(builder);
  Build(builder, /*neighbours_share=*/false);
}

constexpr Architecture kQwen35[] = {
    {"qwen3next", BuildQwen3Next}, {"qwen35", BuildQwen35}, {"qwen35moe", BuildQwen35}};

}  // namespace

std::span<const Architecture> Qwen35Architectures() { return kQwen35; }

}  // namespace throng::model
