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

ModelBuilder::ModelBuilder(const GgufFile& file, std::string_view architecture, Refusals& refusals,
                           Model& model)
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
  if (config.num_heads == 0 || config.num_kv_heads == 0) {
    throw MakeError(ErrorCode::kUnsupported, "{}: a model without attention heads is not computed",
                    file_.Name());
  }
  for (size_t i = 0; i < num_heads_.size(); ++i) {
    if (num_kv_heads_[i] == 0 || num_heads_[i] % num_kv_heads_[i] == 0) continue;
    throw MakeError(ErrorCode::kCorrupt, "{}: {} query heads cannot share {} key heads evenly", file_.Name(),
                    num_heads_[i], num_kv_heads_[i]);
  }
  config.head_dim = keys_.CountOr("attention.key_length", config.dim / config.num_heads, 4096);
  ffn_dims_ = keys_.CountsOr("feed_forward_length", 0, num_blocks_, 1 << 24, 0);
  config.ffn_dim = largest(ffn_dims_);
  const TensorInfo* embedding = file_.FindTensor("token_embd.weight");
  if (!embedding || embedding->num_dims != 2 || embedding->dims[1] > (1u << 24)) {
    throw MakeError(ErrorCode::kCorrupt, "{}: tensor token_embd.weight is missing, or not a table of tokens",
                    file_.Name());
  }
  config.vocab_size = static_cast<int>(embedding->dims[1]);
  constexpr std::string_view kRms = "attention.layer_norm_rms_epsilon";
  constexpr std::string_view kLayer = "attention.layer_norm_epsilon";
  config.norm_epsilon = keys_.Positive(keys_.Has(kRms) ? kRms : kLayer);
  // Files of Nemotron have their number under both names.
  if (const float other = keys_.PositiveOr(kLayer, static_cast<double>(config.norm_epsilon));
      other != config.norm_epsilon) {
    keys_.Refuse(kLayer, fmt::format("{}", other), fmt::format("that of {}", kRms));
  }
  config.window_pattern = 1;
  config.rope_scale = 1.0f;
}

std::string ModelBuilder::Name(int layer, std::string_view tensor, std::string_view suffix) {
  return fmt::format("blk.{}.{}{}", layer, tensor, suffix);
}

Norm ModelBuilder::FindNorm(const std::string& name, int size, NormKind kind) const {
  Norm norm{kind, tensors_.FindVector(name + ".weight", size), {}, model_.config.norm_epsilon};
  if (kind == NormKind::kLayer) norm.bias = tensors_.FindVectorOrNone(name + ".bias", size);
  return norm;
}

Norm ModelBuilder::LayerNorm(int layer, std::string_view name, NormKind kind) const {
  return FindNorm(Name(layer, name, ""), model_.config.dim, kind);
}

std::vector<bool> ModelBuilder::WindowedLayers(int period) const {
  constexpr const char* kKey = "attention.sliding_window_pattern";
  const auto num_layers = static_cast<size_t>(model_.config.num_layers);
  std::vector<bool> windowed = keys_.BoolsOr(kKey, num_blocks_);
  if (windowed.empty() && keys_.Has(kKey)) period = keys_.Count(kKey, 4096, 0);
  for (size_t i = windowed.size(); i < num_layers; ++i) {
    windowed.push_back(period == 0 || (static_cast<int>(i) + 1) % period != 0);
  }
  return windowed;
}

// The factor of cosines and sines.
double ModelBuilder::ReadYarn(RopeScaling& scaling) const {
  scaling.yarn_original_context =
      keys_.CountOr("rope.scaling.original_context_length", model_.config.context_length, 1 << 28);
  scaling.yarn_beta_fast = keys_.PositiveOr("rope.scaling.yarn_beta_fast", 32.0);
  scaling.yarn_beta_slow = keys_.PositiveOr("rope.scaling.yarn_beta_slow", 1.0);
  scaling.yarn_extrapolation = keys_.PositiveOr("rope.scaling.yarn_ext_factor", 1.0);
  keys_.Ignore("rope.scaling.yarn_attn_factor");  // the factor below stands in its place
  // Section 3.4 of the paper: scores grow with the logarithm of the stretch. Some models have a part of it in
  // the scale of their scores, and say how much.
  const double stretch = 1.0 / scaling.linear;
  const auto factor = [&](double share) {
    return stretch <= 1.0 ? 1.0 : 0.1 * share * std::log(stretch) + 1.0;
  };
  if (!keys_.Has("rope.scaling.yarn_log_multiplier")) return factor(1.0);
  const double elsewhere = keys_.Positive("rope.scaling.yarn_log_multiplier");
  // DeepSeek-V2 has the same multiplier in both places.
  const double here = model_.config.architecture == "deepseek2" ? elsewhere : 1.0;
  return factor(here) / factor(elsewhere);
}

