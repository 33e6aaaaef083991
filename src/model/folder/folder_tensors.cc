#include "model/folder/folder_tensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "model/folder/tensor_names.h"
#include "model/gguf/gguf_values.h"
#include "model/matmul/block_formats.h"

namespace throng::model {
namespace {

using Tensor = GgufContent::Tensor;

constexpr uint64_t kAlignment = 4;  // the least that GGUF files have

TensorType TypeOf(const StoredTensor& tensor) {
  if (tensor.dtype == "BF16") return TensorType::kBF16;
  if (tensor.dtype == "F16") return TensorType::kF16;
  if (tensor.dtype == "F32") return TensorType::kF32;
  throw MakeError(ErrorCode::kUnsupported, "tensor {} is in {}; BF16, F16 and F32 can be read",
                  Quoted(tensor.name), tensor.dtype);
}

[[noreturn]] void FailShape(const StoredTensor& tensor, const std::string& expected) {
  throw MakeError(ErrorCode::kCorrupt, "tensor {} has shape {}; {} is expected", Quoted(tensor.name),
                  tensor.Shape(), expected);
}

std::vector<uint64_t> DimsOf(const StoredTensor& tensor) {
  if (tensor.shape.empty() || tensor.shape.size() > 4) FailShape(tensor, "a shape of one to four dimensions");
  return {tensor.shape.rbegin(), tensor.shape.rend()};
}

// As floats, plus `shift`.
Tensor AsF32(const std::string& name, const StoredTensor& stored, float shift = 0.0f) {
  const TensorType type = TypeOf(stored);
  Tensor out{name, TensorType::kF32, DimsOf(stored), {}, {}};
  std::vector<float> values(stored.data.size() / BlockSizeOf(type)->bytes);
  DequantizeRow(type, stored.data.data(), values.size(), values.data());
  for (float& value : values) value += shift;
  out.made.resize(values.size() * sizeof(float));
  std::memcpy(out.made.data(), values.data(), out.made.size());
  return out;
}

Tensor AsIs(const std::string& name, const StoredTensor& stored) {
  Tensor out{name, TypeOf(stored), DimsOf(stored), stored.data, {}};
  if (std::bit_cast<uintptr_t>(stored.data.data()) % kAlignment != 0) {
    out.made.assign(stored.data.begin(), stored.data.end());
  }
  return out;
}

// [heads, 2, half, ...] as [heads, half, 2, ...]: the two elements of a rotated pair become neighbours.
Tensor WithPairedRows(const std::string& name, const StoredTensor& stored, uint64_t heads) {
  Tensor out = AsIs(name, stored);
  const uint64_t rows = stored.shape[0];
  if (heads == 0 || rows % (2 * heads) != 0) FailShape(stored, fmt::format("rows for {} heads", heads));
  const uint64_t row_bytes = stored.data.size() / rows;
  const uint64_t half = rows / heads / 2;
  out.made.resize(stored.data.size());
  uint8_t* to = out.made.data();
  for (uint64_t head = 0; head < heads; ++head) {
    for (uint64_t pair = 0; pair < half; ++pair) {
      for (uint64_t side = 0; side < 2; ++side, to += row_bytes) {
        const uint64_t row = (head * 2 + side) * half + pair;
        std::memcpy(to, stored.data.data() + row * row_bytes, row_bytes);
      }
    }
  }
  return out;
}

// Matrices of the same shape as one tensor. It is made even of one, which could stay where it is.
Tensor Stacked(const std::string& name, const std::map<uint32_t, const StoredTensor*>& parts) {
  const StoredTensor& first = *parts.begin()->second;
  Tensor out{name, TypeOf(first), DimsOf(first), {}, {}};
  out.dims.push_back(parts.size());
  out.made.reserve(first.data.size() * parts.size());
  for (const auto& [number, part] : parts) {
    if (number >= parts.size()) {
      throw MakeError(ErrorCode::kCorrupt, "tensor {} is one of {} experts; their numbers have a gap",
                      Quoted(part->name), parts.size());
    }
    if (part->shape != first.shape || part->dtype != first.dtype) {
      FailShape(*part, fmt::format("that of the first expert, {} in {}", first.Shape(), first.dtype));
    }
    out.made.insert(out.made.end(), part->data.begin(), part->data.end());
  }
  return out;
}

// 32 codes, of which each byte has two neighbours, the first in the low bits, as 16 bytes with the first
// half in the low bits and the second in the high ones.
void RepackCodes(const uint8_t* from, uint8_t* to) {
  const auto code = [&](int i) { return (from[i / 2] >> (i % 2 * 4)) & 15; };
  for (int i = 0; i < 16; ++i) to[i] = static_cast<uint8_t>(code(i) | code(i + 16) << 4);
}

// blocks: [experts, rows, cols / 32, 16], scales: [experts, rows, cols / 32]. Takes each `step`-th row from
// `first` on.
Tensor AsMxFp4(const std::string& name, const StoredTensor& blocks, const StoredTensor& scales,
               uint64_t first, uint64_t step) {
  const std::vector<uint64_t>& shape = blocks.shape;
  const bool fits = blocks.dtype == "U8" && shape.size() == 4 && shape[3] == 16 && shape[1] % step == 0;
  if (!fits) FailShape(blocks, "[experts, rows, columns / 32, 16] in U8");
  if (scales.dtype != "U8" || scales.shape != std::vector<uint64_t>(shape.begin(), shape.end() - 1)) {
    FailShape(scales, fmt::format("[{}, {}, {}] in U8", shape[0], shape[1], shape[2]));
  }
  Tensor out{name, TensorType::kMXFP4, {shape[2] * 32, shape[1] / step, shape[0]}, {}, {}};
  out.made.resize(blocks.data.size() / 16 * 17 / step);
  uint8_t* to = out.made.data();
  for (uint64_t row = first; row < shape[0] * shape[1]; row += step) {
    for (uint64_t block = row * shape[2]; block < (row + 1) * shape[2]; ++block, to += 17) {
      to[0] = scales.data[block];
      RepackCodes(&blocks.data[16 * block], to + 1);
    }
  }
  return out;
}

// [experts, rows, cols] with rows and columns exchanged. Takes each `step`-th column from `first` on.
Tensor Transposed(const std::string& name, const StoredTensor& stored, uint64_t first, uint64_t step) {
  const std::vector<uint64_t>& shape = stored.shape;
  if (shape.size() != 3 || shape[2] % step != 0) FailShape(stored, "[experts, rows, columns]");
  const uint64_t rows = shape[1], cols = shape[2];
  Tensor out{name, TypeOf(stored), {rows, cols / step, shape[0]}, {}, {}};
  const size_t size = BlockSizeOf(out.type)->bytes;
  out.made.resize(stored.data.size() / step);
  constexpr uint64_t kTile = 32;  // rows whose cache lines are read to their ends
  for (uint64_t expert = 0; expert < shape[0]; ++expert) {
    const uint8_t* from = stored.data.data() + expert * rows * cols * size;
    uint8_t* to = out.made.data() + expert * rows * cols / step * size;
    for (uint64_t tile = 0; tile < rows; tile += kTile) {
      for (uint64_t col = first; col < cols; col += step) {
        for (uint64_t row = tile; row < std::min(rows, tile + kTile); ++row) {
          std::memcpy(to + (col / step * rows + row) * size, from + (row * cols + col) * size, size);
        }
      }
    }
  }
  return out;
}

// Each second element of the rows of [experts, elements], in F32.
Tensor EachSecond(const std::string& name, const StoredTensor& stored, uint64_t first) {
  if (stored.shape.size() != 2 || stored.shape[1] % 2 != 0) FailShape(stored, "[experts, an even number]");
  Tensor out = AsF32(name, stored);
  out.dims[0] /= 2;
  const size_t count = out.made.size() / sizeof(float) / 2;
  for (size_t i = 0; i < count; ++i) {
    std::memmove(&out.made[4 * i], &out.made[4 * (2 * i + first)], sizeof(float));
  }
  out.made.resize(out.made.size() / 2);
  return out;
}

class Converter {
 public:
  Converter(const FolderConfig& config, const std::vector<StoredTensor>& stored) : config_(config) {
    for (const StoredTensor& tensor : stored) by_name_.emplace(tensor.name, &tensor);
    for (const StoredTensor& tensor : stored) Convert(tensor);
    for (const auto& [name, parts] : experts_) out_.push_back(Stacked(name, parts));
  }

