#include "model/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/gguf/gguf.h"

namespace throng::model {
namespace {

struct Architecture {
  const char* name;
  bool rope_neox;
  bool qkv_bias;
  bool qk_norm;
  bool fused_qkv;
  bool post_norms;
};

constexpr std::array kArchitectures = {
    Architecture{"llama", false, false, false, false, false},
    Architecture{"qwen2", true, true, false, false, false},
    Architecture{"qwen3", true, false, true, false, false},
    Architecture{"phi3", true, false, false, true, false},
    Architecture{"gemma3", true, false, true, false, true},
};

const Architecture& FindArchitecture(const GgufFile& file) {
  const std::string_view name = file.String("general.architecture");
  for (const Architecture& architecture : kArchitectures) {
    if (name == architecture.name) return architecture;
  }
  std::string known;
  for (const Architecture& architecture : kArchitectures) known += fmt::format(" {}", architecture.name);
  throw MakeError(ErrorCode::kUnsupported, "{}: architecture '{}' is not supported; these are:{}",
                  file.Name(), name.substr(0, 40), known);
}

// Reads the keys of one architecture.
class Reader {
 public:
  Reader(const GgufFile& file, const char* architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}

  bool Has(const char* key) const { return file_.Has(prefix_ + key); }

  // A number, or a list that has the same one for each layer.
  int Count(const char* key, int64_t most) const {
    const std::string name = prefix_ + key;
    if (!file_.IsArray(name)) return Bounded(name, file_.Int(name), most);
    const std::vector<int64_t> values = file_.Ints(name);
    if (values.empty() ||
        std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) != values.end()) {
      throw MakeError(ErrorCode::kUnsupported,
                      "{}: {} is a list of {} numbers that are not all the same; this "
                      "program computes layers of one shape",
                      file_.Name(), name, values.size());
    }
    return Bounded(name, values[0], most);
  }
  int CountOr(const char* key, int fallback, int64_t most) const {
    return Has(key) ? Count(key, most) : Bounded(prefix_ + key, fallback, most);
  }

  int64_t Int64Or(const char* key, int64_t fallback) const { return file_.IntOr(prefix_ + key, fallback); }

  float Positive(const char* key) const { return CheckPositive(key, file_.Float(prefix_ + key)); }
  float PositiveOr(const char* key, double fallback) const {
    return CheckPositive(key, file_.FloatOr(prefix_ + key, fallback));
  }

  std::string_view TextOr(const char* key, std::string_view fallback) const {
    return file_.StringOr(prefix_ + key, fallback);
  }

  [[noreturn]] void Refuse(const char* key, std::string_view found, const char* allowed) const {
    throw MakeError(ErrorCode::kUnsupported, "{}: {}{} is '{}'; this program computes {}", file_.Name(),
                    prefix_, key, found.substr(0, 40), allowed);
  }

 private:
  int Bounded(const std::string& key, int64_t value, int64_t most) const {
    if (value < 1 || value > most) {
      throw MakeError(ErrorCode::kCorrupt, "{}: {} is {}; 1 to {} is allowed", file_.Name(), key, value,
                      most);
    }
    return static_cast<int>(value);
  }

  float CheckPositive(const char* key, double value) const {
    if (!(value > 0 && value < 1e30)) {
      throw MakeError(ErrorCode::kCorrupt, "{}: {}{} is {}; a positive number is expected", file_.Name(),
                      prefix_, key, value);
    }
    return static_cast<float>(value);
  }

