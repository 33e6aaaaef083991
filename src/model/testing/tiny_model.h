// A random model of two layers, as the bytes of a GGUF file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"
#include "model/gguf/gguf.h"
#include "model/gguf/gguf_writer.h"
#include "model/testing/test_matrices.h"

namespace throng::model {

struct TinyModel {
  std::string architecture = "llama";  // also qwen2, whose queries, keys and values have biases
  TensorType type = TensorType::kQ8_0;
  int dim = 64, heads = 4, kv_heads = 2, head_dim = 16, ffn = 96, vocab = 64;
  int window = 0;  // tokens that each layer sees; if not 0: phi3, whose gate and up weights are one tensor
  // Names of a tensor to leave out and of one to give another shape: for tests of refusals.
  std::string without{};
  std::string reshaped{};

  std::vector<uint8_t> Bytes() const {
    GgufWriter writer;
    const std::string family = window > 0 ? "phi3" : architecture;
    writer.Add("general.architecture", family);
    const auto add = [&](const char* key, int value) {
      writer.Add(family + "." + key, static_cast<uint32_t>(value));
    };
    add("context_length", 2048);
    add("embedding_length", dim);
    add("block_count", 2);
    add("feed_forward_length", ffn);
    add("attention.head_count", heads);
    add("attention.head_count_kv", kv_heads);
    add("attention.key_length", head_dim);
    add("attention.value_length", head_dim);
    if (window > 0) add("attention.sliding_window", window);
    writer.Add(family + ".attention.layer_norm_rms_epsilon", 1e-5f);
    AddTensor(writer, "token_embd.weight", type, dim, vocab);
    AddTensor(writer, "output_norm.weight", TensorType::kF32, dim, 1);
    for (const std::string prefix : {"blk.0.", "blk.1."}) {
      AddTensor(writer, prefix + "attn_norm.weight", TensorType::kF32, dim, 1);
      AddTensor(writer, prefix + "attn_q.weight", type, dim, heads * head_dim);
      AddTensor(writer, prefix + "attn_k.weight", type, dim, kv_heads * head_dim);
      AddTensor(writer, prefix + "attn_v.weight", type, dim, kv_heads * head_dim);
      if (architecture == "qwen2") {
        AddTensor(writer, prefix + "attn_q.bias", TensorType::kF32, heads * head_dim, 1);
        AddTensor(writer, prefix + "attn_k.bias", TensorType::kF32, kv_heads * head_dim, 1);
        AddTensor(writer, prefix + "attn_v.bias", TensorType::kF32, kv_heads * head_dim, 1);
      }
      AddTensor(writer, prefix + "attn_output.weight", type, heads * head_dim, dim);
      AddTensor(writer, prefix + "ffn_norm.weight", TensorType::kF32, dim, 1);
      if (window == 0) AddTensor(writer, prefix + "ffn_gate.weight", type, dim, ffn);
      AddTensor(writer, prefix + "ffn_up.weight", type, dim, window == 0 ? ffn : 2 * ffn);
      AddTensor(writer, prefix + "ffn_down.weight", type, ffn, dim);
    }
    return writer.Finish();
  }

 private:
  void AddTensor(GgufWriter& writer, const std::string& name, TensorType of, int cols, int rows) const {
    if (name == without) return;
    if (name == reshaped) cols += 32;
    std::vector<uint64_t> dims = {static_cast<uint64_t>(cols)};
    if (rows > 1) dims.push_back(static_cast<uint64_t>(rows));
    uint64_t seed = 1;
    for (const char c : name) seed = Mix64(seed + static_cast<unsigned char>(c));
    const size_t elements = static_cast<size_t>(cols) * static_cast<size_t>(rows);
    writer.AddTensor(name, of, dims, RandomBlocks(of, elements, rows > 1 ? 0.2f : 1.5f, seed));
  }
};

}  // namespace throng::model
