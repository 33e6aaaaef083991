#include "bench/random_model.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <span>

#include "base/error.h"
#include "model/gguf/gguf_writer.h"
#include "model/testing/test_matrices.h"

namespace throng::bench {
namespace {

constexpr size_t kRandomBytes = size_t{1} << 20;  // repeated in larger tensors

// Of recurrent layers: their heads, and the groups of heads that share keys and queries.
struct Recurrence {
  uint32_t heads = 0, groups = 0;
  uint32_t state_dim = 0;  // of keys and queries
  uint32_t head_dim = 0;   // of what a head gives
  static constexpr uint32_t kTaps = 4;

  uint32_t Inner() const { return heads * head_dim; }
  uint32_t Channels() const { return Inner() + 2 * groups * state_dim; }  // of the convolution
};

struct Shape {
  const char* name;
  const char* architecture;
  uint32_t layers, dim, heads, kv_heads, head_dim, ffn, vocab, context;
  bool tied;  // the embedding is the output matrix too
  uint32_t experts = 0, chosen = 0;
  uint32_t window = 0;
  Recurrence recurrence = {};
  uint32_t rope_dim = 0;  // 0: head_dim
};

constexpr Shape kShapes[] = {
    {"llama-1b", "llama", 16, 2048, 32, 8, 64, 8192, 128256, 131072, true},
    {"llama-8b", "llama", 32, 4096, 32, 8, 128, 14336, 128256, 131072, false},
    {"llama2-7b", "llama", 32, 4096, 32, 32, 128, 11008, 32000, 4096, false},
    {"smollm2-360m", "llama", 32, 960, 15, 5, 64, 2560, 49152, 8192, true},
    {"gemma3-1b", "gemma3", 26, 1152, 4, 1, 256, 6912, 262144, 32768, true, 0, 0, 512},
    {"mixtral-tiny", "llama", 16, 1024, 16, 4, 64, 2048, 32000, 32768, false, 8, 2},
    {"qwen3moe-tiny", "qwen3moe", 16, 1024, 16, 4, 128, 512, 151936, 32768, true, 32, 4},
    {"gpt-oss-tiny", "gpt-oss", 16, 1024, 16, 4, 64, 1024, 201088, 131072, false, 16, 4, 128},
    {"qwen35-0.8b",
     "qwen35",
     24,
     1024,
     8,
     2,
     256,
     3584,
     248320,
     262144,
     true,
     0,
     0,
     0,
     {16, 16, 128, 128},
     64},
    {"falcon-h1-0.5b", "falcon-h1", 36, 1024, 8, 2, 64, 2048, 32784, 16384, true, 0, 0, 0, {24, 1, 128, 64}},
    {"tiny", "llama", 2, 256, 4, 2, 64, 512, 512, 131072, true},
};

const Shape& FindShape(const std::string& name) {
  for (const Shape& shape : kShapes) {
    if (name == shape.name) return shape;
  }
  throw MakeError(ErrorCode::kInvalid, "bench: there is no shape '{}'; there are {}", name,
                  fmt::join(ShapeNames(), ", "));
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

class Maker {
 public:
  Maker(model::GgufWriter& writer, const Shape& shape, model::TensorType type)
      : writer_(writer), shape_(shape), type_(type) {}

  void Keys() {
    Key("context_length", shape_.context);
    Key("embedding_length", shape_.dim);
    Key("block_count", shape_.layers);
    Key("feed_forward_length", shape_.ffn);
    Key("attention.head_count", shape_.heads);
    Key("attention.head_count_kv", shape_.kv_heads);
    Key("attention.key_length", shape_.head_dim);
    Key("attention.value_length", shape_.head_dim);
    Key("attention.layer_norm_rms_epsilon", 1e-5f);
    Key("rope.freq_base", 500000.0f);
    // For programs that ask for them.
    Key("vocab_size", shape_.vocab);
    Key("rope.dimension_count", shape_.rope_dim > 0 ? shape_.rope_dim : shape_.head_dim);
    if (const Recurrence& recurrence = shape_.recurrence; recurrence.heads > 0) {
      Key("ssm.conv_kernel", Recurrence::kTaps);
      Key("ssm.inner_size", recurrence.Inner());
      Key("ssm.state_size", recurrence.state_dim);
      Key("ssm.time_step_rank", recurrence.heads);
      Key("ssm.group_count", recurrence.groups);
    }
    if (Is("qwen35")) {
      Key("full_attention_interval", kAttentionInterval);
      constexpr int32_t kSections[] = {11, 11, 10, 0};
      Key("rope.dimension_sections", std::span(kSections));
    }
    if (shape_.window > 0) Key("attention.sliding_window", shape_.window);
    if (shape_.experts == 0) return;
    Key("expert_count", shape_.experts);
    Key("expert_used_count", shape_.chosen);
    Key("expert_feed_forward_length", shape_.ffn);
  }

  void Tensors() {
    Matrix("token_embd.weight", shape_.dim, shape_.vocab);
    if (!shape_.tied) Matrix("output.weight", shape_.dim, shape_.vocab);
    Ones("output_norm.weight", shape_.dim);
    for (uint32_t i = 0; i < shape_.layers; ++i) {
      prefix_ = fmt::format("blk.{}.", i);
      Ones("attn_norm.weight", shape_.dim);
      const bool mixes = Is("qwen35") && (i + 1) % kAttentionInterval != 0;
      if (mixes) DeltaNet();
      if (Is("falcon-h1")) Mamba2();
      if (!mixes) Attention();
      if (shape_.experts > 0) {
        Experts();
      } else {
        Ones(Is("qwen35")      ? "post_attention_norm.weight"
             : Is("falcon-h1") ? "ffn_norm"
                               : "ffn_norm.weight",
             shape_.dim);
        Matrix("ffn_gate.weight", shape_.dim, shape_.ffn);
        Matrix("ffn_up.weight", shape_.dim, shape_.ffn);
        Matrix("ffn_down.weight", shape_.ffn, shape_.dim);
      }
      if (Is("gemma3")) {
        Ones("post_attention_norm.weight", shape_.dim);
        Ones("post_ffw_norm.weight", shape_.dim);
      }
    }
  }

 private:
  static constexpr uint32_t kAttentionInterval = 4;  // of qwen35: every fourth layer has attention

  bool Is(std::string_view architecture) const { return shape_.architecture == architecture; }

  template <typename T>
  void Key(const char* name, T value) {
    writer_.Add(fmt::format("{}.{}", shape_.architecture, name), value);
  }

  void Attention() {
    const uint32_t query_dim = shape_.heads * shape_.head_dim, kv_dim = shape_.kv_heads * shape_.head_dim;
    Matrix("attn_q.weight", shape_.dim, Is("qwen35") ? 2 * query_dim : query_dim);  // with gates
    Matrix("attn_k.weight", shape_.dim, kv_dim);
    Matrix("attn_v.weight", shape_.dim, kv_dim);
    Matrix("attn_output.weight", query_dim, shape_.dim);
    if (Is("gemma3") || Is("qwen3moe") || Is("qwen35")) {
      Ones("attn_q_norm.weight", shape_.head_dim);
      Ones("attn_k_norm.weight", shape_.head_dim);
    }
    if (!Is("gpt-oss")) return;
    Ones("attn_sinks.weight", shape_.heads);
    Ones("attn_q.bias", query_dim);
    Ones("attn_k.bias", kv_dim);
    Ones("attn_v.bias", kv_dim);
    Ones("attn_output.bias", shape_.dim);
  }

  void DeltaNet() {
    const Recurrence& sizes = shape_.recurrence;
    Matrix("attn_qkv.weight", shape_.dim, sizes.Channels());
    Matrix("attn_gate.weight", shape_.dim, sizes.Inner());
    Matrix("ssm_beta.weight", shape_.dim, sizes.heads);
    Matrix("ssm_alpha.weight", shape_.dim, sizes.heads);
    Convolution(sizes);
    Ones("ssm_norm.weight", sizes.state_dim);
    Matrix("ssm_out.weight", sizes.Inner(), shape_.dim);
  }

  void Mamba2() {
    const Recurrence& sizes = shape_.recurrence;
    Matrix("ssm_in.weight", shape_.dim, sizes.Inner() + sizes.Channels() + sizes.heads);
    Convolution(sizes);
    Fill("ssm_d", 1.0f, {1, sizes.heads});
    Matrix("ssm_out.weight", sizes.Inner(), shape_.dim);
  }

  // A token's weight in the state, and how fast that fades: within some 20 tokens.
  void Convolution(const Recurrence& sizes) {
    Matrix("ssm_conv1d.weight", Recurrence::kTaps, sizes.Channels(), 1, model::TensorType::kF32);
    if (Is("falcon-h1")) Fill("ssm_conv1d.bias", 0.0f, {sizes.Channels()});
    Fill("ssm_dt.bias", -3.0f, {sizes.heads});
    Fill("ssm_a", -1.0f,
         Is("falcon-h1") ? std::vector<uint64_t>{1, sizes.heads} : std::vector<uint64_t>{sizes.heads});
  }

  void Experts() {
    Ones(Is("gpt-oss") ? "post_attention_norm.weight" : "ffn_norm.weight", shape_.dim);
    Matrix("ffn_gate_inp.weight", shape_.dim, shape_.experts, 1, model::TensorType::kF32);
    Matrix("ffn_gate_exps.weight", shape_.dim, shape_.ffn, shape_.experts);
    Matrix("ffn_up_exps.weight", shape_.dim, shape_.ffn, shape_.experts);
    Matrix("ffn_down_exps.weight", shape_.ffn, shape_.dim, shape_.experts);
    if (!Is("gpt-oss")) return;
    Ones("ffn_gate_inp.bias", shape_.experts);
    Ones("ffn_gate_exps.bias", shape_.ffn, shape_.experts);
    Ones("ffn_up_exps.bias", shape_.ffn, shape_.experts);
    Ones("ffn_down_exps.bias", shape_.dim, shape_.experts);
  }

  void Matrix(const char* name, uint32_t cols, uint32_t rows, uint32_t matrices = 1) {
    Matrix(name, cols, rows, matrices, type_);
  }

  // Random blocks, about as large as keeps the values of a forward pass near 1.
  void Matrix(const char* name, uint32_t cols, uint32_t rows, uint32_t matrices, model::TensorType type) {
    const model::BlockSize block = *model::BlockSizeOf(type);
    if (cols % block.elements != 0) {
      throw MakeError(ErrorCode::kInvalid,
                      "bench: rows of {} weights are no whole blocks of {}, which have {}", cols,
                      model::TensorTypeName(type), block.elements);
    }
    const size_t elements = size_t{cols} * rows * matrices;
    const size_t some = std::min(elements, kRandomBytes / block.bytes * block.elements);
    std::vector<uint8_t> data =
        model::RandomBlocks(type, some, std::sqrt(3.0f / static_cast<float>(cols)), ++seed_);
    const size_t period = data.size();
    data.resize(elements / block.elements * block.bytes);
    for (size_t at = period; at < data.size(); at += period) {
      std::memcpy(data.data() + at, data.data(), std::min(period, data.size() - at));
    }
    std::vector<uint64_t> dims{cols, rows};
    if (matrices > 1) dims.push_back(matrices);
    writer_.AddTensor(prefix_ + name, type, dims, data);
  }

  void Ones(const char* name, uint32_t size, uint32_t rows = 1) {
    Fill(name, 1.0f, rows > 1 ? std::vector<uint64_t>{size, rows} : std::vector<uint64_t>{size});
  }

  void Fill(const char* name, float value, const std::vector<uint64_t>& dims) {
    size_t count = 1;
    for (const uint64_t dim : dims) count *= dim;
    const std::vector<float> values(count, value);
    writer_.AddTensor(prefix_ + name, model::TensorType::kF32, dims,
                      {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)});
  }

  model::GgufWriter& writer_;
  const Shape& shape_;
  const model::TensorType type_;
  std::string prefix_;
  uint64_t seed_ = 0;
};

}  // namespace

std::vector<std::string> ShapeNames() {
  std::vector<std::string> names;
  for (const Shape& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

model::TensorType ParseWeights(const std::string& name) {
  std::string known;
  for (const model::TensorType type : model::kAllTensorTypes) {
    const std::string candidate = Lower(model::TensorTypeName(type));
    if (candidate == Lower(name)) return type;
    known += " " + candidate;
  }
  throw MakeError(ErrorCode::kInvalid, "bench: --weights {} is unknown; these are known:{}", name, known);
}

std::vector<uint8_t> RandomModel(const std::string& shape_name, model::TensorType type,
                                 const model::GgufFile* vocabulary) {
  Shape shape = FindShape(shape_name);
  if (vocabulary != nullptr) {
    shape.vocab = static_cast<uint32_t>(vocabulary->Strings("tokenizer.ggml.tokens").size());
  }
  model::GgufWriter writer;
  writer.Add("general.architecture", shape.architecture);
  writer.Add("general.name", fmt::format("{} with random weights", shape.name));
  Maker maker(writer, shape, type);
  maker.Keys();
  if (vocabulary == nullptr) {
    writer.Add("tokenizer.ggml.model", "none");
  } else {
    for (const std::string_view key : vocabulary->Keys()) {
      if (key.starts_with("tokenizer.")) writer.Copy(key, *vocabulary);
    }
  }
  maker.Tensors();
  return writer.Finish();
}

}  // namespace throng::bench
