#include "model/matmul/block_formats.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "model/matmul/dequantize.h"

namespace throng::model {
namespace {

// Q4_0, Q4_1, Q5_0, Q5_1: scale, then the minimum (..._1), then a fifth bit per element (Q5), then 16 bytes
// of which the low nibbles are the first 16 elements. Without a minimum, codes are centred on half their
// range.
void DequantizeNibbleBlock(const uint8_t* block, bool has_min, bool has_fifth, float* out) {
  const float scale = LoadHalf(block);
  block += 2;
  const float min = has_min ? LoadHalf(block) : 0.0f;
  if (has_min) block += 2;
  uint32_t fifth = 0;
  if (has_fifth) {
    std::memcpy(&fifth, block, sizeof(fifth));
    block += 4;
  }
  const int offset = has_min ? 0 : has_fifth ? 16 : 8;
  for (int i = 0; i < 32; ++i) {
    const int nibble = i < 16 ? block[i] & 15 : block[i - 16] >> 4;
    const int code = nibble | static_cast<int>(((fifth >> i) & 1) << 4);
    out[i] = static_cast<float>(code - offset) * scale + min;
  }
}

void DequantizeQ8_0(const uint8_t* block, float* out) {
  const float scale = LoadHalf(block);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * scale;
}

void DequantizeBlock(TensorType type, const uint8_t* block, float* out) {
  switch (type) {
    case TensorType::kF32:
      std::memcpy(out, block, sizeof(float));
      return;
    case TensorType::kF16:
      *out = LoadHalf(block);
      return;
    case TensorType::kBF16:
      *out = Bfloat16ToFloat(LoadNumber<uint16_t>(block));
      return;
    case TensorType::kQ4_0:
      return DequantizeNibbleBlock(block, false, false, out);
    case TensorType::kQ4_1:
      return DequantizeNibbleBlock(block, true, false, out);
    case TensorType::kQ5_0:
      return DequantizeNibbleBlock(block, false, true, out);
    case TensorType::kQ5_1:
      return DequantizeNibbleBlock(block, true, true, out);
    case TensorType::kQ8_0:
      return DequantizeQ8_0(block, out);
    case TensorType::kQ2_K:
      return DequantizeQ2K(block, out);
    case TensorType::kQ3_K:
      return DequantizeQ3K(block, out);
    case TensorType::kQ4_K:
      return DequantizeQ4K(block, out);
    case TensorType::kQ5_K:
      return DequantizeQ5K(block, out);
    case TensorType::kQ6_K:
      return DequantizeQ6K(block, out);
    case TensorType::kTQ1_0:
      return DequantizeTQ1(block, out);
    case TensorType::kTQ2_0:
      return DequantizeTQ2(block, out);
    case TensorType::kIQ4_NL:
      return DequantizeIq4Nl(block, out);
    case TensorType::kIQ4_XS:
      return DequantizeIq4Xs(block, out);
    case TensorType::kMXFP4:
      return DequantizeMxFp4(block, out);
    case TensorType::kNVFP4:
      return DequantizeNvFp4(block, out);
    case TensorType::kQ1_0:
      return DequantizeBitStream(block, 1, out);
    case TensorType::kQ2_0:
      return DequantizeBitStream(block, 2, out);
    case TensorType::kIQ2_XXS:
      return DequantizeIq2Xxs(block, out);
    case TensorType::kIQ2_XS:
      return DequantizeIq2Xs(block, out);
    case TensorType::kIQ2_S:
      return DequantizeIq2S(block, out);
    case TensorType::kIQ3_XXS:
      return DequantizeIq3Xxs(block, out);
    case TensorType::kIQ3_S:
      return DequantizeIq3S(block, out);
    case TensorType::kIQ1_S:
      return DequantizeIq1S(block, out);
    case TensorType::kIQ1_M:
      return DequantizeIq1M(block, out);
  }
}

}  // namespace

ScaleMin UnpackScaleMin(const uint8_t packed[12], int i) {
  if (i < 4) return {static_cast<uint8_t>(packed[i] & 63), static_cast<uint8_t>(packed[i + 4] & 63)};
  return {static_cast<uint8_t>((packed[i + 4] & 15) | (packed[i - 4] >> 6) << 4),
          static_cast<uint8_t>((packed[i + 4] >> 4) | (packed[i] >> 6) << 4)};
}

void DequantizeRow(TensorType type, const uint8_t* row, size_t count, float* out) {
  const auto size = BlockSizeOf(type);
  THRONG_CHECK(size && count % size->elements == 0);
  for (size_t i = 0; i < count; i += size->elements, row += size->bytes) DequantizeBlock(type, row, out + i);
}

void QuantizeRowQ8_0(const float* x, size_t count, uint8_t* row) {
  THRONG_CHECK(count % 32 == 0);
  for (size_t block = 0; block < count; block += 32, row += 34) {
    float largest = 0.0f;
    for (int i = 0; i < 32; ++i) largest = std::max(largest, std::abs(x[block + i]));
    const float scale = largest / 127.0f;
    const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    const uint16_t half = FloatToHalf(scale);
    std::memcpy(row, &half, sizeof(half));
    for (int i = 0; i < 32; ++i) {
      row[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(std::lround(x[block + i] * inverse)));
    }
  }
}

}  // namespace throng::model