// Of each frequency; empty: none.
std::vector<float> ModelBuilder::FindRopeFactors() const {
  const ModelConfig& config = model_.config;
  const int pairs = config.rope_dim / 2;
  if (!tensors_.Has("rope_factors_long.weight")) {
    keys_.Ignore("rope.scaling.original_context_length");
    return tensors_.FindVectorOrNone("rope_freqs.weight", pairs);
  }
  // LongRoPE (arXiv 2402.13753): other factors where the context is longer than the first training's.
  const int original = keys_.CountOr("rope.scaling.original_context_length", config.context_length, 1 << 28);
  std::vector<float> long_factors = tensors_.FindVector("rope_factors_long.weight", pairs);
  std::vector<float> short_factors = tensors_.FindVector("rope_factors_short.weight", pairs);
  return config.context_length > original ? long_factors : short_factors;
}

const Rope* ModelBuilder::FileRope(bool halves) {
  ModelConfig& config = model_.config;
  config.rope_dim = keys_.CountOr("rope.dimension_count", config.head_dim, config.head_dim);
  config.rope_base = keys_.PositiveOr("rope.freq_base", 10000.0);
  config.window_rope_base = config.rope_base;
  RopeScaling scaling;
  double magnitude = 1.0;
  const std::string_view type = keys_.TextOr("rope.scaling.type", "linear");
  if (type == "none") {
    keys_.Ignore("rope.scaling.factor");
  } else if (type == "linear" || type == "yarn") {
    // The second key is that of old files.
    for (const char* key : {"rope.scaling.factor", "rope.scale_linear"}) {
      if (keys_.Has(key)) scaling.linear = static_cast<double>(1.0f / keys_.Positive(key));
    }
    if (type == "yarn") magnitude = ReadYarn(scaling);
  } else if (type != "longrope") {
    keys_.Refuse("rope.scaling.type", type, "'none', 'linear', 'yarn' and 'longrope'");
  }
  config.rope_scale = static_cast<float>(scaling.linear);
  magnitude *= static_cast<double>(keys_.PositiveOr("rope.scaling.attn_factor", 1.0));
  scaling.factors = FindRopeFactors();
  return AddRope(halves, config.rope_dim, static_cast<double>(config.rope_base), scaling, magnitude);
}

const Rope* ModelBuilder::AddRope(bool halves, int dim, double base, const RopeScaling& scaling,
                                  double magnitude) {
  if (dim % 2 != 0) throw MakeError(ErrorCode::kCorrupt, "{}: rope dimension {} is odd", file_.Name(), dim);
  for (const float factor : scaling.factors) {
    if (!(factor > 0)) {
      throw MakeError(ErrorCode::kCorrupt,
                      "{}: a rope frequency is divided by {}; positive numbers are expected", file_.Name(),
                      factor);
    }
  }
  RopeTable table(RopeFrequencies(dim, base, scaling), magnitude,
                  std::min(model_.config.context_length, kCachedPositions));
  attention::Rotation rotation{table.Frequencies(), halves, magnitude};
  model_.ropes.push_back(
      std::make_unique<Rope>(Rope{std::move(table), std::move(rotation), model_.ropes.size()}));
  return model_.ropes.back().get();
}

Norm ModelBuilder::HeadNorm(int layer, std::string_view name, NormKind kind, int heads, int size,
                            bool& whole_rows) const {
  const std::string weight = Name(layer, name);
  const TensorInfo* tensor = tensors_.Info(weight);
  if (tensor == nullptr) return {};
  Norm norm{kind, {}, {}, model_.config.norm_epsilon};
  const auto elements = static_cast<uint64_t>(heads) * static_cast<uint64_t>(size);
  if (tensor->num_dims == 1 && tensor->dims[0] == elements && heads > 1) {
    whole_rows = true;
    norm.weight = tensors_.FindVector(weight, heads * size);
  } else if (tensor->num_dims == 2) {
    norm.weight = tensors_.FindFloats(weight, {size, heads});
  } else {
    norm.weight = tensors_.FindVector(weight, size);
  }
  return norm;
}

