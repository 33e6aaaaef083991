// The types of GGUF tensors that this program computes with: their numbers, names and block sizes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace throng::model {

// Numbers as in the file.
enum class TensorType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kQ1_0 = 41,
  kQ2_0 = 42,
};

// The number of elements, all of one row, that share a block, and the block's size in bytes.
struct BlockSize {
  uint32_t elements;
  uint32_t bytes;
};

struct TensorTypeRow {
  TensorType type;
  const char* name;
  BlockSize block;
};

// Every type above, by kind and size.
inline constexpr auto kTensorTypes = std::to_array<TensorTypeRow>({
    {TensorType::kF32, "F32", {1, 4}},
    {TensorType::kF16, "F16", {1, 2}},
    {TensorType::kBF16, "BF16", {1, 2}},
    {TensorType::kQ8_0, "Q8_0", {32, 34}},
    {TensorType::kQ5_1, "Q5_1", {32, 24}},
    {TensorType::kQ5_0, "Q5_0", {32, 22}},
    {TensorType::kQ4_1, "Q4_1", {32, 20}},
    {TensorType::kQ4_0, "Q4_0", {32, 18}},
    {TensorType::kQ6_K, "Q6_K", {256, 210}},
    {TensorType::kQ5_K, "Q5_K", {256, 176}},
    {TensorType::kQ4_K, "Q4_K", {256, 144}},
    {TensorType::kQ3_K, "Q3_K", {256, 110}},
    {TensorType::kQ2_K, "Q2_K", {256, 84}},
    {TensorType::kIQ4_NL, "IQ4_NL", {32, 18}},
    {TensorType::kIQ4_XS, "IQ4_XS", {256, 136}},
    {TensorType::kIQ3_S, "IQ3_S", {256, 110}},
    {TensorType::kIQ3_XXS, "IQ3_XXS", {256, 98}},
    {TensorType::kIQ2_S, "IQ2_S", {256, 82}},
    {TensorType::kIQ2_XS, "IQ2_XS", {256, 74}},
    {TensorType::kIQ2_XXS, "IQ2_XXS", {256, 66}},
    {TensorType::kIQ1_M, "IQ1_M", {256, 56}},
    {TensorType::kIQ1_S, "IQ1_S", {256, 50}},
    {TensorType::kTQ2_0, "TQ2_0", {256, 66}},
    {TensorType::kTQ1_0, "TQ1_0", {256, 54}},
    {TensorType::kMXFP4, "MXFP4", {32, 17}},
    {TensorType::kNVFP4, "NVFP4", {64, 36}},
    {TensorType::kQ2_0, "Q2_0", {64, 18}},
    {TensorType::kQ1_0, "Q1_0", {128, 18}},
});

// By number; no elements where there is no such type.
inline constexpr auto kBlockSizes = [] {
  std::array<BlockSize, 64> sizes{};
  for (const TensorTypeRow& row : kTensorTypes) sizes[static_cast<size_t>(row.type)] = row.block;
  return sizes;
}();

// Empty for a type that this program does not know.
constexpr std::optional<BlockSize> BlockSizeOf(TensorType type) {
  const auto number = static_cast<size_t>(type);
  if (number >= kBlockSizes.size() || kBlockSizes[number].elements == 0) return std::nullopt;
  return kBlockSizes[number];
}

// The bytes of a tensor of a known type; dims[0] is the contiguous one, and has whole blocks.
uint64_t TensorBytes(TensorType type, std::span<const uint64_t> dims);

// "Q4_K"; "type 31" for an unknown one.
std::string TensorTypeName(TensorType type);

// "F32, F16, ... and NVFP4": for messages about types that are not among them.
std::string TensorTypeNames();

}  // namespace throng::model
