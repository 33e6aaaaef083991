#include "model/folder/families.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "base/log.h"
#include "model/folder/folder_rope.h"
#include "model/gguf/gguf_writer.h"

namespace throng::model {
namespace {

constexpr uint32_t kMaxLayers = 4096;

std::string Key(const Family& family, const char* key) {
  return std::string(family.architecture) + "." + key;
}

// GGUF has no key for the window of these families, nor does a file's reader compute one.
void WarnOfWindow(const JsonObject& config) {
  const uint32_t window = config.CountOr("sliding_window", 0);
  const bool used = config.BoolOr("use_sliding_window", config.Find("use_sliding_window") == nullptr);
  if (window == 0 || !used || window >= config.Count("max_position_embeddings")) return;
  spdlog::warn("{}: sliding_window is {}; all positions are seen instead, which differs in longer contexts",
               config.Name(), window);
}

void WriteLlama(const JsonObject& config, const Family& family, GgufWriter& writer) { WarnOfWindow(config); }

void WriteMixtral(const JsonObject& config, const Family& family, GgufWriter& writer) {
  WarnOfWindow(config);
  writer.Add(Key(family, "expert_count"), config.Count("num_local_experts"));
  writer.Add(Key(family, "expert_used_count"), config.Count("num_experts_per_tok"));
}

void WriteQwen(const JsonObject& config, const Family& family, GgufWriter& writer) {
  if (config.BoolOr("use_sliding_window", false)) WarnOfWindow(config);
}

void WriteQwenMoe(const JsonObject& config, const Family& family, GgufWriter& writer) {
  WriteQwen(config, family, writer);
  if (config.CountOr("decoder_sparse_step", 1) != 1) config.Refuse("decoder_sparse_step", "1");
  if (const auto* dense = config.Find("mlp_only_layers"); dense != nullptr && !dense->empty()) {
    config.Refuse("mlp_only_layers", "experts in all layers");
  }
  writer.Add(Key(family, "expert_count"), config.Count("num_experts"));
  writer.Add(Key(family, "expert_used_count"), config.Count("num_experts_per_tok"));
  writer.Add(Key(family, "expert_feed_forward_length"), config.Count("moe_intermediate_size"));
  writer.Add(Key(family, "expert_weights_norm"), config.BoolOr("norm_topk_prob", false));
}

void WritePhi3(const JsonObject& config, const Family& family, GgufWriter& writer) {
  writer.Add(Key(family, "attention.sliding_window"), config.CountOr("sliding_window", 0));
}

// The scale of scores is one over the root of query_pre_attn_scalar; a GGUF file does not say it. layers: of
// the model whose scale follows from the stream's size.
void CheckScoreScale(const JsonObject& config, const Family& family, uint32_t layers) {
  const uint32_t head_dim = FolderConfig{family, config}.HeadDim();
  const uint32_t usual = config.Count("num_hidden_layers") == layers
                             ? config.Count("hidden_size") / config.CountOr("num_attention_heads", 8, 4096)
                             : head_dim;
  if (config.NumberOr("query_pre_attn_scalar", usual) == usual) return;
  config.Refuse("query_pre_attn_scalar", std::to_string(usual));
}

void WriteGemma2(const JsonObject& config, const Family& family, GgufWriter& writer) {
  CheckScoreScale(config, family, 46);
  writer.Add(Key(family, "attention.sliding_window"), config.Count("sliding_window"));
  writer.Add(Key(family, "attn_logit_softcapping"),
             static_cast<float>(config.Number("attn_logit_softcapping")));
  writer.Add(Key(family, "final_logit_softcapping"),
             static_cast<float>(config.Number("final_logit_softcapping")));
}

void WriteGemma3(const JsonObject& config, const Family& family, GgufWriter& writer) {
  CheckScoreScale(config, family, 62);
  for (const char* cap : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    if (config.Has(cap)) config.Refuse(cap, "null");
  }
  writer.Add(Key(family, "attention.sliding_window"), config.Count("sliding_window"));
}

void WriteGptOss(const JsonObject& config, const Family& family, GgufWriter& writer) {
  if (config.NumberOr("swiglu_limit", 7.0) != 7.0) config.Refuse("swiglu_limit", "7");
  writer.Add(Key(family, "attention.sliding_window"), config.Count("sliding_window"));
  writer.Add(Key(family, "expert_count"), config.Count("num_local_experts"));
  writer.Add(Key(family, "expert_used_count"),
             config.Count(config.Has("num_experts_per_tok") ? "num_experts_per_tok" : "experts_per_token"));
  writer.Add(Key(family, "expert_feed_forward_length"), config.Count("intermediate_size"));
}

constexpr const char* kGelu = "gelu_pytorch_tanh";

constexpr Family kFamilies[] = {
    {.model_class = "LlamaForCausalLM",
     .architecture = "llama",
     .norm_epsilon = 1e-6,
     .rope_base = 1e4,
     .pairs_rows = true,
     .write = WriteLlama},
    {.model_class = "MistralForCausalLM",
     .architecture = "llama",
     .norm_epsilon = 1e-6,
     .rope_base = 1e4,
     .pairs_rows = true,
     .write = WriteLlama},
    {.model_class = "MixtralForCausalLM",
     .architecture = "llama",
     .norm_epsilon = 1e-5,
     .rope_base = 1e6,
     .pairs_rows = true,
     .write = WriteMixtral},
    {.model_class = "Qwen2ForCausalLM",
     .architecture = "qwen2",
     .norm_epsilon = 1e-6,
     .rope_base = 1e4,
     .write = WriteQwen},
    {.model_class = "Qwen3ForCausalLM",
     .architecture = "qwen3",
     .norm_epsilon = 1e-6,
     .rope_base = 1e4,
     .write = WriteQwen},
    {.model_class = "Qwen3MoeForCausalLM",
     .architecture = "qwen3moe",
     .norm_epsilon = 1e-6,
     .rope_base = 1e4,
     .write = WriteQwenMoe},
    {.model_class = "Phi3ForCausalLM",
     .architecture = "phi3",
     .norm_epsilon = 1e-5,
     .rope_base = 1e4,
     .write = WritePhi3},
    {.model_class = "Gemma2ForCausalLM",
     .architecture = "gemma2",
     .norm_epsilon = 1e-6,
     .rope_base = 1e4,
     .norms_plus_one = true,
     .norms_results = true,
     .tied = true,
     .activation = kGelu,
     .window_period = 2,
     .write = WriteGemma2},
    {.model_class = "Gemma3ForCausalLM",
     .architecture = "gemma3",
     .norm_epsilon = 1e-6,
     .rope_base = 1e6,
     .norms_plus_one = true,
     .norms_results = true,
     .tied = true,
     .activation = kGelu,
     .window_period = 6,
     .write = WriteGemma3},
    {.model_class = "Gemma3ForConditionalGeneration",
     .architecture = "gemma3",
     .norm_epsilon = 1e-6,
     .rope_base = 1e6,
     .norms_plus_one = true,
     .norms_results = true,
     .tied = true,
     .activation = kGelu,
     .window_period = 6,
     .write = WriteGemma3},
    {.model_class = "GptOssForCausalLM",
     .architecture = "gpt-oss",
     .norm_epsilon = 1e-5,
     .rope_base = 1.5e5,
     .norms_results = true,
     .window_period = 2,
     .write = WriteGptOss},
};

const Family& FindFamily(const JsonObject& config) {
  const nlohmann::json* classes = config.Find("architectures");
  if (classes == nullptr || !classes->is_array() || classes->size() != 1 || !classes->front().is_string()) {
    throw MakeError(ErrorCode::kCorrupt, "{}: lacks the key architectures, a list of one name",
                    config.Name());
  }
  std::string known;
  for (const Family& family : kFamilies) {
    if (classes->front() == family.model_class) return family;
    known += fmt::format(" {}", family.model_class);
  }
  throw MakeError(ErrorCode::kUnsupported, "{}: architecture {} is not supported; these are:{}",
                  config.Name(), ShortJson(classes->front()), known);
}

void RefuseQuantised(const JsonObject& config, const Family& family) {
  const auto quantised = config.Object("quantization_config");
  if (!quantised) return;
  const bool has_mxfp4 = std::string_view(family.architecture) == "gpt-oss";
  if (has_mxfp4 && quantised->TextOr("quant_method", "") == "mxfp4") return;
  quantised->Refuse("quant_method", has_mxfp4 ? "mxfp4, and weights in BF16, F16 or F32"
                                              : "weights in BF16, F16 or F32, or a GGUF file");
}

// Layers see windows or all positions in the order that the architecture has.
void CheckWindows(const JsonObject& config, const Family& family) {
  const uint32_t period = family.window_period;
  for (const char* key : {"sliding_window_pattern", "_sliding_window_pattern"}) {
    if (period > 0 && config.Has(key) && config.Count(key) != period)
      config.Refuse(key, std::to_string(period));
  }
  const nlohmann::json* types = config.Find("layer_types");
  if (types == nullptr) return;
  for (size_t i = 0; i < types->size(); ++i) {
    const bool windowed = period > 0 && (i + 1) % period != 0;
    if (!types->is_array() || (*types)[i] != (windowed ? "sliding_attention" : "full_attention")) {
      config.Refuse("layer_types", period == 0
                                       ? "full_attention in all layers"
                                       : fmt::format("sliding_attention but in each layer {}", period));
    }
  }
}

void CheckActivation(const JsonObject& config, const Family& family) {
  const char* key = config.Has("hidden_activation") ? "hidden_activation" : "hidden_act";
  if (config.Has(key) && config.Text(key) != family.activation) config.Refuse(key, family.activation);
}

// Of models that give embeddings, tokens may see those after them.
void CheckCausal(const JsonObject& config) {
  if (!config.BoolOr("is_causal", true)) config.Refuse("is_causal", "true");
  if (config.BoolOr("use_bidirectional_attention", false))
    config.Refuse("use_bidirectional_attention", "false");
}

}  // namespace

uint32_t FolderConfig::HeadDim() const {
  if (values.Has("head_dim")) return values.Count("head_dim", 4096);
  if (std::string_view(family.architecture) == "gemma3") return 256;  // what configs leave out
  return values.Count("hidden_size") / std::max(1u, values.Count("num_attention_heads", 4096));
}

FolderConfig ReadFolderConfig(const JsonObject& config) {
  const Family& family = FindFamily(config);
  RefuseQuantised(config, family);
  const auto text = config.Object("text_config");
  return {family, text ? *text : config};
}

std::vector<GgufContent::Tensor> WriteConfig(const FolderConfig& config, GgufWriter& writer) {
  const JsonObject& values = config.values;
  const Family& family = config.family;
  CheckActivation(values, family);
  CheckWindows(values, family);
  CheckCausal(values);
  const bool is_gemma3 = std::string_view(family.architecture) == "gemma3";  // whose configs leave these out
  const auto count = [&](const char* key, uint32_t gemma3) {
    return is_gemma3 ? values.CountOr(key, gemma3) : values.Count(key);
  };
  const auto add = [&](const char* key, uint32_t value) { writer.Add(Key(family, key), value); };
  const uint32_t heads = count("num_attention_heads", 8);
  add("block_count", values.Count("num_hidden_layers", kMaxLayers));
  add("context_length", count("max_position_embeddings", 131072));
  add("embedding_length", values.Count("hidden_size"));
  add("feed_forward_length", values.Count("intermediate_size"));
  add("attention.head_count", heads);
  add("attention.head_count_kv",
      is_gemma3 ? values.CountOr("num_key_value_heads", 4) : values.CountOr("num_key_value_heads", heads));
  add("attention.key_length", config.HeadDim());
  add("attention.value_length", config.HeadDim());
  writer.Add(Key(family, "attention.layer_norm_rms_epsilon"),
             static_cast<float>(values.NumberOr("rms_norm_eps", family.norm_epsilon)));
  family.write(values, family, writer);
  return WriteRope(config, writer);
}

}  // namespace throng::model
