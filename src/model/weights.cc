#include "model/weights.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <new>
#include <string_view>
#include <unordered_set>

#include "base/cores.h"
#include "base/error.h"
#include "base/text/human_bytes.h"
#include "base/thread_pool.h"
#include "model/matmul/block_formats.h"

namespace throng::model {
namespace {

class Finder {
 public:
  explicit Finder(const GgufFile& file) : file_(file) {}

  // [rows, cols]; in the file's order of dimensions: cols, rows.
  Matrix FindMatrix(const std::string& name, int rows, int cols) const {
    const TensorInfo& tensor = Find(name, {static_cast<uint64_t>(cols), static_cast<uint64_t>(rows)});
    return Matrix{tensor.type, static_cast<size_t>(rows), static_cast<size_t>(cols), tensor.data.data()};
  }

  std::vector<float> FindVector(const std::string& name, int size) const {
    const TensorInfo& tensor = Find(name, {static_cast<uint64_t>(size), 1});
    std::vector<float> out(static_cast<size_t>(size));
    DequantizeRow(tensor.type, tensor.data.data(), out.size(), out.data());
    return out;
  }

  bool Has(const std::string& name) const { return file_.FindTensor(name) != nullptr; }

  // Throws kUnsupported if the file has a tensor that nothing asked for: it would change what is computed.
  void RefuseOthers() const {
    for (const TensorInfo& tensor : file_.Tensors()) {
      if (used_.contains(tensor.name)) continue;
      throw MakeError(ErrorCode::kUnsupported, "{}: tensor {} is not among those that '{}' is computed with",
                      file_.Name(), tensor.name.substr(0, 100), file_.String("general.architecture"));
    }
  }

 private:
  const TensorInfo& Find(const std::string& name, std::array<uint64_t, 2> dims) const {
    const std::string expected =
        dims[1] == 1 ? fmt::format("[{}]", dims[0]) : fmt::format("[{}, {}]", dims[0], dims[1]);
    const TensorInfo* tensor = file_.FindTensor(name);
    if (!tensor) {
      throw MakeError(ErrorCode::kCorrupt, "{}: tensor {} is missing; shape {} is expected", file_.Name(),
                      name, expected);
    }
    if (tensor->dims != std::array<uint64_t, 4>{dims[0], dims[1], 1, 1}) {
      throw MakeError(ErrorCode::kCorrupt, "{}: tensor {} has shape {}; {} is expected", file_.Name(), name,
                      tensor->Shape(), expected);
    }
    if (!BlockSizeOf(tensor->type)) {
      throw MakeError(ErrorCode::kUnsupported, "{}: tensor {} has {}; {} can be computed with", file_.Name(),
                      name, TensorTypeName(tensor->type), TensorTypeNames());
    }
    used_.insert(tensor->name);
    return *tensor;
  }

