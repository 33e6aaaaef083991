#include "model/matmul/block_formats.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/half.h"

namespace throng::model {
namespace {

uint16_t Load16(const uint8_t* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return bits;
}

float LoadHalf(const uint8_t* p) { return HalfToFloat(Load16(p)); }

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

// Q4_K and Q5_K: d, dmin, 12 bytes of scales and minimums, (Q5: 32 bytes whose bit g is the fifth of
// sub-block g), and 128 bytes: 64 elements share 32 of them, low nibbles first.
void DequantizeK45(const uint8_t* block, bool has_fifth, float* out) {
  const float d = LoadHalf(block);
  const float dmin = LoadHalf(block + 2);
  const uint8_t* packed = block + 4;
  const uint8_t* fifth = block + 16;
  const uint8_t* nibbles = fifth + (has_fifth ? 32 : 0);
  for (int group = 0; group < 8; ++group) {
    const ScaleMin sm = UnpackScaleMin(packed, group);
    const float scale = d * static_cast<float>(sm.scale);
    const float min = dmin * static_cast<float>(sm.min);
    for (int i = 0; i < 32; ++i) {
      const uint8_t byte = nibbles[group / 2 * 32 + i];
      int code = group % 2 ? byte >> 4 : byte & 15;
      if (has_fifth) code |= ((fifth[i] >> group) & 1) << 4;
      out[group * 32 + i] = static_cast<float>(code) * scale - min;
    }
  }
}

// Q6_K: 128 bytes of low nibbles, 64 of high bit pairs, 16 int8 scales, d. Each half of the block takes 64
// and 32 bytes.
void DequantizeQ6K(const uint8_t* block, float* out) {
  const float d = LoadHalf(block + 208);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128;
    const int group = i % 128 / 32;
    const int k = i % 32;
    const uint8_t low = block[half * 64 + group % 2 * 32 + k];
    const uint8_t high = block[128 + half * 32 + k];
    const int code = (group < 2 ? low & 15 : low >> 4) | ((high >> (2 * group)) & 3) << 4;
    const auto scale = static_cast<int8_t>(block[192 + i / 16]);
    out[i] = d * static_cast<float>(scale) * static_cast<float>(code - 32);
  }
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
      *out = Bfloat16ToFloat(Load16(block));
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
    case TensorType::kQ4_K:
      return DequantizeK45(block, false, out);
    case TensorType::kQ5_K:
      return DequantizeK45(block, true, out);
    case TensorType::kQ6_K:
      return DequantizeQ6K(block, out);
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
