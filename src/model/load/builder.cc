#include "model/load/builder.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "model/gguf/gguf.h"

namespace throng::model {
namespace {

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
                           int context, Model& model)
    : file_(file),
      context_(context),
      keys_(file, architecture, refusals),
      tensors_(file, refusals),
      model_(model) {
  model_.config.architecture = architecture;
  model_.config.name = file.StringOr("general.name", "");
  const std::string prefix = std::string(architecture) + ".";
  if (!file.BoolOr(prefix + "attention.causal", true)) {
    keys_.Refuse("attention.causal", "false", "models whose tokens see those before them");
  }
  model_.config.pooling = ReadPooling(file, keys_, prefix);
  ReadSizes();
  const ModelConfig& config = model_.config;
  model_.embedding = tensors_.FindTable("token_embd.weight", config.vocab_size, config.dim);
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

int ModelBuilder::AddCacheLayer(const kv::LayerShape& shape, const kv::Reach& reach) {
  model_.config.cache_layers.push_back(shape);
  model_.config.cache_reaches.push_back(reach);
  return static_cast<int>(model_.config.cache_layers.size()) - 1;
}

int ModelBuilder::AddRecurrentLayer(size_t floats) {
  std::vector<size_t>& layers = model_.config.state_floats;
  layers.push_back(floats);
  return static_cast<int>(layers.size()) - 1;
}

// Checks that a layer can use the pages of an earlier one, whose open pages are then kept for it.
int ModelBuilder::ShareCacheLayer(int layer, int cache_layer, const kv::LayerShape& shape,
                                  const kv::Reach& reach) {
  std::vector<kv::LayerShape>& layers = model_.config.cache_layers;
  const auto index = static_cast<size_t>(cache_layer);
  if (index < layers.size()) {
    layers[index].kept = shape.kept;
    kv::Reach& widest = model_.config.cache_reaches[index];
    if (reach != widest) widest = {};
    if (layers[index] == shape) return cache_layer;
  }
  throw MakeError(
      ErrorCode::kCorrupt,
      "{}: layer {} uses the keys and values of layer {}, which is not an earlier layer with heads of "
      "the same number and size",
      file_.Name(), layer, cache_layer);
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