  const GgufFile& file_;
  mutable std::unordered_set<std::string_view> used_;
};

void FindAttention(const Finder& finder, const ModelConfig& config, const std::string& prefix,
                   LayerWeights& layer) {
  const int query_dim = config.QueryDim();
  const int kv_dim = config.KvDim();
  layer.attention_norm = finder.FindVector(prefix + "attn_norm.weight", config.dim);
  if (config.fused_qkv && finder.Has(prefix + "attn_qkv.weight")) {
    const Matrix fused = finder.FindMatrix(prefix + "attn_qkv.weight", query_dim + 2 * kv_dim, config.dim);
    layer.q = fused.Rows(0, query_dim);
    layer.k = fused.Rows(query_dim, kv_dim);
    layer.v = fused.Rows(query_dim + kv_dim, kv_dim);
  } else {
    layer.q = finder.FindMatrix(prefix + "attn_q.weight", query_dim, config.dim);
    layer.k = finder.FindMatrix(prefix + "attn_k.weight", kv_dim, config.dim);
    layer.v = finder.FindMatrix(prefix + "attn_v.weight", kv_dim, config.dim);
  }
  if (config.qkv_bias || finder.Has(prefix + "attn_q.bias")) {
    layer.q_bias = finder.FindVector(prefix + "attn_q.bias", query_dim);
    layer.k_bias = finder.FindVector(prefix + "attn_k.bias", kv_dim);
    layer.v_bias = finder.FindVector(prefix + "attn_v.bias", kv_dim);
  }
  if (config.qk_norm) {
    layer.q_norm = finder.FindVector(prefix + "attn_q_norm.weight", config.head_dim);
    layer.k_norm = finder.FindVector(prefix + "attn_k_norm.weight", config.head_dim);
  }
  layer.output = finder.FindMatrix(prefix + "attn_output.weight", config.dim, query_dim);
}

void FindFeedForward(const Finder& finder, const ModelConfig& config, const std::string& prefix,
                     LayerWeights& layer) {
  layer.ffn_norm = finder.FindVector(prefix + "ffn_norm.weight", config.dim);
  if (config.fused_qkv) {
    const Matrix fused = finder.FindMatrix(prefix + "ffn_up.weight", 2 * config.ffn_dim, config.dim);
    layer.gate = fused.Rows(0, config.ffn_dim);
    layer.up = fused.Rows(config.ffn_dim, config.ffn_dim);
  } else {
    layer.gate = finder.FindMatrix(prefix + "ffn_gate.weight", config.ffn_dim, config.dim);
    layer.up = finder.FindMatrix(prefix + "ffn_up.weight", config.ffn_dim, config.dim);
  }
  layer.down = finder.FindMatrix(prefix + "ffn_down.weight", config.dim, config.ffn_dim);
  if (config.post_norms) {
    layer.post_attention_norm = finder.FindVector(prefix + "post_attention_norm.weight", config.dim);
    layer.post_ffn_norm = finder.FindVector(prefix + "post_ffw_norm.weight", config.dim);
  }
}

// ", over the memory of nodes 0 (16 of our cores), 1 (16 of our cores)"; empty for one.
std::string OverNodes(const std::vector<MemoryNode>& nodes) {
  if (nodes.size() < 2) return "";
  std::string text;
  for (const MemoryNode& node : nodes) {
    text += fmt::format("{} {} ({} of our cores)", text.empty() ? ", over the memory of nodes" : ",", node.id,
                        node.cores);
  }
  return text;
}

}  // namespace

Weights ReadWeights(const GgufFile& file, const ModelConfig& config) {
  const Finder finder(file);
  Weights weights{};
  weights.embedding = finder.FindMatrix("token_embd.weight", config.vocab_size, config.dim);
  weights.output = finder.Has("output.weight")
                       ? finder.FindMatrix("output.weight", config.vocab_size, config.dim)
                       : weights.embedding;
  weights.output_norm = finder.FindVector("output_norm.weight", config.dim);
  if (finder.Has("rope_freqs.weight")) {
    weights.rope_factors = finder.FindVector("rope_freqs.weight", config.rope_dim / 2);
    for (const float factor : weights.rope_factors) {
      if (!(factor > 0)) {
        throw MakeError(ErrorCode::kCorrupt,
                        "{}: tensor rope_freqs.weight holds {}; positive numbers are expected", file.Name(),
                        factor);
      }
    }
  }
  if (finder.Has("rope_factors_long.weight") || finder.Has("rope_factors_short.weight")) {
    throw MakeError(ErrorCode::kUnsupported,
                    "{}: rope factors that depend on the prompt's length are not computed", file.Name());
  }
  weights.bytes = weights.output.Bytes();
  // Not resized at once: a file may claim many layers and hold none.
  for (int i = 0; i < config.num_layers; ++i) {
    LayerWeights layer;
    const std::string prefix = fmt::format("blk.{}.", i);
    FindAttention(finder, config, prefix, layer);
    FindFeedForward(finder, config, prefix, layer);
    for (const Matrix* matrix :
         {&layer.q, &layer.k, &layer.v, &layer.output, &layer.gate, &layer.up, &layer.down}) {
      weights.bytes += matrix->Bytes();
    }
    weights.layers.push_back(std::move(layer));
  }
  finder.RefuseOthers();
  return weights;
}

void Repack(Weights& weights, ThreadPool& pool, const AllocateFn& allocate) {
  std::vector<Matrix*> matrices{&weights.output};
  for (LayerWeights& layer : weights.layers) {
    for (Matrix* m : {&layer.q, &layer.k, &layer.v, &layer.output, &layer.gate, &layer.up, &layer.down}) {
      matrices.push_back(m);
    }
  }
  weights.repacked.reserve(matrices.size());
  const auto begin = std::chrono::steady_clock::now();
  size_t copied = 0;
  size_t bytes = 0;
  try {
    for (Matrix* matrix : matrices) {
      RepackedMatrix& repacked = weights.repacked.emplace_back(*matrix, allocate);
      pool.ParallelFor(repacked.NumStrips(), [&](size_t strip, int) { repacked.Write(strip); });
      *matrix = repacked.View();
      ++copied;
      bytes += matrix->Bytes();
    }
  } catch (const std::bad_alloc&) {
    spdlog::warn(
        "no memory for a copy of the weights: {} of {} matrices are read where they are mapped, more slowly",
        matrices.size() - copied, matrices.size());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  constexpr double kNoticed = 0.1;  // seconds
  spdlog::log(took.count() < kNoticed ? spdlog::level::debug : spdlog::level::info,
              "copied {} of weights in {:.1f} s so that tokens come faster (--repack){}",
              HumanBytes(static_cast<double>(bytes)), took.count(), OverNodes(MemoryNodes()));
}

size_t WeightBytes(const GgufFile& file) {
  const bool tied = file.FindTensor("output.weight") == nullptr;
  size_t bytes = 0;
  for (const TensorInfo& tensor : file.Tensors()) {
    if (tied || tensor.name != "token_embd.weight") bytes += tensor.data.size();
  }
  return bytes;
}

Digest DigestOfModel(const GgufFile& file, const ModelConfig& config) {
  Hasher hasher;
  hasher.Add(config.architecture).Add(config.dim).Add(config.num_layers).Add(config.num_heads);
  hasher.Add(config.num_kv_heads).Add(config.head_dim).Add(config.ffn_dim).Add(config.vocab_size);
  hasher.Add(config.rms_epsilon).Add(config.rope_dim).Add(config.rope_base).Add(config.rope_scale);
  hasher.Add(config.window).Add(config.window_pattern).Add(config.window_rope_base);
  for (const TensorInfo& tensor : file.Tensors()) {
    hasher.Add(tensor.name).Add(tensor.type);
    for (const uint64_t dim : tensor.dims) hasher.Add(dim);
    hasher.Bytes(tensor.data.data(), tensor.data.size());
  }
  return hasher.Finish();
}

}  // namespace throng::model
