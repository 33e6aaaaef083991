// A random model of two layers as a folder of Hugging Face's, and as the GGUF file that it stands for.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/rng.h"
#include "model/gguf/gguf_writer.h"
#include "model/matmul/block_formats.h"
#include "model/testing/test_matrices.h"

namespace throng::model {

struct TinyFolder {
  using Json = nlohmann::json;

  struct Tensor {
    std::string stored, gguf;
    std::vector<uint64_t> shape;  // as stored
    std::vector<uint8_t> bytes{};
  };

  std::string model_class = "LlamaForCausalLM";
  std::string architecture = "llama";  // of the GGUF file
  TensorType type = TensorType::kBF16;
  bool pairs = true;    // the GGUF file has rotated pairs as neighbouring rows
  bool biases = false;  // of queries, keys and values
  bool head_norms = false;
  bool fused = false;     // queries, keys and values as one matrix, gates and ups too
  bool plus_one = false;  // norms multiply by 1 + weight
  bool result_norms = false;
  uint64_t experts = 0;
  Json more_config = Json::object();
  std::map<std::string, float> more_keys{};  // of the GGUF file, without the architecture

  static constexpr uint64_t kDim = 64, kHeads = 4, kKvHeads = 2, kHeadDim = 16, kFfn = 96, kVocab = 64;

  std::vector<Tensor> Tensors() const {
    std::vector<Tensor> all = {{"model.embed_tokens.weight", "token_embd.weight", {kVocab, kDim}},
                               {"model.norm.weight", "output_norm.weight", {kDim}}};
    for (const std::string layer : {"0", "1"})
      AddLayer(all, "model.layers." + layer + ".", "blk." + layer + ".");
    for (Tensor& tensor : all) Fill(tensor);
    return all;
  }

  Json Config() const {
    Json config = {{"architectures", {model_class}},
                   {"hidden_size", kDim},
                   {"num_hidden_layers", 2},
                   {"num_attention_heads", kHeads},
                   {"num_key_value_heads", kKvHeads},
                   {"head_dim", kHeadDim},
                   {"intermediate_size", kFfn},
                   {"max_position_embeddings", 2048},
                   {"rms_norm_eps", 1e-5},
                   {"rope_theta", 10000.0},
                   {"vocab_size", kVocab},
                   {"tie_word_embeddings", true}};
    config.update(more_config);
    return config;
  }

  // Tokens "a", "b" and so on, without merges.
  static Json Tokenizer() {
    Json vocab = Json::object();
    for (uint64_t i = 0; i < kVocab; ++i) vocab[std::string(1, static_cast<char>('!' + i))] = i;
    return {{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}},
            {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
            {"added_tokens", Json::array()}};
  }

  // Removes what is there.
  void Write(const std::filesystem::path& folder) const {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    WriteText(folder / "config.json", Config().dump());
    WriteText(folder / "tokenizer.json", Tokenizer().dump());
    WriteText(folder / "model.safetensors", Safetensors(Tensors()));
  }

  static void WriteText(const std::filesystem::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }

