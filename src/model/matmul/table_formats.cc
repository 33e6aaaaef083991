#include <algorithm>
#include <bit>

#include "model/matmul/codebooks.h"
#include "model/matmul/dequantize.h"

namespace throng::model {
namespace {

// `count` numbers of a table: low nibbles of half as many bytes, then high ones.
void LookUp(const std::array<int8_t, 16>& values, const uint8_t* nibbles, int count, float scale,
            float* out) {
  for (int i = 0; i < count; ++i) {
    const int code = i < count / 2 ? nibbles[i] & 15 : nibbles[i - count / 2] >> 4;
    out[i] = static_cast<float>(values[static_cast<size_t>(code)]) * scale;
  }
}

// A power of two whose exponent is E8M0's byte - 127. OCP's NaN, 255, comes out as infinity.
float E8M0(uint8_t byte) { return std::bit_cast<float>(std::max(uint32_t{byte} << 23, uint32_t{1} << 22)); }

// A number of 4 bits of exponent and 3 of mantissa, as a half has them; NaN counts as 0, the top bit for
// nothing.
float E4M3(uint8_t byte) {
  if (byte == 0x7f) return 0.0f;
  return HalfToFloat(static_cast<uint16_t>((byte & 0x7f) << 7)) * 256.0f;
}

}  // namespace

// d, 16 bytes.
void DequantizeIq4Nl(const uint8_t* block, float* out) {
  LookUp(kIq4Values, block + 2, 32, LoadHalf(block), out);
}

// d, 16 bits with the high pairs of 8 scales, 4 bytes with their low nibbles, 128 bytes.
void DequantizeIq4Xs(const uint8_t* block, float* out) {
  const float d = LoadHalf(block);
  const auto high = LoadNumber<uint16_t>(block + 2);
  const auto low = LoadNumber<uint32_t>(block + 4);
  for (int group = 0; group < 8; ++group) {
    const auto code = static_cast<int>(((low >> (4 * group)) & 15) | ((high >> (2 * group)) & 3) << 4);
    LookUp(kIq4Values, block + 8 + 16 * group, 32, d * static_cast<float>(code - 32), out + 32 * group);
  }
}

// A scale of 8 bits of exponent, 16 bytes.
void DequantizeMxFp4(const uint8_t* block, float* out) {
  LookUp(kFp4Values, block + 1, 32, E8M0(block[0]) * 0.5f, out);
}

// 4 scales in E4M3 of 16 elements each, 32 bytes.
void DequantizeNvFp4(const uint8_t* block, float* out) {
  for (int part = 0; part < 4; ++part) {
    LookUp(kFp4Values, block + 4 + 8 * part, 16, E4M3(block[part]) * 0.5f, out + 16 * part);
  }
}

}  // namespace throng::model