  const GgufFile& file_;
  const std::string prefix_;
};

void ReadShape(const GgufFile& file, const Reader& reader, ModelConfig& config) {
  config.context_length = reader.Count("context_length", 1 << 28);
  config.dim = reader.Count("embedding_length", 1 << 20);
  config.num_layers = reader.Count("block_count", 4096);
  config.num_heads = reader.Count("attention.head_count", 4096);
  config.num_kv_heads = reader.CountOr("attention.head_count_kv", config.num_heads, 4096);
  if (config.num_heads % config.num_kv_heads != 0) {
    throw MakeError(ErrorCode::kCorrupt, "{}: {} query heads cannot share {} key heads evenly", file.Name(),
                    config.num_heads, config.num_kv_heads);
  }
  config.head_dim = reader.CountOr("attention.key_length", config.dim / config.num_heads, 4096);
  if (reader.CountOr("attention.value_length", config.head_dim, 4096) != config.head_dim) {
    throw MakeError(ErrorCode::kUnsupported, "{}: keys of {} elements but values of another size",
                    file.Name(), config.head_dim);
  }
  config.ffn_dim = reader.Count("feed_forward_length", 1 << 24);
  const TensorInfo* embedding = file.FindTensor("token_embd.weight");
  if (!embedding || embedding->num_dims != 2 || embedding->dims[1] > (1u << 24)) {
    throw MakeError(ErrorCode::kCorrupt, "{}: tensor token_embd.weight is missing, or not a table of tokens",
                    file.Name());
  }
  config.vocab_size = static_cast<int>(embedding->dims[1]);
  config.rms_epsilon = reader.Positive("attention.layer_norm_rms_epsilon");
}

void ReadRope(const GgufFile& file, const Reader& reader, ModelConfig& config) {
  config.rope_dim = reader.CountOr("rope.dimension_count", config.head_dim, config.head_dim);
  if (config.rope_dim % 2 != 0) {
    throw MakeError(ErrorCode::kCorrupt, "{}: rope dimension {} is odd", file.Name(), config.rope_dim);
  }
  config.rope_base = reader.PositiveOr("rope.freq_base", 10000.0);
  config.rope_scale = 1.0f;
  const std::string_view scaling = reader.TextOr("rope.scaling.type", "none");
  if (scaling == "linear") {
    config.rope_scale = 1.0f / reader.Positive("rope.scaling.factor");
  } else if (scaling != "none") {
    reader.Refuse("rope.scaling.type", scaling, "'none' and 'linear'");
  }
}

void ReadWindow(const Reader& reader, ModelConfig& config) {
  config.window_pattern = 1;
  config.window_rope_base = config.rope_base;
  // qwen2 files carry the key although their layers do not use it.
  const bool windowed = config.architecture == "gemma3" || config.architecture == "phi3";
  if (!windowed || !reader.Has("attention.sliding_window")) return;
  config.window = reader.Count("attention.sliding_window", 1 << 28);
  if (config.architecture == "gemma3") {
    config.window_pattern = 6;
    config.window_rope_base = reader.PositiveOr("rope.freq_base_swa", 10000.0);
  }
}

// Keys that would change what is computed. Those that say "none" are as good as absent.
void RefuseOthers(const GgufFile& file, const Reader& reader) {
  const std::string prefix = fmt::format("{}.", file.String("general.architecture"));
  if (file.IntOr(prefix + "expert_count", 0) != 0) reader.Refuse("expert_count", "above 0", "dense models");
  if (!file.BoolOr(prefix + "attention.causal", true)) {
    reader.Refuse("attention.causal", "false", "models whose tokens see those before them");
  }
  const double factor = file.FloatOr(prefix + "rope.scaling.attn_factor", 1.0);
  if (factor != 1.0) reader.Refuse("rope.scaling.attn_factor", fmt::format("{}", factor), "1");
}

std::optional<Pooling> ReadPooling(const Reader& reader) {
  // Values of llama.cpp; 0 is what files of models say that were not made for embeddings.
  switch (reader.Int64Or("pooling_type", 0)) {
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
      reader.Refuse("pooling_type", std::to_string(reader.Int64Or("pooling_type", 0)), "0 to 4");
  }
}

}  // namespace

ModelConfig ReadConfig(const GgufFile& file) {
  const Architecture& architecture = FindArchitecture(file);
  const Reader reader(file, architecture.name);
  ModelConfig config{};
  config.name = file.StringOr("general.name", "");
  config.architecture = architecture.name;
  ReadShape(file, reader, config);
  config.rope_neox = architecture.rope_neox;
  config.qkv_bias = architecture.qkv_bias;
  config.qk_norm = architecture.qk_norm;
  config.fused_qkv = architecture.fused_qkv;
  config.post_norms = architecture.post_norms;
  config.cache_layers = kv::AlikeLayers(config.num_layers, config.num_kv_heads, config.head_dim);
  ReadRope(file, reader, config);
  ReadWindow(reader, config);
  config.activation = Activation::kSilu;
  config.embedding_scale = 1.0f;
  config.attention_scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim));
  if (config.architecture == "gemma3") {
    config.activation = Activation::kGeluTanh;
    config.embedding_scale = std::sqrt(static_cast<float>(config.dim));
    // The 27B model, which has 62 layers, scales by the size of the stream instead of the head's.
    if (config.num_layers == 62) {
      config.attention_scale = 1.0f / std::sqrt(static_cast<float>(config.dim / config.num_heads));
    }
  }
  RefuseOthers(file, reader);
  config.pooling = ReadPooling(reader);
  return config;
}

}  // namespace throng::model