  std::string Safetensors(const std::vector<Tensor>& tensors) const {
    Json header = {{"__metadata__", {{"format", "pt"}}}};
    std::string data;
    for (const Tensor& tensor : tensors) {
      header[tensor.stored] = {{"dtype", TensorTypeName(type)},
                               {"shape", tensor.shape},
                               {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
      data.append(tensor.bytes.begin(), tensor.bytes.end());
    }
    return File(header.dump(), data);
  }

  static std::string File(std::string header, const std::string& data) {
    header.resize((header.size() + 7) / 8 * 8, ' ');
    const uint64_t length = header.size();
    std::string out(reinterpret_cast<const char*>(&length), sizeof length);
    return out + header + data;
  }

  std::vector<uint8_t> Gguf() const {
    GgufWriter writer;
    writer.Add("general.architecture", architecture);
    const auto add = [&](const char* key, uint64_t value) {
      writer.Add(architecture + "." + key, static_cast<uint32_t>(value));
    };
    add("context_length", 2048);
    add("embedding_length", kDim);
    add("block_count", 2);
    add("feed_forward_length", kFfn);
    add("attention.head_count", kHeads);
    add("attention.head_count_kv", kKvHeads);
    add("attention.key_length", kHeadDim);
    add("attention.value_length", kHeadDim);
    writer.Add(architecture + ".attention.layer_norm_rms_epsilon", 1e-5f);
    writer.Add(architecture + ".rope.freq_base", 10000.0f);
    for (const auto& [key, value] : more_keys) {
      if (value == std::floor(value)) {
        add(key.c_str(), static_cast<uint64_t>(value));
      } else {
        writer.Add(architecture + "." + key, value);
      }
    }
    std::vector<Tensor> stacked;
    for (const Tensor& tensor : Tensors()) {
      const bool follows = !stacked.empty() && stacked.back().gguf == tensor.gguf;
      if (follows) {
        stacked.back().bytes.insert(stacked.back().bytes.end(), tensor.bytes.begin(), tensor.bytes.end());
      } else {
        stacked.push_back(tensor);
      }
      if (tensor.gguf.ends_with("_exps.weight") && !follows) {
        stacked.back().shape.insert(stacked.back().shape.begin(), experts);
      }
    }
    for (const Tensor& tensor : stacked) AddTo(writer, tensor);
    return writer.Finish();
  }

 private:
  void AddLayer(std::vector<Tensor>& all, const std::string& stored, const std::string& gguf) const {
    const auto add = [&](const char* from, const char* to, std::vector<uint64_t> shape) {
      all.push_back({stored + from, gguf + to, std::move(shape)});
    };
    const uint64_t q = kHeads * kHeadDim, kv = kKvHeads * kHeadDim;
    add("input_layernorm.weight", "attn_norm.weight", {kDim});
    if (fused) {
      add("self_attn.qkv_proj.weight", "attn_qkv.weight", {q + 2 * kv, kDim});
    } else {
      add("self_attn.q_proj.weight", "attn_q.weight", {q, kDim});
      add("self_attn.k_proj.weight", "attn_k.weight", {kv, kDim});
      add("self_attn.v_proj.weight", "attn_v.weight", {kv, kDim});
    }
    if (biases) {
      add("self_attn.q_proj.bias", "attn_q.bias", {q});
      add("self_attn.k_proj.bias", "attn_k.bias", {kv});
      add("self_attn.v_proj.bias", "attn_v.bias", {kv});
    }
    if (head_norms) {
      add("self_attn.q_norm.weight", "attn_q_norm.weight", {kHeadDim});
      add("self_attn.k_norm.weight", "attn_k_norm.weight", {kHeadDim});
    }
    add("self_attn.o_proj.weight", "attn_output.weight", {kDim, q});
    if (result_norms) {
      add("post_attention_layernorm.weight", "post_attention_norm.weight", {kDim});
      add("pre_feedforward_layernorm.weight", "ffn_norm.weight", {kDim});
      add("post_feedforward_layernorm.weight", "post_ffw_norm.weight", {kDim});
    } else {
      add("post_attention_layernorm.weight", "ffn_norm.weight", {kDim});
    }
    if (experts > 0) {
      add("block_sparse_moe.gate.weight", "ffn_gate_inp.weight", {experts, kDim});
      AddExperts(all, stored, gguf);
      return;
    }
    if (fused) {
      add("mlp.gate_up_proj.weight", "ffn_up.weight", {2 * kFfn, kDim});
    } else {
      add("mlp.gate_proj.weight", "ffn_gate.weight", {kFfn, kDim});
      add("mlp.up_proj.weight", "ffn_up.weight", {kFfn, kDim});
    }
    add("mlp.down_proj.weight", "ffn_down.weight", {kDim, kFfn});
  }

  // Of one kind after the other, so that the GGUF file can have them one after the other.
  void AddExperts(std::vector<Tensor>& all, const std::string& stored, const std::string& gguf) const {
    const auto add = [&](const char* from, const char* to, uint64_t rows, uint64_t cols) {
      for (uint64_t i = 0; i < experts; ++i) {
        all.push_back(
            {stored + "block_sparse_moe.experts." + std::to_string(i) + from, gguf + to, {rows, cols}});
      }
    };
    add(".w1.weight", "ffn_gate_exps.weight", kFfn, kDim);
    add(".w3.weight", "ffn_up_exps.weight", kFfn, kDim);
    add(".w2.weight", "ffn_down_exps.weight", kDim, kFfn);
  }

  void Fill(Tensor& tensor) const {
    uint64_t seed = 1;
    for (const char c : tensor.stored) seed = Mix64(seed + static_cast<unsigned char>(c));
    size_t elements = 1;
    for (const uint64_t dim : tensor.shape) elements *= dim;
    tensor.bytes = RandomBlocks(type, elements, tensor.shape.size() > 1 ? 0.2f : 1.5f, seed);
  }

  void AddTo(GgufWriter& writer, const Tensor& tensor) const {
    const std::vector<uint64_t> dims(tensor.shape.rbegin(), tensor.shape.rend());
    std::vector<uint8_t> bytes = tensor.bytes;
    const bool is_q = tensor.gguf.find("attn_q.") != std::string::npos;
    const bool is_k = tensor.gguf.find("attn_k.") != std::string::npos;
    if (pairs && (is_q || is_k)) bytes = Paired(tensor);
    if (dims.size() > 1 && tensor.gguf.find("ffn_gate_inp") == std::string::npos) {
      writer.AddTensor(tensor.gguf, type, dims, bytes);
      return;
    }
    std::vector<float> floats(bytes.size() / BlockSizeOf(type)->bytes);
    DequantizeRow(type, bytes.data(), floats.size(), floats.data());
    if (plus_one && tensor.gguf.ends_with("norm.weight")) {
      for (float& value : floats) value += 1.0f;
    }
    writer.AddTensor(tensor.gguf, TensorType::kF32, dims,
                     {reinterpret_cast<const uint8_t*>(floats.data()), floats.size() * sizeof(float)});
  }

  // Row 2 i of a head is its row i, row 2 i + 1 its row i + half.
  static std::vector<uint8_t> Paired(const Tensor& tensor) {
    const uint64_t rows = tensor.shape[0], row_bytes = tensor.bytes.size() / rows;
    std::vector<uint8_t> out;
    for (uint64_t row = 0; row < rows; ++row) {
      const uint64_t within = row % kHeadDim;
      const uint64_t from = row - within + within / 2 + within % 2 * (kHeadDim / 2);
      out.insert(out.end(), &tensor.bytes[from * row_bytes], &tensor.bytes[from * row_bytes] + row_bytes);
    }
    return out;
  }
};

}  // namespace throng::model
