// A random model of two layers, as the bytes of a GGUF file.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "model/gguf/gguf.h"
#include "model/gguf/gguf_writer.h"
#include "model/testing/test_matrices.h"

namespace throng::model {

struct TinyModel {
  std::string architecture = "llama";  // also qwen2, whose queries, keys and values have biases, and others
  TensorType type = TensorType::kQ8_0;
  int dim = 64, heads = 4, kv_heads = 2, head_dim = 16, ffn = 96, vocab = 64;
  int experts = 0;  // of which each token uses two; 0: none
  int window = 0;   // tokens that each layer sees; if not 0: phi3, whose gate and up weights are one tensor
  // The length of the key bias in these RoPE pairs of each head; if not 0, every architecture has biases.
  float key_bias = 0.0f;
  std::vector<int> bias_pairs{};
  int rope_dim = 0;  // elements of a head that are rotated; 0: all
  float rope_scaling = 1.0f;
  bool yarn = false;          // with rope_scaling: as YaRN instead of linearly
  bool rope_factors = false;  // divide the frequencies by 1 to 2
  // Names of a key or tensor to leave out and of a tensor to give another shape, and what adds more of both:
  // for tests of refusals.
  std::string without{};
  std::string reshaped{};
  std::function<void(GgufWriter&)> more{};

  std::vector<uint8_t> Bytes() const {
    GgufWriter writer;
    const std::string family = window > 0 ? "phi3" : architecture;
    writer.Add("general.architecture", family);
    const auto add = [&](const char* key, int value) {
      if (key != without) writer.Add(family + "." + key, static_cast<uint32_t>(value));
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
    if (experts > 0) {
      add("expert_count", experts);
      add("expert_used_count", 2);
    }
    if (rope_dim > 0) add("rope.dimension_count", rope_dim);
    if (rope_scaling != 1.0f) {
      writer.Add(family + ".rope.scaling.type", yarn ? "yarn" : "linear");
      if (yarn) add("rope.scaling.original_context_length", 64);
      writer.Add(family + ".rope.scaling.factor", rope_scaling);
    }
    writer.Add(family + ".attention.layer_norm_rms_epsilon", 1e-5f);
    AddTensor(writer, "token_embd.weight", type, dim, vocab);
    AddTensor(writer, "output_norm.weight", TensorType::kF32, dim, 1);
    if (rope_factors) {
      std::vector<float> factors(static_cast<size_t>(Rotated()) / 2);
      for (size_t i = 0; i < factors.size(); ++i) {
        factors[i] = 1.0f + static_cast<float>(i) / static_cast<float>(factors.size());
      }
      AddVector(writer, "rope_freqs.weight", factors);
    }
    for (const std::string prefix : {"blk.0.", "blk.1."}) {
      AddTensor(writer, prefix + "attn_norm.weight", TensorType::kF32, dim, 1);
      AddTensor(writer, prefix + "attn_q.weight", type, dim, heads * head_dim);
      AddTensor(writer, prefix + "attn_k.weight", type, dim, kv_heads * head_dim);
      AddTensor(writer, prefix + "attn_v.weight", type, dim, kv_heads * head_dim);
      if (architecture == "qwen2" || key_bias != 0.0f) {
        AddTensor(writer, prefix + "attn_q.bias", TensorType::kF32, heads * head_dim, 1);
        if (key_bias == 0.0f) {
          AddTensor(writer, prefix + "attn_k.bias", TensorType::kF32, kv_heads * head_dim, 1);
        } else {
          AddVector(writer, prefix + "attn_k.bias", KeyBias(family));
        }
        AddTensor(writer, prefix + "attn_v.bias", TensorType::kF32, kv_heads * head_dim, 1);
      }
      AddTensor(writer, prefix + "attn_output.weight", type, heads * head_dim, dim);
      const std::string ffn_norm = family == "gpt-oss" ? "post_attention_norm.weight" : "ffn_norm.weight";
      AddTensor(writer, prefix + ffn_norm, TensorType::kF32, dim, 1);
      if (experts > 0) {
        AddTensor(writer, prefix + "ffn_gate_inp.weight", TensorType::kF32, dim, experts);
        AddTensor(writer, prefix + "ffn_gate_exps.weight", type, dim, ffn, experts);
        AddTensor(writer, prefix + "ffn_up_exps.weight", type, dim, ffn, experts);
        AddTensor(writer, prefix + "ffn_down_exps.weight", type, ffn, dim, experts);
        continue;
      }
      if (window == 0) AddTensor(writer, prefix + "ffn_gate.weight", type, dim, ffn);
      AddTensor(writer, prefix + "ffn_up.weight", type, dim, window == 0 ? ffn : 2 * ffn);
      AddTensor(writer, prefix + "ffn_down.weight", type, ffn, dim);
    }
    if (more) more(writer);
    return writer.Finish();
  }

 private:
  int Rotated() const { return rope_dim > 0 ? rope_dim : head_dim; }

  // [kv_heads, head_dim]; each pair has another direction. Small elsewhere.
  std::vector<float> KeyBias(const std::string& family) const {
    std::vector<float> bias(static_cast<size_t>(kv_heads * head_dim));
    for (size_t i = 0; i < bias.size(); ++i) bias[i] = 0.01f * static_cast<float>(i % 5);
    for (int head = 0; head < kv_heads; ++head) {
      for (const int pair : bias_pairs) {
        const bool halves = family != "llama";
        const int first = head * head_dim + (halves ? pair : 2 * pair);
        const int second = head * head_dim + (halves ? pair + Rotated() / 2 : 2 * pair + 1);
        const float angle = 1.0f + static_cast<float>(pair) + 2.0f * static_cast<float>(head);
        bias[static_cast<size_t>(first)] = key_bias * std::cos(angle);
        bias[static_cast<size_t>(second)] = key_bias * std::sin(angle);
      }
    }
    return bias;
  }

  static void AddVector(GgufWriter& writer, const std::string& name, const std::vector<float>& values) {
    writer.AddTensor(name, TensorType::kF32, std::vector<uint64_t>{values.size()},
                     {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)});
  }

  void AddTensor(GgufWriter& writer, const std::string& name, TensorType of, int cols, int rows,
                 int matrices = 1) const {
    if (name == without) return;
    if (name == reshaped) cols += 32;
    std::vector<uint64_t> dims = {static_cast<uint64_t>(cols)};
    if (rows > 1) dims.push_back(static_cast<uint64_t>(rows));
    if (matrices > 1) dims.push_back(static_cast<uint64_t>(matrices));
    uint64_t seed = 1;
    for (const char c : name) seed = Mix64(seed + static_cast<unsigned char>(c));
    const size_t elements =
        static_cast<size_t>(cols) * static_cast<size_t>(rows) * static_cast<size_t>(matrices);
    writer.AddTensor(name, of, dims, RandomBlocks(of, elements, rows > 1 ? 0.2f : 1.5f, seed));
  }
};

}  // namespace throng::model
