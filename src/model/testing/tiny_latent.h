// A random model with latent attention, as the bytes of a GGUF file: deepseek2, a dense layer and one with
// experts.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "base/rng.h"
#include "model/gguf/gguf.h"
#include "model/gguf/gguf_writer.h"
#include "model/testing/test_matrices.h"

namespace throng::model {

struct TinyLatent {
  TensorType type = TensorType::kQ8_0;
  bool older = false;     // one matrix makes keys and values of the latent row
  bool q_rank = false;    // queries are made by way of a row of their own
  std::string without{};  // a tensor to leave out

  static constexpr int kDim = 64, kVocab = 64, kHeads = 4, kPlain = 32, kRope = 8, kValue = 16, kLatent = 32;

  std::vector<uint8_t> Bytes() const {
    GgufWriter writer;
    writer.Add("general.architecture", "deepseek2");
    const auto add = [&](const char* key, int value) {
      writer.Add(std::string("deepseek2.") + key, static_cast<uint32_t>(value));
    };
    add("context_length", 2048);
    add("embedding_length", kDim);
    add("block_count", 2);
    add("feed_forward_length", 96);
    add("attention.head_count", kHeads);
    add("attention.head_count_kv", older ? kHeads : 1);
    add("attention.key_length", older ? kPlain + kRope : kLatent + kRope);
    add("attention.value_length", older ? kValue : kLatent);
    if (!older) {
      add("attention.key_length_mla", kPlain + kRope);
      add("attention.value_length_mla", kValue);
    }
    add("attention.kv_lora_rank", kLatent);
    if (q_rank) add("attention.q_lora_rank", 32);
    add("rope.dimension_count", kRope);
    add("leading_dense_block_count", 1);
    add("expert_count", 4);
    add("expert_used_count", 2);
    add("expert_feed_forward_length", 32);
    writer.Add("deepseek2.attention.layer_norm_rms_epsilon", 1e-6f);
    Add(writer, "token_embd.weight", type, {kDim, kVocab});
    Add(writer, "output_norm.weight", TensorType::kF32, {kDim});
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      AddAttention(writer, layer);
      Add(writer, layer + "ffn_norm.weight", TensorType::kF32, {kDim});
      if (layer == "blk.0.") {
        AddFeedForward(writer, layer, "", 96, {});
        continue;
      }
      Add(writer, layer + "ffn_gate_inp.weight", TensorType::kF32, {kDim, 4});
      AddFeedForward(writer, layer, "_exps", 32, {4});
      AddFeedForward(writer, layer, "_shexp", 32, {});
    }
    return writer.Finish();
  }

 private:
  void AddAttention(GgufWriter& writer, const std::string& layer) const {
    Add(writer, layer + "attn_norm.weight", TensorType::kF32, {kDim});
    if (q_rank) {
      Add(writer, layer + "attn_q_a.weight", type, {kDim, 32});
      Add(writer, layer + "attn_q_a_norm.weight", TensorType::kF32, {32});
      Add(writer, layer + "attn_q_b.weight", type, {32, kHeads * (kPlain + kRope)});
    } else {
      Add(writer, layer + "attn_q.weight", type, {kDim, kHeads * (kPlain + kRope)});
    }
    Add(writer, layer + "attn_kv_a_mqa.weight", type, {kDim, kLatent + kRope});
    Add(writer, layer + "attn_kv_a_norm.weight", TensorType::kF32, {kLatent});
    if (older) {
      Add(writer, layer + "attn_kv_b.weight", type, {kLatent, kHeads * (kPlain + kValue)});
    } else {
      Add(writer, layer + "attn_k_b.weight", type, {kPlain, kLatent, kHeads});
      Add(writer, layer + "attn_v_b.weight", type, {kLatent, kValue, kHeads});
    }
    Add(writer, layer + "attn_output.weight", type, {kHeads * kValue, kDim});
  }

  void AddFeedForward(GgufWriter& writer, const std::string& layer, const std::string& suffix, int width,
                      std::vector<int> experts) const {
    const auto add = [&](const char* name, int cols, int rows) {
      std::vector<int> dims{cols, rows};
      dims.insert(dims.end(), experts.begin(), experts.end());
      Add(writer, layer + name + suffix + ".weight", type, dims);
    };
    add("ffn_gate", kDim, width);
    add("ffn_up", kDim, width);
    add("ffn_down", width, kDim);
  }

  void Add(GgufWriter& writer, const std::string& name, TensorType of, const std::vector<int>& dims) const {
    if (name == without) return;
    uint64_t seed = 1;
    for (const char c : name) seed = Mix64(seed + static_cast<unsigned char>(c));
    size_t elements = 1;
    for (const int dim : dims) elements *= static_cast<size_t>(dim);
    writer.AddTensor(name, of, std::vector<uint64_t>(dims.begin(), dims.end()),
                     RandomBlocks(of, elements, dims.size() > 1 ? 0.2f : 1.5f, seed));
  }
};

}  // namespace throng::model