void ModelBuilder::FindProjections(int layer, const AttentionConfig& config, bool values_from_keys,
                                   AttentionBlock::Weights& weights) const {
  const int dim = model_.config.dim;
  const int q_rows = config.num_heads * config.key_dim * (config.gated ? 2 : 1);
  const int k_rows = config.num_kv_heads * config.key_dim;
  const int v_rows = config.num_kv_heads * config.value_dim;
  if (tensors_.Has(Name(layer, "attn_qkv"))) {
    const auto rows = [](int count) { return static_cast<size_t>(count); };
    const Matrix fused = tensors_.FindMatrix(Name(layer, "attn_qkv"), q_rows + k_rows + v_rows, dim);
    weights.q = fused.Rows(0, rows(q_rows));
    weights.k = fused.Rows(rows(q_rows), rows(k_rows));
    weights.v = fused.Rows(rows(q_rows + k_rows), rows(v_rows));
    const std::vector<float> bias =
        tensors_.FindVectorOrNone(Name(layer, "attn_qkv", ".bias"), q_rows + k_rows + v_rows);
    if (bias.empty()) return;
    weights.q_bias.assign(bias.begin(), bias.begin() + q_rows);
    weights.k_bias.assign(bias.begin() + q_rows, bias.begin() + q_rows + k_rows);
    weights.v_bias.assign(bias.begin() + q_rows + k_rows, bias.end());
    return;
  }
  weights.q = tensors_.FindMatrix(Name(layer, "attn_q"), q_rows, dim);
  weights.q_bias = tensors_.FindVectorOrNone(Name(layer, "attn_q", ".bias"), q_rows);
  if (!config.owns_cache) {
    // Some files have what their models were trained with and do not use.
    for (const char* unused : {"attn_k", "attn_v"}) tensors_.Ignore(Name(layer, unused));
    return;
  }
  weights.k = tensors_.FindMatrix(Name(layer, "attn_k"), k_rows, dim);
  weights.k_bias = tensors_.FindVectorOrNone(Name(layer, "attn_k", ".bias"), k_rows);
  if (values_from_keys) {
    weights.v_bias = weights.k_bias;
    return;
  }
  weights.v = tensors_.FindMatrix(Name(layer, "attn_v"), v_rows, dim);
  weights.v_bias = tensors_.FindVectorOrNone(Name(layer, "attn_v", ".bias"), v_rows);
}

int ModelBuilder::AddCacheLayer(const kv::LayerShape& shape, int window) {
  model_.config.cache_layers.push_back(shape);
  model_.config.cache_windows.push_back(window);
  return static_cast<int>(model_.config.cache_layers.size()) - 1;
}

int ModelBuilder::AddRecurrentLayer(size_t floats) {
  std::vector<size_t>& layers = model_.config.state_floats;
  layers.push_back(floats);
  return static_cast<int>(layers.size()) - 1;
}

// Checks that a layer can use the pages of an earlier one, whose open pages are then kept for it.
int ModelBuilder::ShareCacheLayer(int layer, int cache_layer, const kv::LayerShape& shape) {
  std::vector<kv::LayerShape>& layers = model_.config.cache_layers;
  const auto index = static_cast<size_t>(cache_layer);
  if (index < layers.size()) {
    layers[index].kept = shape.kept;
    if (layers[index] == shape) return cache_layer;
  }
  throw MakeError(
      ErrorCode::kCorrupt,
      "{}: layer {} uses the keys and values of layer {}, which is not an earlier layer with heads of "
      "the same number and size",
      file_.Name(), layer, cache_layer);
}

std::unique_ptr<Block> ModelBuilder::Attention(int layer, const AttentionTraits& traits) {
  const ModelConfig& model = model_.config;
  AttentionConfig config{};
  config.num_heads = NumHeads(layer);
  config.num_kv_heads = NumKvHeads(layer);
  if (config.num_heads == 0 || config.num_kv_heads == 0) {
    throw MakeError(ErrorCode::kCorrupt, "{}: layer {} has {} query heads and {} key heads; both are needed",
                    file_.Name(), layer, config.num_heads, config.num_kv_heads);
  }
  config.key_dim = traits.head_dim > 0 ? traits.head_dim : model.head_dim;
  config.value_dim =
      traits.head_dim > 0 ? traits.head_dim : keys_.CountOr("attention.value_length", config.key_dim, 4096);
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
  if (traits.plain_head_norm)
    weights.q_norm = weights.k_norm = {traits.head_norm, {}, {}, model.norm_epsilon};
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
