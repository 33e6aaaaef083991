// Random models of the Gemma family, as the bytes of GGUF files: they have parts that no other model has.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/rng.h"
#include "model/gguf/gguf.h"
#include "model/gguf/gguf_writer.h"
#include "model/testing/test_matrices.h"

namespace throng::model {

// Layers take turns: a window, then everything.
struct TinyGemma {
  std::string architecture = "gemma4";  // gemma2, gemma3n or gemma4
  TensorType type = TensorType::kQ8_0;
  bool experts = false;  // gemma4 of the other kind: experts, values from keys, nothing shared or per layer
  int shared = 2;        // layers at the end that use the keys and values of layers before them
  // Adds keys or tensors, for tests of refusals.
  std::function<void(GgufWriter&)> more{};

  static constexpr int kDim = 64, kVocab = 64, kLayers = 4, kHeads = 4, kFfn = 96, kWidth = 32, kStreams = 4;

  std::vector<uint8_t> Bytes() const {
    GgufWriter writer;
    writer.Add("general.architecture", architecture);
    AddKeys(writer);
    AddMatrix(writer, "token_embd.weight", kDim, kVocab);
    AddVector(writer, "output_norm.weight", kDim);
    if (HasWidth()) {
      AddMatrix(writer, "per_layer_token_embd.weight", kLayers * kWidth, kVocab);
      AddMatrix(writer, "per_layer_model_proj.weight", kDim, kLayers * kWidth);
      AddVector(writer, "per_layer_proj_norm.weight", kWidth);
    }
    if (architecture == "gemma3n") {
      AddMatrix(writer, "altup_proj.weight", kDim, kDim, kStreams - 1);
      AddMatrix(writer, "altup_unembd_proj.weight", kDim, kDim, kStreams - 1);
    }
    for (int i = 0; i < kLayers; ++i) AddLayer(writer, i);
    if (more) more(writer);
    return writer.Finish();
  }

 private:
  bool HasWidth() const { return architecture != "gemma2" && !experts; }
  int NumShared() const { return HasWidth() ? shared : 0; }
  static bool IsWindowed(int layer) { return layer % 2 == 0; }
  // Those of layers that see everything are larger in gemma4.
  int HeadDim(int layer) const { return architecture == "gemma4" && !IsWindowed(layer) ? 32 : 16; }
  int KvHeads(int layer) const { return architecture == "gemma4" && !IsWindowed(layer) ? 1 : 2; }

  void AddKeys(GgufWriter& writer) const {
    const auto key = [&](const char* name) { return architecture + "." + name; };
    const auto add = [&](const char* name, int value) {
      writer.Add(key(name), static_cast<uint32_t>(value));
    };
    add("context_length", 2048);
    add("embedding_length", kDim);
    add("block_count", kLayers);
    add("feed_forward_length", kFfn);
    add("attention.head_count", kHeads);
    const std::array<int32_t, kLayers> kv_heads = {KvHeads(0), KvHeads(1), KvHeads(2), KvHeads(3)};
    writer.Add(key("attention.head_count_kv"), kv_heads);
    add("attention.key_length", HeadDim(1));
    add("attention.value_length", HeadDim(1));
    add("attention.sliding_window", 20);
    writer.Add(key("attention.layer_norm_rms_epsilon"), 1e-6f);
    if (architecture == "gemma2") return;
    writer.Add(key("attention.sliding_window_pattern"), std::array{true, false, true, false});
    add("attention.shared_kv_layers", NumShared());
    add("embedding_length_per_layer_input", HasWidth() ? kWidth : 0);
    if (architecture == "gemma3n") {
      constexpr float kNowhere = -std::numeric_limits<float>::infinity();
      writer.Add(key("activation_sparsity_scale"), std::array{1.0f, kNowhere, 1.0f, kNowhere});
      return;
    }
    add("attention.key_length_swa", HeadDim(0));
    add("attention.value_length_swa", HeadDim(0));
    add("rope.dimension_count_swa", HeadDim(0));
    if (!experts) return;
    add("expert_count", 4);
    add("expert_used_count", 2);
    add("expert_feed_forward_length", 32);
  }

