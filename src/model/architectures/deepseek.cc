#include <cmath>

#include "base/error.h"
#include "model/architectures/architectures.h"
#include "model/architectures/standard.h"
#include "model/blocks/latent_attention_block.h"
#include "model/gguf/gguf.h"
#include "model/matmul/block_formats.h"
#include "model/row_ops.h"

namespace throng::model {
namespace {

// Files of the older form hold one matrix that makes keys and values of each head from the latent row:
// [heads, plain_dim + value_dim, latent_dim]. Splits it into the two matrices of the newer form, of which
// the first is transposed.
void Split(const Matrix& kv, const LatentAttentionConfig& config, LatentAttentionWeights& weights) {
  if (kv.data == nullptr) return;  // there is a header alone
  const auto heads = static_cast<size_t>(config.num_heads);
  const auto plain = static_cast<size_t>(config.plain_dim);
  const auto value = static_cast<size_t>(config.value_dim);
  const auto latent = static_cast<size_t>(config.latent_dim);
  weights.to_latent_rows.resize(heads * latent * plain);
  weights.from_latent_rows.resize(heads * value * latent);
  std::vector<float> row(latent);
  for (size_t h = 0; h < heads; ++h) {
    for (size_t i = 0; i < plain + value; ++i) {
      const Matrix one = kv.Rows(h * (plain + value) + i, 1);
      DequantizeRow(one.type, one.data, latent, row.data());
      if (one.scales != nullptr) Scale(row.data(), *one.scales, latent);
      if (i >= plain) {
        std::copy(row.begin(), row.end(), &weights.from_latent_rows[(h * value + i - plain) * latent]);
        continue;
      }
      for (size_t j = 0; j < latent; ++j) weights.to_latent_rows[(h * latent + j) * plain + i] = row[j];
    }
  }
  const auto view = [&](const std::vector<float>& rows, size_t cols) {
    return Matrix{TensorType::kF32,
                  rows.size() / cols,
                  cols,
                  reinterpret_cast<const uint8_t*>(rows.data()),
                  false,
                  heads};
  };
  weights.to_latent = view(weights.to_latent_rows, plain);
  weights.from_latent = view(weights.from_latent_rows, latent);
}

std::unique_ptr<Block> LatentAttention(ModelBuilder& builder, int layer, LatentAttentionConfig config) {
  const Tensors& tensors = builder.GetTensors();
  const int dim = builder.Config().dim;
  const auto name = [&](const char* tensor) { return ModelBuilder::Name(layer, tensor); };
  LatentAttentionWeights weights;
  const int q_rows = config.num_heads * config.QueryDim();
  if (tensors.Has(name("attn_q"))) {
    weights.q = tensors.FindMatrix(name("attn_q"), q_rows, dim);
  } else {
    const int rank = builder.Keys().Count("attention.q_lora_rank", 1 << 20);
    weights.q_down = tensors.FindMatrix(name("attn_q_a"), rank, dim);
    weights.q_norm = builder.FindNorm(ModelBuilder::Name(layer, "attn_q_a_norm", ""), rank);
    weights.q = tensors.FindMatrix(name("attn_q_b"), q_rows, rank);
  }
  weights.kv_down = tensors.FindMatrix(name("attn_kv_a_mqa"), config.KeyDim(), dim);
  weights.latent_norm = builder.FindNorm(ModelBuilder::Name(layer, "attn_kv_a_norm", ""), config.latent_dim);
  if (tensors.Has(name("attn_k_b"))) {
    weights.to_latent =
        tensors.FindExperts(name("attn_k_b"), config.num_heads, config.latent_dim, config.plain_dim);
    weights.from_latent =
        tensors.FindExperts(name("attn_v_b"), config.num_heads, config.value_dim, config.latent_dim);
  } else {
    const int rows = config.num_heads * (config.plain_dim + config.value_dim);
    Split(tensors.FindMatrix(name("attn_kv_b"), rows, config.latent_dim), config, weights);
  }
  weights.output = tensors.FindMatrix(name("attn_output"), dim, config.num_heads * config.value_dim);
  config.cache_layer = builder.AddCacheLayer({.num_kv_heads = 1,
                                              .key_dim = config.KeyDim(),
                                              .value_dim = config.latent_dim,
                                              .values_in_keys = true});
  return std::make_unique<LatentAttentionBlock>(config, std::move(weights));
}

LatentAttentionConfig ReadAttention(ModelBuilder& builder) {
  const Metadata& keys = builder.Keys();
  const ModelConfig& model = builder.Config();
  LatentAttentionConfig config{};
  config.num_heads = model.num_heads;
  config.rope = builder.FileRope(/*halves=*/false);
  config.latent_dim = keys.Count("attention.kv_lora_rank", 1 << 16);
  // The newer form has the sizes in the cache under the usual names.
  const bool newer = keys.Has("attention.key_length_mla");
  const int key_dim = newer ? keys.Count("attention.key_length_mla", 4096) : model.head_dim;
  const int value_dim = keys.Count("attention.value_length", 4096);
  config.value_dim = newer ? keys.Count("attention.value_length_mla", 4096) : value_dim;
  config.plain_dim = key_dim - config.RopeDim();
  if (config.plain_dim < 1) {
    throw MakeError(ErrorCode::kCorrupt,
                    "{}: keys of {} elements, of which {} are rotated; fewer are expected",
                    keys.File().Name(), key_dim, config.RopeDim());
  }
  // YaRN's factor of scores that is not in the rotations (ModelBuilder::FileRope).
  double magnitude = config.rope->table.Magnitude();
  magnitude *= 1.0 - static_cast<double>(keys.NumberOr("rope.scaling.yarn_log_multiplier", 0.0)) *
                         std::log(static_cast<double>(model.rope_scale));
  config.scale = static_cast<float>(magnitude * magnitude / std::sqrt(key_dim));
  config.temperature = {
      .scale = keys.NumberOr("attention.temperature_scale", 0.0),
      .period = keys.CountOr("attention.temperature_length", model.context_length, 1 << 28)};
  return config;
}

// Files without a gating function are of DeepSeek-V2, or of GLM-4.7-Flash, which no key tells apart.
RouterConfig ReadRouter(const ModelBuilder& builder) {
  const ModelConfig& config = builder.Config();
  const bool glm = (config.num_layers == 47 || config.num_layers == 48) && config.vocab_size == 154880;
  using Scoring = RouterConfig::Scoring;
  return builder.ReadRouter({.scoring = glm ? Scoring::kSigmoid : Scoring::kSoftmax});
}

// DeepSeek-V2 and V3, Kimi K2, GLM-4.7-Flash and others; some have no experts.
void BuildDeepSeek2(ModelBuilder& builder) {
  const LatentAttentionConfig attention = ReadAttention(builder);
  const bool has_experts = builder.HasExperts();
  const RouterConfig router = has_experts ? ReadRouter(builder) : RouterConfig();
  int num_dense = builder.Keys().CountOr("leading_dense_block_count", 0, 4096, 0);
  if (!has_experts) num_dense = builder.NumLayers();
  for (int i = 0; i < builder.NumLayers(); ++i) {
    auto block = LatentAttention(builder, i, attention);
    if (i < num_dense) {
      AddStandardLayer(builder, i, std::move(block), builder.FeedForward(i));
    } else {
      AddStandardLayer(builder, i, std::move(block), ExpertsAndShared(builder, i, {.router = router}));
    }
  }
  builder.Finish();
}

constexpr Architecture kDeepSeek[] = {{"deepseek2", BuildDeepSeek2}};

}  // namespace

std::span<const Architecture> DeepSeekArchitectures() { return kDeepSeek; }

}  // namespace throng::model