  std::vector<Tensor> Take() { return std::move(out_); }

 private:
  void Convert(const StoredTensor& stored) {
    if (IsUnused(stored.name) || ConvertGptOss(stored)) return;
    if (const auto expert = FindExpertName(stored.name)) {
      experts_[expert->all].emplace(expert->number, &stored);
      return;
    }
    const std::string name = GgufName(config_.family, stored.name);
    if (name.empty()) {
      throw MakeError(ErrorCode::kUnsupported, "tensor {} is not among those that a {} has",
                      Quoted(stored.name), config_.family.model_class);
    }
    if (name == "output.weight" && config_.IsTied()) return;
    out_.push_back(ConvertOne(name, stored));
  }

  Tensor ConvertOne(const std::string& name, const StoredTensor& stored) const {
    const bool is_norm = name.ends_with("norm.weight");
    if (is_norm || name.ends_with("ffn_gate_inp.weight")) {
      return AsF32(name, stored, is_norm && config_.family.norms_plus_one ? 1.0f : 0.0f);
    }
    const bool is_q = name.find(".attn_q.") != std::string::npos;
    const bool is_k = name.find(".attn_k.") != std::string::npos;
    if (!config_.family.pairs_rows || !(is_q || is_k)) {
      return stored.shape.size() < 2 ? AsF32(name, stored) : AsIs(name, stored);
    }
    const JsonObject& values = config_.values;
    const uint32_t heads = values.Count("num_attention_heads");
    Tensor paired = WithPairedRows(name, stored, is_q ? heads : values.CountOr("num_key_value_heads", heads));
    if (stored.shape.size() > 1) return paired;
    StoredTensor bias = stored;
    bias.data = paired.made;
    return AsF32(name, bias);
  }

