// Attention blocks, as the keys and tensors of a file say.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/gguf/gguf.h"
#include "model/load/builder.h"

namespace throng::model {

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
    if (!bias.empty()) {
      weights.q_bias.assign(bias.begin(), bias.begin() + q_rows);
      weights.k_bias.assign(bias.begin() + q_rows, bias.begin() + q_rows + k_rows);
      weights.v_bias.assign(bias.begin() + q_rows + k_rows, bias.end());
      return;
    }
    // Old files may have them apart although their matrices are one.
    weights.q_bias = tensors_.FindVectorOrNone(Name(layer, "attn_q", ".bias"), q_rows);
    weights.k_bias = tensors_.FindVectorOrNone(Name(layer, "attn_k", ".bias"), k_rows);
    weights.v_bias = tensors_.FindVectorOrNone(Name(layer, "attn_v", ".bias"), v_rows);
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
  config.value_dim = traits.head_dim > 0
                         ? traits.head_dim
                         : keys_.CountOr("attention.value_length", model.dim / model.num_heads, 4096);
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
  // Nothing leaves a window that no text fills.
  const int longest = std::max(context_, model.context_length);
  const kv::Reach reach{config.window < longest ? config.window : 0,
                        config.chunk < longest ? config.chunk : 0};
  config.cache_layer = config.owns_cache ? AddCacheLayer(shape, reach)
                                         : ShareCacheLayer(layer, traits.cache_layer, shape, reach);
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

}  // namespace throng::model