  void AddLayer(GgufWriter& writer, int layer) const {
    const std::string at = "blk." + std::to_string(layer) + ".";
    const bool owns = layer < kLayers - NumShared();
    const int head_dim = HeadDim(layer);
    AddVector(writer, at + "attn_norm.weight", kDim);
    AddMatrix(writer, at + "attn_q.weight", kDim, kHeads * head_dim);
    if (owns) AddMatrix(writer, at + "attn_k.weight", kDim, KvHeads(layer) * head_dim);
    if (owns && !(experts && !IsWindowed(layer))) {
      AddMatrix(writer, at + "attn_v.weight", kDim, KvHeads(layer) * head_dim);
    }
    if (architecture != "gemma2") {
      AddVector(writer, at + "attn_q_norm.weight", head_dim);
      if (owns) AddVector(writer, at + "attn_k_norm.weight", head_dim);
    }
    AddMatrix(writer, at + "attn_output.weight", kHeads * head_dim, kDim);
    AddMatrix(writer, at + "ffn_gate.weight", kDim, kFfn);
    AddMatrix(writer, at + "ffn_up.weight", kDim, kFfn);
    AddMatrix(writer, at + "ffn_down.weight", kFfn, kDim);
    for (const char* norm : {"post_attention_norm.weight", "ffn_norm.weight", "post_ffw_norm.weight"}) {
      AddVector(writer, at + norm, kDim);
    }
    if (HasWidth()) {
      AddMatrix(writer, at + "inp_gate.weight", kDim, kWidth);
      AddMatrix(writer, at + "proj.weight", kWidth, kDim);
      AddVector(writer, at + "post_norm.weight", kDim);
    }
    if (architecture == "gemma4") AddVector(writer, at + "layer_output_scale.weight", 1);
    if (architecture == "gemma3n") AddStreams(writer, at);
    if (experts) AddExperts(writer, at);
  }

  void AddStreams(GgufWriter& writer, const std::string& at) const {
    AddMatrix(writer, at + "altup_router.weight", kDim, kStreams);
    AddVector(writer, at + "altup_router_norm.weight", kDim);
    AddVector(writer, at + "altup_predict_coef.weight", kStreams, kStreams * kStreams);
    AddVector(writer, at + "altup_correct_coef.weight", kStreams, kStreams);
    AddVector(writer, at + "altup_correct_scale.weight", kDim);
    AddMatrix(writer, at + "laurel_l.weight", kDim, 64);
    AddMatrix(writer, at + "laurel_r.weight", 64, kDim);
    AddVector(writer, at + "laurel_post_norm.weight", kDim);
  }

  void AddExperts(GgufWriter& writer, const std::string& at) const {
    AddVector(writer, at + "ffn_gate_inp.weight", kDim, 4);
    AddVector(writer, at + "ffn_gate_inp.scale", kDim);
    AddMatrix(writer, at + "ffn_gate_up_exps.weight", kDim, 2 * 32, 4);
    AddMatrix(writer, at + "ffn_down_exps.weight", 32, kDim, 4);
    AddVector(writer, at + "ffn_down_exps.scale", 4);
    for (const char* norm : {"pre_ffw_norm_2.weight", "post_ffw_norm_1.weight", "post_ffw_norm_2.weight"}) {
      AddVector(writer, at + norm, kDim);
    }
  }

  void AddMatrix(GgufWriter& writer, const std::string& name, int cols, int rows, int experts_of = 1) const {
    AddTensor(writer, name, type, {cols, rows, experts_of}, 0.2f);
  }
  static void AddVector(GgufWriter& writer, const std::string& name, int size, int rows = 1) {
    AddTensor(writer, name, TensorType::kF32, {size, rows, 1}, 1.5f);
  }

  static void AddTensor(GgufWriter& writer, const std::string& name, TensorType of, std::array<int, 3> shape,
                        float size) {
    std::vector<uint64_t> dims;
    size_t elements = 1;
    for (const int dim : shape) {
      if (dims.empty() || dim > 1) dims.push_back(static_cast<uint64_t>(dim));
      elements *= static_cast<size_t>(dim);
    }
    uint64_t seed = 1;
    for (const char c : name) seed = Mix64(seed + static_cast<unsigned char>(c));
    writer.AddTensor(name, of, dims, RandomBlocks(of, elements, size, seed));
  }
};

}  // namespace throng::model
