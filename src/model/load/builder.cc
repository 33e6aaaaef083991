#include "model/load/builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/gguf/gguf.h"

namespace throng::model {
namespace {

constexpr int kCachedPositions = 4096;  // in the rope table; a few megabytes at most

// Values of llama.cpp; 0 is what files of models say that were not made for embeddings.
std::optional<Pooling> ReadPooling(const GgufFile& file, const Metadata& keys, const std::string& prefix) {
  const int64_t type = file.IntOr(prefix + "pooling_type", 0);
  switch (type) {
    case 0:
    case 1:
      return Pooling::kMean;
    case 2:
      return Pooling::kFirst;
    case 3:
      return Pooling::kLast;
    case 4:
      return std::nullopt;
    default:
      keys.Refuse("pooling_type", std::to_string(type), "0 to 4");
      return std::nullopt;
  }
}

}  // namespace

ModelBuilder::ModelBuilder(const GgufFile& file, std::string_view architecture, Refusals& refusals, Model& model)
    : file_(file), keys_(file, architecture, refusals), tensors_(file, refusals), model_(model) {
  model_.config.architecture = architecture;
  model_.config.name = file.StringOr("general.name", "");
  const std::string prefix = std::string(architecture) + ".";
  if (!file.BoolOr(prefix + "attention.causal", true)) {
    keys_.Refuse("attention.causal", "false", "models whose tokens see those before them");
  }
  model_.config.pooling = ReadPooling(file, keys_, prefix);
  ReadSizes();
  const ModelConfig& config = model_.config;
  model_.embedding = tensors_.FindMatrix("token_embd.weight", config.vocab_size, config.dim);
}

void ModelBuilder::ReadSizes() {
  ModelConfig& config = model_.config;
  config.context_length = keys_.Count("context_length", 1 << 28);
  config.dim = keys_.Count("embedding_length", 1 << 20);
  num_blocks_ = keys_.Count("block_count", 4096);
  // The last blocks may be there only to guess tokens.
  config.num_layers = num_blocks_ - keys_.CountOr("nextn_predict_layers", 0, num_blocks_ - 1, 0);
  tensors_.IgnoreBlocks(config.num_layers, num_blocks_);
  num_heads_ = keys_.Counts("attention.head_count", num_blocks_, 4096, 0);
  const auto largest = [&](std::vector<int>& counts) {
    counts.resize(static_cast<size_t>(config.num_layers));
    return *std::ranges::max_element(counts);
  };
  config.num_heads = largest(num_heads_);
  num_kv_heads_ = keys_.CountsOr("attention.head_count_kv", config.num_heads, num_blocks_, 4096, 0);
  config.num_kv_heads = largest(num_kv_heads_);
  if (traits.gated && config.value_dim != config.key_dim) {
    throw MakeError(ErrorCode::kUnsupported,
                    "{}: heads have keys of {} elements and values of {}; with gates, both are of one size",
                    file_.Name(), config.key_dim, config.value_dim);
  }
  const double usual = 1.0 / std::sqrt(static_cast<float>(config.key_dim));
  config.scale = traits.scale > 0 ? traits.scale : keys_.PositiveOr("attention.scale", usual);
  config.score_cap = traits.score_cap;
  config.window = traits.window;
  config.chunk = traits.chunk;
  config.temperature = traits.temperature;
  config.rope = traits.rope;
  config.norms_after_rope = traits.norms_after_rope;
  config.gated = traits.gated;
  config.owns_cache = traits.cache_layer < 0;
  kv::LayerShape shape{config.num_kv_heads, config.key_dim, config.value_dim};
  shape.kept = !config.owns_cache;
  config.cache_layer = config.owns_cache ? AddCacheLayer(shape, config.window)
                                         : ShareCacheLayer(layer, traits.cache_layer, shape);
  AttentionBlock::Weights weights;
  FindProjections(layer, config, traits.values_from_keys, weights);
  bool rows = false;
  weights.q_norm = HeadNorm(layer, "attn_q_norm", traits.head_norm, config.num_heads, config.key_dim, rows);
  if (config.owns_cache) {
    weights.k_norm =
        HeadNorm(layer, "attn_k_norm", traits.head_norm, config.num_kv_heads, config.key_dim, rows);
  } else {
    tensors_.Ignore(Name(layer, "attn_k_norm"));
  }
  if (traits.norms_values) weights.v_norm = {NormKind::kRms, {}, {}, model.norm_epsilon};
  weights.norms_rows = rows;
  if (traits.plain_head_norm) weights.q_norm = weights.k_norm = {traits.head_norm, {}, {}, model.norm_epsilon};
  weights.sinks = tensors_.FindVectorOrNone(Name(layer, "attn_sinks"), config.num_heads);
  weights.output =
      tensors_.FindMatrix(Name(layer, "attn_output"), model.dim, config.num_heads * config.value_dim);
  weights.output_bias = tensors_.FindVectorOrNone(Name(layer, "attn_output", ".bias"), model.dim);
  return std::make_unique<AttentionBlock>(config, std::move(weights));
}

std::unique_ptr<Block> ModelBuilder::FeedForward(int layer, const FeedForwardTraits& traits) {
  const int dim = model_.config.dim;
  const int ffn_dim = traits.ffn_dim > 0 ? traits.ffn_dim : FfnDim(layer);
  const auto name = [&](const char* tensor) {
    return fmt::format("blk.{}.{}{}", layer, tensor, traits.suffix);
  };
  FeedForwardWeights weights;
  weights.outliers = traits.outliers;
  const TensorInfo* up = tensors_.Info(name("ffn_up") + ".weight");
  const bool fused = up != nullptr && up->dims[1] == 2 * static_cast<uint64_t>(ffn_dim);
  if (fused) {
    const Matrix both = tensors_.FindMatrix(name("ffn_up") + ".weight", 2 * ffn_dim, dim);
    weights.gate = both.Rows(0, static_cast<size_t>(ffn_dim));
    weights.up = both.Rows(static_cast<size_t>(ffn_dim), static_cast<size_t>(ffn_dim));
  } else {
    // Architectures without gates have none in any file.
    if (traits.gated) {
      weights.gate = tensors_.FindMatrix(name("ffn_gate") + ".weight", ffn_dim, dim);
      weights.gate_bias = tensors_.FindVectorOrNone(name("ffn_gate") + ".bias", ffn_dim);
    }
    weights.up = tensors_.FindMatrix(name("ffn_up") + ".weight", ffn_dim, dim);
    weights.up_bias = tensors_.FindVectorOrNone(name("ffn_up") + ".bias", ffn_dim);
  }
  weights.down = tensors_.FindMatrix(name("ffn_down") + ".weight", dim, ffn_dim);
  weights.down_bias = tensors_.FindVectorOrNone(name("ffn_down") + ".bias", dim);
  if (!traits.result_gate.empty()) {
    weights.result_gate = tensors_.FindMatrix(Name(layer, traits.result_gate), 1, dim);
  }
  return std::make_unique<FeedForwardBlock>(std::move(weights), traits.activation);
}

RouterConfig ModelBuilder::ReadRouter(RouterConfig router) const {
  router.num_experts = keys_.Count("expert_count", 1 << 16);
  router.num_chosen = keys_.Count("expert_used_count", router.num_experts);
  router.num_groups = std::max(1, keys_.CountOr("expert_group_count", 1, router.num_experts, 0));
  router.num_chosen_groups = std::max(1, keys_.CountOr("expert_group_used_count", 1, router.num_groups, 0));
  if (router.num_experts % router.num_groups != 0 ||
      router.num_chosen > router.num_experts / router.num_groups * router.num_chosen_groups) {
    throw MakeError(ErrorCode::kCorrupt, "{}: {} of {} experts cannot be chosen from {} of {} groups",
                    file_.Name(), router.num_chosen, router.num_experts, router.num_chosen_groups,
                    router.num_groups);
  }
  router.normalised = keys_.BoolOr("expert_weights_norm", router.normalised);
  const float scale = keys_.NumberOr("expert_weights_scale", 1.0);
  router.scale = scale == 0.0f ? 1.0f : scale;  // 0 is what converters write for none
  using Scoring = RouterConfig::Scoring;
  constexpr Scoring kScorings[] = {Scoring::kSoftmax, Scoring::kSigmoid, Scoring::kSoftmaxOfChosen};
  const int function = keys_.CountOr("expert_gating_func", 0, 3, 0);
  if (function > 0) router.scoring = kScorings[function - 1];
  return router;
}

std::unique_ptr<Block> ModelBuilder::Experts(int layer, const ExpertsTraits& traits) {
  const int dim = model_.config.dim;
  const int experts = traits.router.num_experts;
  const int ffn_dim = traits.ffn_dim > 0
                          ? traits.ffn_dim
                          : keys_.CountOr("expert_feed_forward_length", FfnDim(layer), 1 << 24);
  keys_.Ignore("expert_shared_count");  // shapes say it
  ExpertsWeights weights;
  weights.router_norm = traits.router_norm;
  weights.input_norm = traits.input_norm;
  weights.router = tensors_.FindMatrix(Name(layer, "ffn_gate_inp"), experts, dim);
  weights.router_bias = tensors_.FindVectorOrNone(Name(layer, "ffn_gate_inp", ".bias"), experts);
  weights.selection_bias = tensors_.FindVectorOrNone(Name(layer, "exp_probs_b", ".bias"), experts);
  ExpertsBlock::Options options = traits.options;
  if (tensors_.Has(Name(layer, "ffn_gate_up_exps"))) {
    options.fused_gate = true;
    weights.up = tensors_.FindExperts(Name(layer, "ffn_gate_up_exps"), experts, 2 * ffn_dim, dim);
  } else {
    weights.gate = tensors_.FindExperts(Name(layer, "ffn_gate_exps"), experts, ffn_dim, dim);
    weights.up = tensors_.FindExperts(Name(layer, "ffn_up_exps"), experts, ffn_dim, dim);
  }
  weights.down = tensors_.FindExperts(Name(layer, "ffn_down_exps"), experts, dim, ffn_dim);
  const auto bias = [&](const char* name, int rows) {
    const std::string tensor = Name(layer, name, ".bias");
    return tensors_.Has(tensor) ? tensors_.FindFloats(tensor, {rows, experts}) : std::vector<float>();
  };
  weights.gate_bias = bias("ffn_gate_exps", ffn_dim);
  weights.up_bias = bias("ffn_up_exps", ffn_dim);
  weights.down_bias = bias("ffn_down_exps", dim);
  weights.result_scale = tensors_.FindVectorOrNone(Name(layer, "ffn_down_exps", ".scale"), experts);
  return std::make_unique<ExpertsBlock>(traits.router, options, std::move(weights));
}

void ModelBuilder::Finish(NormKind output_norm) {
  const ModelConfig& config = model_.config;
  if (!model_.output_norm) model_.output_norm = FindNorm("output_norm", config.dim, output_norm);
  model_.output = tensors_.Has("output.weight")
                      ? tensors_.FindMatrix("output.weight", config.vocab_size, config.dim)
                      : model_.embedding;
  model_.output_bias = tensors_.FindVectorOrNone("output.bias", config.vocab_size);
  tensors_.RefuseOthers();
  keys_.RefuseOthers();
}

}  // namespace throng::model
