// A random model with recurrent layers, as the bytes of a GGUF file.
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

// Three layers: one recurrent, one with attention, one recurrent; in falcon-h1 each is both. Sizes of heads
// and channels are no multiples of a vector's.
class TinyHybrid {
 public:
  static constexpr const char* kArchitectures[] = {"qwen35",  "qwen35moe",     "qwen3next", "lfm2",
                                                   "lfm2moe", "granitehybrid", "falcon-h1"};

  TinyHybrid(std::string architecture, TensorType type) : architecture_(std::move(architecture)), type_(type) {}

  std::vector<uint8_t> Bytes() {
    const bool qwen = architecture_.starts_with("qwen");
    const bool lfm = architecture_.starts_with("lfm");
    const bool falcon = architecture_ == "falcon-h1";
    writer_.Add("general.architecture", architecture_);
    AddKeys(qwen, lfm);
    AddTensor("token_embd.weight", type_, {kDim, kVocab});
    AddTensor(lfm ? "token_embd_norm.weight" : "output_norm.weight", TensorType::kF32, {kDim});
    for (int layer = 0; layer < 3; ++layer) {
      prefix_ = "blk." + std::to_string(layer) + ".";
      AddTensor("attn_norm.weight", TensorType::kF32, {kDim});
      if (layer == 1 || falcon) AddAttention(qwen);
      if (layer != 1 || falcon) {
        if (qwen) {
          AddDeltaNet();
        } else if (lfm) {
          AddShortConv();
        } else {
          AddMamba2();
        }
      }
      const std::string suffix = falcon ? "" : ".weight";
      AddTensor((qwen ? "post_attention_norm" : "ffn_norm") + suffix, TensorType::kF32, {kDim});
      AddFeedForward(layer);
    }
    if (qwen) {
      // A block that guesses tokens, which nobody reads.
      prefix_ = "blk.3.";
      AddTensor("nextn.eh_proj.weight", type_, {2 * kDim, kDim});
    }
    return writer_.Finish();
  }

 private:
  static constexpr int kDim = 64, kVocab = 64, kFfn = 96, kHeads = 4, kKvHeads = 2, kHeadDim = 16;
  static constexpr int kState = 24, kSsmHeads = 4, kGroups = 2, kInner = 96, kTaps = 4;
  static constexpr int kChannels = kInner + 2 * kGroups * kState;
  static constexpr int kExperts = 4;

  bool HasExperts() const { return architecture_ == "qwen3next" || architecture_.ends_with("moe"); }

  void Key(const std::string& key, auto value) { writer_.Add(architecture_ + "." + key, value); }
  void Count(const std::string& key, int value) { Key(key, static_cast<uint32_t>(value)); }

  void AddKeys(bool qwen, bool lfm) {
    Count("context_length", 2048);
    Count("embedding_length", kDim);
    Count("block_count", qwen ? 4 : 3);
    if (qwen) Count("nextn_predict_layers", 1);
    Count("feed_forward_length", kFfn);
    Count("attention.head_count", kHeads);
    if (qwen || architecture_ == "falcon-h1") {
      Count("attention.head_count_kv", kKvHeads);
    } else {
      Key("attention.head_count_kv", std::vector<int32_t>{0, kKvHeads, 0});
    }
    Count("attention.key_length", kHeadDim);
    Count("attention.value_length", kHeadDim);
    Key("attention.layer_norm_rms_epsilon", 1e-5f);
    if (lfm) {
      Count("shortconv.l_cache", 3);
    } else {
      Count("ssm.conv_kernel", kTaps);
      Count("ssm.inner_size", kInner);
      Count("ssm.state_size", kState);
      Count("ssm.time_step_rank", kSsmHeads);
      Count("ssm.group_count", kGroups);
    }
    if (qwen) {
      Count("full_attention_interval", 2);
      Count("rope.dimension_count", 8);
      if (architecture_ != "qwen3next") Key("rope.dimension_sections", std::vector<int32_t>{2, 1, 1, 0});
    }
    if (!HasExperts()) return;
    Count("expert_count", kExperts);
    Count("expert_used_count", 2);
    Count("expert_feed_forward_length", kFfn);
    if (lfm) {
      Count("expert_gating_func", 2);
      Count("leading_dense_block_count", 1);
    }
  }

