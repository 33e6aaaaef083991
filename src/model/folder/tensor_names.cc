#include "model/folder/tensor_names.h"

#include <algorithm>
#include <charconv>

namespace throng::model {
namespace {

struct NamePair {
  std::string_view stored;
  std::string_view gguf;
};

constexpr NamePair kOutside[] = {{"embed_tokens.weight", "token_embd.weight"},
                                 {"norm.weight", "output_norm.weight"},
                                 {"lm_head.weight", "output.weight"}};

// Within a layer, before .weight or .bias.
constexpr NamePair kInLayer[] = {
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.qkv_proj", "attn_qkv"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.gate_up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"mlp.gate", "ffn_gate_inp"},
    {"mlp.router", "ffn_gate_inp"},
    {"block_sparse_moe.gate", "ffn_gate_inp"},
};
constexpr std::string_view kAfterAttention = "post_attention_layernorm";
constexpr std::string_view kSinks = "self_attn.sinks";  // without .weight

// Of one expert.
constexpr NamePair kInExpert[] = {{"w1.weight", "ffn_gate_exps"},    {"w3.weight", "ffn_up_exps"},
                                  {"w2.weight", "ffn_down_exps"},    {"gate_proj.weight", "ffn_gate_exps"},
                                  {"up_proj.weight", "ffn_up_exps"}, {"down_proj.weight", "ffn_down_exps"}};

bool Strip(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// A whole number of at most five digits and a point.
std::optional<uint32_t> StripNumber(std::string_view& text) {
  uint32_t number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + std::min<size_t>(text.size(), 5), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (!Strip(text, ".")) return std::nullopt;
  return number;
}

// Models that see pictures too have their text model under a name of its own.
std::string_view WithoutModel(std::string_view name) {
  for (const std::string_view prefix : {"language_model.", "model.", "language_model."}) Strip(name, prefix);
  return name;
}

// Strips "layers.3."; the number, or none.
std::optional<uint32_t> StripLayer(std::string_view& name) {
  name = WithoutModel(name);
  if (!Strip(name, "layers.")) return std::nullopt;
  return StripNumber(name);
}

std::string_view FindPair(std::span<const NamePair> pairs, std::string_view stored) {
  const auto found = std::ranges::find(pairs, stored, &NamePair::stored);
  return found == pairs.end() ? std::string_view() : found->gguf;
}

std::string_view NameInLayer(const Family& family, std::string_view base) {
  if (base == kAfterAttention) return family.norms_results ? "post_attention_norm" : "ffn_norm";
  return FindPair(kInLayer, base);
}

}  // namespace

std::string GgufName(const Family& family, std::string_view name) {
  std::string_view rest = name;
  const auto layer = StripLayer(rest);
  if (!layer) return std::string(FindPair(kOutside, WithoutModel(name)));
  if (rest == kSinks) return fmt::format("blk.{}.attn_sinks.weight", *layer);
  for (const std::string_view suffix : {".weight", ".bias"}) {
    if (!rest.ends_with(suffix)) continue;
    const std::string_view found = NameInLayer(family, rest.substr(0, rest.size() - suffix.size()));
    if (!found.empty()) return fmt::format("blk.{}.{}{}", *layer, found, suffix);
  }
  return "";
}

std::optional<ExpertName> FindExpertName(std::string_view name) {
  const auto layer = StripLayer(name);
  if (!layer || !(Strip(name, "block_sparse_moe.experts.") || Strip(name, "mlp.experts.")))
    return std::nullopt;
  const auto number = StripNumber(name);
  const std::string_view found = FindPair(kInExpert, name);
  if (!number || found.empty()) return std::nullopt;
  return ExpertName{fmt::format("blk.{}.{}.weight", *layer, found), *number};
}

bool IsUnused(std::string_view name) {
  if (name.ends_with("rotary_emb.inv_freq")) return true;
  Strip(name, "model.");
  return name.starts_with("vision_tower.") || name.starts_with("multi_modal_projector.");
}

}  // namespace throng::model
