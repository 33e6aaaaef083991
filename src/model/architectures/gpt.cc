// Models with LayerNorm and biases, most of them without a gate in feed-forward; and gpt-oss.
#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"

namespace throng::model {
namespace {

constexpr LayerTraits kLayerNorms{.norm = NormKind::kLayer};

void AddLayers(ModelBuilder& builder, const Rope* rope, const FeedForwardTraits& feed_forward) {
  for (int i = 0; i < builder.NumLayers(); ++i) {
    AddStandardLayer(builder, i, builder.Attention(i, {.rope = rope, .head_norm = NormKind::kLayer}),
                     builder.FeedForward(i, feed_forward), kLayerNorms);
  }
  builder.Finish(NormKind::kLayer);
}

// Positions are learned.
void BuildGpt2(ModelBuilder& builder) {
  Model& model = builder.GetModel();
  model.positions = builder.GetTensors().FindFloats("position_embd.weight",
                                                    {model.config.dim, model.config.context_length});
  AddLayers(builder, nullptr, {.activation = Activation::kGeluTanh, .gated = false});
}

void BuildStarCoder2(ModelBuilder& builder) {
  AddLayers(builder, builder.FileRope(/*halves=*/true),
            {.activation = Activation::kGeluTanh, .gated = false});
}

void BuildNemotron(ModelBuilder& builder) {
  AddLayers(builder, builder.FileRope(/*halves=*/true),
            {.activation = Activation::kReluSquared, .gated = false});
}

// StableLM 1 and 2. Files of 12B have no norm before feed-forward, which then reads what attention reads.
void BuildStableLm(ModelBuilder& builder) {
  builder.Keys().Ignore("use_parallel_residual");  // the norms say it
  const Rope* rope = builder.FileRope(/*halves=*/true);
  for (int i = 0; i < builder.NumLayers(); ++i) {
    LayerTraits traits = kLayerNorms;
    if (!builder.GetTensors().Has(ModelBuilder::Name(i, "ffn_norm"))) traits.ffn_norm = nullptr;
    AddStandardLayer(builder, i, builder.Attention(i, {.rope = rope, .head_norm = NormKind::kLayer}),
                     builder.FeedForward(i), traits);
  }
  builder.Finish(NormKind::kLayer);
}

// gpt-oss: learned sinks, windows in each second layer, experts with biases.
void BuildGptOss(ModelBuilder& builder) {
  ModelConfig& config = builder.GetModel().config;
  const Metadata& keys = builder.Keys();
  const Rope* rope = builder.FileRope(/*halves=*/true);
  config.window = keys.Count("attention.sliding_window", 1 << 28);
  const Rope* window_rope = builder.WindowRope(/*halves=*/true, rope);
  const std::vector<bool> windowed = builder.WindowedLayers(2);
  const ExpertsTraits experts{
      .router = builder.ReadRouter({.scoring = RouterConfig::Scoring::kSoftmaxOfChosen}),
      .options = {.activation = Activation::kClampedSwiglu}};
  for (int i = 0; i < builder.NumLayers(); ++i) {
    AttentionTraits attention{.rope = rope};
    if (windowed[static_cast<size_t>(i)]) attention = {.rope = window_rope, .window = config.window};
    AddStandardLayer(builder, i, builder.Attention(i, attention), builder.Experts(i, experts),
                     {.ffn_norm = "post_attention_norm", .post_attention_norm = nullptr});
  }
  builder.Finish();
}

constexpr Architecture kGpt[] = {{"gpt2", BuildGpt2},
                                 {"starcoder2", BuildStarCoder2},
                                 {"nemotron", BuildNemotron},
                                 {"stablelm", BuildStableLm},
                                 {"gpt-oss", BuildGptOss}};

}  // namespace

std::span<const Architecture> GptArchitectures() { return kGpt; }

}  // namespace throng::model
