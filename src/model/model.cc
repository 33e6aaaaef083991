#include "model/model.h"

#include <algorithm>

#include "model/architectures/architectures.h"
#include "model/gguf/gguf.h"
#include "model/load/builder.h"

namespace throng::model {
namespace {

// Keys whose values the config holds.
constexpr std::string_view kInConfig[] = {
    "context_length",         "embedding_length",         "block_count",
    "attention.head_count",   "attention.head_count_kv",  "attention.key_length",
    "attention.value_length", "feed_forward_length",      "attention.layer_norm_rms_epsilon",
    "rope.dimension_count",   "rope.freq_base",           "rope.scaling.type",
    "rope.scaling.factor",    "attention.sliding_window", "rope.freq_base_swa"};

bool IsInConfig(const GgufFile& file, std::string_view key) {
  const std::string_view name = key.substr(key.find('.') + 1);
  if (std::ranges::find(kInConfig, name) == std::end(kInConfig)) return false;
  // A list may have other numbers than the largest.
  return !file.IsArray(key);
}

}  // namespace

std::unique_ptr<Model> BuildModel(const GgufFile& file, int context) {
  Refusals refusals;
  return BuildModel(file, refusals, context);
}

std::unique_ptr<Model> BuildModel(const GgufFile& file, Refusals& refusals, int context) {
  RefuseUnknownTypes(file, refusals);
  const Architecture& architecture = FindArchitecture(file);
  auto model = std::make_unique<Model>();
  ModelBuilder builder(file, architecture.name, refusals, context, *model);
  architecture.build(builder);
  for (const std::string& key : builder.Keys().Read()) {
    if (!IsInConfig(file, key)) model->other_keys.push_back(key);
  }
  model->ForEachMatrix([&](Matrix& matrix) { model->bytes += matrix.Bytes(); });
  for (size_t i = 0; i < model->layers.size(); ++i) {
    model->layers[i]->ForEachBlock([&](Block& block, const Norm&) {
      if (block.FillsCache()) model->last_filling = i;
    });
  }
  return model;
}

void Model::ForEachMatrix(const std::function<void(Matrix&)>& visit) {
  visit(output);
  for (const auto& layer : layers) layer->ForEachMatrix(visit);
}

std::vector<Model::CacheLayer> Model::CacheLayers() {
  std::vector<CacheLayer> cache_layers(config.cache_layers.size());
  for (const auto& layer : layers) {
    layer->ForEachBlock([&](Block& block, const Norm& input) {
      const auto* attention = dynamic_cast<const AttentionBlock*>(&block);
      if (attention == nullptr || !attention->Config().owns_cache) return;
      cache_layers[static_cast<size_t>(attention->Config().cache_layer)] = {attention, &input};
    });
  }
  return cache_layers;
}

size_t WeightBytes(const GgufFile& file) {
  const bool tied = file.FindTensor("output.weight") == nullptr;
  size_t bytes = 0;
  for (const TensorInfo& tensor : file.Tensors()) {
    if (tensor.name == "per_layer_token_embd.weight") continue;
    if (tied || tensor.name != "token_embd.weight") bytes += tensor.bytes;
  }
  return bytes;
}

Digest DigestOfModel(const GgufFile& file, const Model& model) {
  const ModelConfig& config = model.config;
  Hasher hasher;
  hasher.Add(config.architecture).Add(config.dim).Add(config.num_layers).Add(config.num_heads);
  hasher.Add(config.num_kv_heads).Add(config.head_dim).Add(config.ffn_dim).Add(config.vocab_size);
  hasher.Add(config.norm_epsilon).Add(config.rope_dim).Add(config.rope_base).Add(config.rope_scale);
  hasher.Add(config.window).Add(config.window_pattern).Add(config.window_rope_base);
  if (config.long_factors) hasher.Add(*config.long_factors);
  for (const std::string& key : model.other_keys) {
    const std::span<const uint8_t> raw = file.Raw(key);
    hasher.Add(key).Add(raw.size()).Bytes(raw.data(), raw.size());
  }
  for (const TensorInfo& tensor : file.Tensors()) {
    hasher.Add(tensor.name).Add(tensor.type);
    // Earlier versions multiplied these with activations in f32.
    if (tensor.type == TensorType::kBF16) hasher.Add("activations in BF16");
    for (const uint64_t dim : tensor.dims) hasher.Add(dim);
    hasher.Bytes(tensor.data.data(), tensor.data.size());
  }
  return hasher.Finish();
}

}  // namespace throng::model