  // Experts whose gates and ups alternate; weights in MXFP4, or transposed. False if it is no such tensor.
  bool ConvertGptOss(const StoredTensor& stored) {
    const size_t at = stored.name.find(".mlp.experts.");
    if (std::string_view(config_.family.architecture) != "gpt-oss" || at == std::string::npos) return false;
    const std::string prefix = stored.name.substr(0, at);
    const std::string part = stored.name.substr(at + std::strlen(".mlp.experts."));
    std::string norm = GgufName(config_.family, prefix + ".input_layernorm.weight");
    const std::string layer = norm.substr(0, norm.find("attn_norm"));  // "blk.3."
    if (part == "down_proj_bias") {
      out_.push_back(AsF32(layer + "ffn_down_exps.bias", stored));
    } else if (part == "gate_up_proj_bias") {
      out_.push_back(EachSecond(layer + "ffn_gate_exps.bias", stored, 0));
      out_.push_back(EachSecond(layer + "ffn_up_exps.bias", stored, 1));
    } else if (part == "down_proj") {
      out_.push_back(Transposed(layer + "ffn_down_exps.weight", stored, 0, 1));
    } else if (part == "gate_up_proj") {
      out_.push_back(Transposed(layer + "ffn_gate_exps.weight", stored, 0, 2));
      out_.push_back(Transposed(layer + "ffn_up_exps.weight", stored, 1, 2));
    } else if (part == "down_proj_blocks") {
      out_.push_back(AsMxFp4(layer + "ffn_down_exps.weight", stored, ScalesOf(stored), 0, 1));
    } else if (part == "gate_up_proj_blocks") {
      out_.push_back(AsMxFp4(layer + "ffn_gate_exps.weight", stored, ScalesOf(stored), 0, 2));
      out_.push_back(AsMxFp4(layer + "ffn_up_exps.weight", stored, ScalesOf(stored), 1, 2));
    } else {
      return part.ends_with("_scales");
    }
    return true;
  }

  const StoredTensor& ScalesOf(const StoredTensor& blocks) const {
    const std::string name = blocks.name.substr(0, blocks.name.rfind("_blocks")) + "_scales";
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) throw MakeError(ErrorCode::kCorrupt, "tensor {} is missing", Quoted(name));
    return *found->second;
  }

  const FolderConfig& config_;
  std::map<std::string, const StoredTensor*> by_name_;
  std::map<std::string, std::map<uint32_t, const StoredTensor*>> experts_;  // by the name of all, and number
  std::vector<Tensor> out_;
};

}  // namespace

std::vector<GgufContent::Tensor> ConvertTensors(const FolderConfig& config,
                                                const std::vector<StoredTensor>& stored) {
  return Converter(config, stored).Take();
}

}  // namespace throng::model