  void AddAttention(bool gated) {
    AddTensor("attn_q.weight", type_, {kDim, kHeads * kHeadDim * (gated ? 2 : 1)});
    AddTensor("attn_k.weight", type_, {kDim, kKvHeads * kHeadDim});
    AddTensor("attn_v.weight", type_, {kDim, kKvHeads * kHeadDim});
    AddTensor("attn_q_norm.weight", TensorType::kF32, {kHeadDim});
    AddTensor("attn_k_norm.weight", TensorType::kF32, {kHeadDim});
    AddTensor("attn_output.weight", type_, {kHeads * kHeadDim, kDim});
  }

  void AddDeltaNet() {
    AddTensor("attn_qkv.weight", type_, {kDim, kChannels});
    AddTensor("attn_gate.weight", type_, {kDim, kInner});
    if (architecture_ == "qwen3next") {
      AddTensor("ssm_ba.weight", type_, {kDim, 2 * kSsmHeads});
    } else {
      AddTensor("ssm_alpha.weight", type_, {kDim, kSsmHeads});
      AddTensor("ssm_beta.weight", type_, {kDim, kSsmHeads});
    }
    AddTensor("ssm_norm.weight", TensorType::kF32, {kState});
    AddRates({kSsmHeads});
  }

  void AddMamba2() {
    AddTensor("ssm_in.weight", type_, {kDim, kInner + kChannels + kSsmHeads});
    AddTensor("ssm_conv1d.bias", TensorType::kF32, {kChannels});
    AddTensor("ssm_d", TensorType::kF32, {1, kSsmHeads});
    AddTensor("ssm_norm.weight", TensorType::kF32, {kInner / kGroups, kGroups});
    AddRates({1, kSsmHeads});
  }

  // What delta nets and Mamba-2 have alike.
  void AddRates(const std::vector<int>& dims) {
    AddTensor("ssm_conv1d.weight", TensorType::kF32, {kTaps, kChannels});
    AddTensor("ssm_dt.bias", TensorType::kF32, {kSsmHeads});
    constexpr float kRates[kSsmHeads] = {-0.02f, -0.1f, -0.5f, -2.0f};
    writer_.AddTensor(prefix_ + "ssm_a", TensorType::kF32, std::vector<uint64_t>(dims.begin(), dims.end()),
                      {reinterpret_cast<const uint8_t*>(kRates), sizeof(kRates)});
    AddTensor("ssm_out.weight", type_, {kInner, kDim});
  }

  void AddShortConv() {
    AddTensor("shortconv.in_proj.weight", type_, {kDim, 3 * kDim});
    AddTensor("shortconv.conv.weight", TensorType::kF32, {3, kDim});
    AddTensor("shortconv.out_proj.weight", type_, {kDim, kDim});
  }

  void AddFeedForward(int layer) {
    const bool lfm = architecture_ == "lfm2moe";
    if (!HasExperts() || (lfm && layer == 0)) return AddDense("");
    AddTensor("ffn_gate_inp.weight", TensorType::kF32, {kDim, kExperts});
    AddTensor("ffn_gate_exps.weight", type_, {kDim, kFfn, kExperts});
    AddTensor("ffn_up_exps.weight", type_, {kDim, kFfn, kExperts});
    AddTensor("ffn_down_exps.weight", type_, {kFfn, kDim, kExperts});
    if (lfm) return AddTensor("exp_probs_b.bias", TensorType::kF32, {kExperts});
    AddTensor("ffn_gate_inp_shexp.weight", TensorType::kF32, {kDim});
    AddDense("_shexp");
  }

  void AddDense(const std::string& suffix) {
    AddTensor("ffn_gate" + suffix + ".weight", type_, {kDim, kFfn});
    AddTensor("ffn_up" + suffix + ".weight", type_, {kDim, kFfn});
    AddTensor("ffn_down" + suffix + ".weight", type_, {kFfn, kDim});
  }

  void AddTensor(const std::string& name, TensorType of, const std::vector<int>& dims) {
    const std::string full = prefix_ + name;
    uint64_t seed = 1;
    for (const char c : full) seed = Mix64(seed + static_cast<unsigned char>(c));
    size_t elements = 1;
    for (const int dim : dims) elements *= static_cast<size_t>(dim);
    writer_.AddTensor(full, of, std::vector<uint64_t>(dims.begin(), dims.end()),
                      RandomBlocks(of, elements, dims.size() > 1 ? 0.3f : 1.5f, seed));
  }

  const std::string architecture_;
  const TensorType type_;
  GgufWriter writer_;
  std::string prefix_;
};

}  // namespace throng::model
