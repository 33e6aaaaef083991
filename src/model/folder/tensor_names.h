// The names of tensors in folders and in GGUF files.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/folder/families.h"

namespace throng::model {

// "blk.3.attn_q.weight" for "model.layers.3.self_attn.q_proj.weight"; empty if the family has no such tensor.
std::string GgufName(const Family& family, std::string_view name);

// One of the matrices of one expert: "model.layers.3.block_sparse_moe.experts.5.w1.weight".
struct ExpertName {
  std::string all;  // what the matrices of all experts make: "blk.3.ffn_gate_exps.weight"
  uint32_t number;
};
std::optional<ExpertName> FindExpertName(std::string_view name);

// Whether a tensor has no part in what the model says of text: tables that are computed, and what sees
// pictures.
bool IsUnused(std::string_view name);

}  // namespace throng::model
