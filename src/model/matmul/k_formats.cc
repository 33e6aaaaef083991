#include "model/matmul/block_formats.h"
#include "model/matmul/dequantize.h"

namespace throng::model {
namespace {

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

// Element i's bit pair in the 64 bytes of Q2_K, Q3_K and TQ2_0: 128 elements share 32 bytes, of which each
// has the pairs of the elements k, k + 32, k + 64 and k + 96, the lowest first.
int BitPair(const uint8_t* pairs, int i) { return (pairs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3; }

// The 6-bit scale of 16 elements in the 12 bytes of Q3_K: low nibbles in 8 bytes, high pairs in 4.
int UnpackQ3Scale(const uint8_t packed[12], int i) {
  const int low = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4;
  const int high = (packed[8 + i % 4] >> (i / 4 * 2)) & 3;
  return (low | high << 4) - 32;
}

// One of three values, as -1, 0 or 1: the first digit after the point of byte / 256 in base 3, once the
// digits before `digit` are shifted out.
int TernaryDigit(uint8_t byte, int digit) {
  for (int i = 0; i < digit; ++i) byte = static_cast<uint8_t>(byte * 3);
  return (byte * 3 >> 8) - 1;
}

}  // namespace

// d, then 16 bytes of codes of 1 or 2 bits, the lowest first: -1 or 1, or -1 to 2.
void DequantizeBitStream(const uint8_t* block, int bits, float* out) {
  const float d = LoadHalf(block);
  for (int i = 0; i < 128 / bits; ++i) {
    const int code = (block[2 + i * bits / 8] >> (i * bits % 8)) & ((1 << bits) - 1);
    out[i] = static_cast<float>(bits == 1 ? 2 * code - 1 : code - 1) * d;
  }
}

// 16 bytes of scales (low nibbles) and minimums of 16 elements each, 64 bytes of bit pairs, d, dmin.
void DequantizeQ2K(const uint8_t* block, float* out) {
  const float d = LoadHalf(block + 80);
  const float dmin = LoadHalf(block + 82);
  for (int i = 0; i < 256; ++i) {
    const float scale = d * static_cast<float>(block[i / 16] & 15);
    const float min = dmin * static_cast<float>(block[i / 16] >> 4);
    out[i] = scale * static_cast<float>(BitPair(block + 16, i)) - min;
  }
}

// 32 bytes whose bit g is the third of the elements 32 g to 32 g + 31, 64 bytes of bit pairs, 12 bytes of
// scales, d.
void DequantizeQ3K(const uint8_t* block, float* out) {
  const float d = LoadHalf(block + 108);
  for (int i = 0; i < 256; ++i) {
    const int third = (block[i % 32] >> (i / 32)) & 1;
    const int code = (BitPair(block + 32, i) | third << 2) - 4;
    out[i] = d * static_cast<float>(UnpackQ3Scale(block + 96, i / 16)) * static_cast<float>(code);
  }
}

void DequantizeQ4K(const uint8_t* block, float* out) { DequantizeK45(block, false, out); }
void DequantizeQ5K(const uint8_t* block, float* out) { DequantizeK45(block, true, out); }

// 128 bytes of low nibbles, 64 of high bit pairs, 16 int8 scales, d. Each half of the block takes 64 and 32
// bytes.
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

// 48 bytes of five digits and 4 of four, d. 32 bytes have the digits of 160 elements, then 16 of 80 and 4 of
// 16: the first digits of all of them, then the second ones, and so on.
void DequantizeTQ1(const uint8_t* block, float* out) {
  const float d = LoadHalf(block + 52);
  const auto unpack = [&](const uint8_t* bytes, int count, int digits) {
    for (int i = 0; i < count * digits; ++i) {
      *out++ = static_cast<float>(TernaryDigit(bytes[i % count], i / count)) * d;
    }
  };
  unpack(block, 32, 5);
  unpack(block + 32, 16, 5);
  unpack(block + 48, 4, 4);
}

// 64 bytes of bit pairs, d.
void DequantizeTQ2(const uint8_t* block, float* out) {
  const float d = LoadHalf(block + 64);
  for (int i = 0; i < 256; ++i) out[i] = static_cast<float>(BitPair(block, i) - 1) * d;
}

}  // namespace throng::model
