// Weights in the formats of GGUF files (model/matmul/block_formats.h), as kernels read them.
#pragma once

#include "device/intrinsics.h"

namespace throng::device {

inline constexpr int kGroupWeights = 32;  // weights that share a scale, or half of which do

// Of a row of weights; `row` is aligned to 2, and to 4 of formats whose blocks are.
THRONG_DEVICE float HalfAt(const uint8_t* p) {
  return HalfBitsToFloat(*reinterpret_cast<const uint16_t*>(p));
}
// 4 bytes, aligned to 2.
THRONG_DEVICE uint32_t WordAt(const uint8_t* p) {
  const auto* halves = reinterpret_cast<const uint16_t*>(p);
  return halves[0] | static_cast<uint32_t>(halves[1]) << 16;
}
// Each byte, below 128, minus `offset`, with a sign.
THRONG_DEVICE uint32_t MinusInBytes(uint32_t word, uint32_t offset) {
  return ((word | 0x80808080u) - offset * 0x01010101u) ^ 0x80808080u;
}

// Formats of integers. A group of 32 weights is codes[half] of four lanes: of lane `quad`, the weights 16
// half
// + 4 quad to + 3, as signed bytes.
//   kHalves   each half has a scale of its own
//   kHasMin   a weight is its code times the scale, plus Min

struct Q8_0Blocks {
  static constexpr bool kHalves = false;
  static constexpr bool kHasMin = false;
  static constexpr int kBytes = 34;
  static constexpr int kWeights = 32;

  static THRONG_DEVICE void Load(const uint8_t* row, int group, int quad, uint32_t (&codes)[2]) {
    const uint8_t* block = row + int64_t{group} * kBytes + 2;
    codes[0] = WordAt(block + 4 * quad);
    codes[1] = WordAt(block + 16 + 4 * quad);
  }
  static THRONG_DEVICE float Scale(const uint8_t* row, int group, int) {
    return HalfAt(row + int64_t{group} * kBytes);
  }
  static THRONG_DEVICE float Weight(const uint8_t* row, int i) {
    const uint8_t code = row[int64_t{i / kGroupWeights} * kBytes + 2 + i % kGroupWeights];
    return static_cast<float>(static_cast<int8_t>(code)) * Scale(row, i / kGroupWeights, 0);
  }
};

// Low nibbles are the first 16 weights.
struct Q4_0Blocks {
  static constexpr bool kHalves = false;
  static constexpr bool kHasMin = false;
  static constexpr int kBytes = 18;
  static constexpr int kWeights = 32;

  static THRONG_DEVICE void Load(const uint8_t* row, int group, int quad, uint32_t (&codes)[2]) {
    const uint32_t word = WordAt(row + int64_t{group} * kBytes + 2 + 4 * quad);
    codes[0] = MinusInBytes(word & 0x0f0f0f0fu, 8);
    codes[1] = MinusInBytes(word >> 4 & 0x0f0f0f0fu, 8);
  }
  static THRONG_DEVICE float Scale(const uint8_t* row, int group, int) {
    return HalfAt(row + int64_t{group} * kBytes);
  }
  static THRONG_DEVICE float Weight(const uint8_t* row, int i) {
    const uint8_t byte = row[int64_t{i / kGroupWeights} * kBytes + 2 + i % 16];
    const int code = i % kGroupWeights < 16 ? byte & 15 : byte >> 4;
    return static_cast<float>(code - 8) * Scale(row, i / kGroupWeights, 0) + 0.0f;
  }
};

// The exponent of a power of two, then as in Q4_0: nibbles are numbers of E2M1, whose doubles are integers.
struct MXFP4Blocks {
  static constexpr bool kHalves = false;
  static constexpr bool kHasMin = false;
  static constexpr int kBytes = 17;
  static constexpr int kWeights = 32;

  static THRONG_DEVICE void Load(const uint8_t* row, int group, int quad, uint32_t (&codes)[2]) {
    const uint8_t* bytes = row + int64_t{group} * kBytes + 1 + 4 * quad;  // not aligned
    const uint32_t word = bytes[0] | bytes[1] << 8 | bytes[2] << 16 | static_cast<uint32_t>(bytes[3]) << 24;
    codes[0] = Doubles(word & 0x0f0f0f0fu);
    codes[1] = Doubles(word >> 4 & 0x0f0f0f0fu);
  }
  // Half of 2^(e - 127); OCP's NaN, 255, comes out as infinity.
  static THRONG_DEVICE float Scale(const uint8_t* row, int group, int) {
    const uint32_t bits = static_cast<uint32_t>(row[int64_t{group} * kBytes]) << 23;
    return BitsToFloat(bits != 0 ? bits : 1u << 22) * 0.5f;
  }
  static THRONG_DEVICE float Weight(const uint8_t* row, int i) {
    const uint8_t byte = row[int64_t{i / kGroupWeights} * kBytes + 1 + i % 16];
    const uint32_t code = Doubles(i % kGroupWeights < 16 ? byte & 15 : byte >> 4);
    return static_cast<float>(static_cast<int8_t>(code & 0xff)) * Scale(row, i / kGroupWeights, 0);
  }

 private:
  // Each byte, a number's sign, two bits of exponent and one of mantissa, as twice its value.
  static THRONG_DEVICE uint32_t Doubles(uint32_t numbers) {
    const uint32_t magnitudes = numbers & 0x07070707u;
    const uint32_t pairs = (magnitudes | magnitudes >> 4) & 0x00ff00ffu;
    const uint32_t selector = pairs | pairs >> 8;
    const uint32_t positive = SelectBytes(0x03020100u, 0x0c080604u, selector);
    const uint32_t negative = SelectBytes(0xfdfeff00u, 0xf4f8fafcu, selector);
    const uint32_t is_negative = (numbers >> 3 & 0x01010101u) * 0xffu;
    return (positive & ~is_negative) | (negative & is_negative);
  }
};

// 8 groups: d, dmin, 12 bytes of scales and minimums in 6 bits, 128 bytes, of which two groups share 32. The
// file's minimum is subtracted, so ours is its negative.
struct Q4_KBlocks {
  static constexpr bool kHalves = false;
  static constexpr bool kHasMin = true;
  static constexpr int kBytes = 144;
  static constexpr int kWeights = 256;

  static THRONG_DEVICE void Load(const uint8_t* row, int group, int quad, uint32_t (&codes)[2]) {
    const uint8_t* bytes = Block(row, group) + 16 + group % 8 / 2 * 32 + 4 * quad;
    const int shift = group % 2 * 4;
    codes[0] = Load4(bytes) >> shift & 0x0f0f0f0fu;
    codes[1] = Load4(bytes + 16) >> shift & 0x0f0f0f0fu;
  }
  static THRONG_DEVICE float Scale(const uint8_t* row, int group, int) {
    const uint8_t* block = Block(row, group);
    return HalfAt(block) * static_cast<float>(Six(block + 4, group % 8, 0));
  }
  static THRONG_DEVICE float Min(const uint8_t* row, int group) {
    const uint8_t* block = Block(row, group);
    return -HalfAt(block + 2) * static_cast<float>(Six(block + 4, group % 8, 1));
  }
  static THRONG_DEVICE float Weight(const uint8_t* row, int i) {
    const int group = i / kGroupWeights;
    const uint8_t byte = Block(row, group)[16 + group % 8 / 2 * 32 + i % kGroupWeights];
    const int code = group % 2 == 0 ? byte & 15 : byte >> 4;
    return static_cast<float>(code) * Scale(row, group, 0) + Min(row, group);
  }

 private:
  static THRONG_DEVICE const uint8_t* Block(const uint8_t* row, int group) {
    return row + int64_t{group / 8} * kBytes;
  }
  // The scale (which: 0) or minimum (1) of a group. Those of the last four have their high bits in the bytes
  // of the first four.
  static THRONG_DEVICE int Six(const uint8_t* packed, int group, int which) {
    if (group < 4) return packed[group + 4 * which] & 63;
    return (packed[group + 4] >> 4 * which & 15) | packed[group - 4 + 4 * which] >> 6 << 4;
  }
};

// 8 groups: 128 bytes of low nibbles, 64 of high pairs of bits, 16 scales of 16 weights each, d. Of each half
// of the block, two groups share 32 bytes of nibbles and four 32 bytes of pairs.
struct Q6_KBlocks {
  static constexpr bool kHalves = true;
  static constexpr bool kHasMin = false;
  static constexpr int kBytes = 210;
  static constexpr int kWeights = 256;

  static THRONG_DEVICE void Load(const uint8_t* row, int group, int quad, uint32_t (&codes)[2]) {
    const uint8_t* block = row + int64_t{group / 8} * kBytes;
    const uint8_t* nibbles = block + Nibbles(group) + 4 * quad;
    const uint8_t* pairs = block + Pairs(group) + 4 * quad;
    THRONG_UNROLL
    for (int half = 0; half < 2; ++half) {
      const uint32_t low = WordAt(nibbles + 16 * half) >> (group % 4 < 2 ? 0 : 4) & 0x0f0f0f0fu;
      const uint32_t high = WordAt(pairs + 16 * half) >> 2 * (group % 4) & 0x03030303u;
      codes[half] = MinusInBytes(low | high << 4, 32);
    }
  }
  static THRONG_DEVICE float Scale(const uint8_t* row, int group, int half) {
    const uint8_t* block = row + int64_t{group / 8} * kBytes;
    return HalfAt(block + 208) * static_cast<float>(static_cast<int8_t>(block[192 + group % 8 * 2 + half]));
  }
  static THRONG_DEVICE float Weight(const uint8_t* row, int i) {
    const int group = i / kGroupWeights;
    const uint8_t* block = row + int64_t{group / 8} * kBytes;
    const uint8_t byte = block[Nibbles(group) + i % kGroupWeights];
    const int low = group % 4 < 2 ? byte & 15 : byte >> 4;
    const int high = block[Pairs(group) + i % kGroupWeights] >> 2 * (group % 4) & 3;
    return Scale(row, group, i % kGroupWeights / 16) * static_cast<float>((low | high << 4) - 32);
  }

 private:
  static THRONG_DEVICE int Nibbles(int group) { return group % 8 / 4 * 64 + group % 2 * 32; }
  static THRONG_DEVICE int Pairs(int group) { return 128 + group % 8 / 4 * 32; }
};

// Formats of floats. Load8: 8 weights from i on, a multiple of 8; rows are aligned to 16. Activation: x as it
// is multiplied.

struct FloatWeights {
  static constexpr int kBytes = 4;
  static constexpr int kWeights = 1;
  static THRONG_DEVICE float Activation(float x) { return x; }
  static THRONG_DEVICE float Weight(const uint8_t* row, int i) {
    return reinterpret_cast<const float*>(row)[i];
  }
  static THRONG_DEVICE void Load8(const uint8_t* row, int i, float (&weights)[8]) {
    THRONG_UNROLL
    for (int part = 0; part < 2; ++part) {
      const Words4 words = Load16(row + int64_t{i} * kBytes + 16 * part);
      THRONG_UNROLL
      for (int e = 0; e < 4; ++e) weights[4 * part + e] = BitsToFloat(words.w[e]);
    }
  }
};

struct HalfWeights {
  static constexpr int kBytes = 2;
  static constexpr int kWeights = 1;
  static THRONG_DEVICE float Activation(float x) { return x; }
  static THRONG_DEVICE float Weight(const uint8_t* row, int i) { return HalfAt(row + int64_t{i} * kBytes); }
  static THRONG_DEVICE void Load8(const uint8_t* row, int i, float (&weights)[8]) {
    const Words4 words = Load16(row + int64_t{i} * kBytes);
    THRONG_UNROLL
    for (int e = 0; e < 8; ++e)
      weights[e] = HalfBitsToFloat(static_cast<uint16_t>(words.w[e / 2] >> e % 2 * 16));
  }
};

struct BrainWeights {  // bf16
  static constexpr int kBytes = 2;
  static constexpr int kWeights = 1;
  static THRONG_DEVICE float Activation(float x) { return RoundToBfloat16(x); }
  static THRONG_DEVICE float Weight(const uint8_t* row, int i) {
    return BitsToFloat(static_cast<uint32_t>(reinterpret_cast<const uint16_t*>(row)[i]) << 16);
  }
  static THRONG_DEVICE void Load8(const uint8_t* row, int i, float (&weights)[8]) {
    const Words4 words = Load16(row + int64_t{i} * kBytes);
    THRONG_UNROLL
    for (int e = 0; e < 8; ++e)
      weights[e] = BitsToFloat(e % 2 == 0 ? words.w[e / 2] << 16 : words.w[e / 2] & 0xffff0000u);
  }
};

}  // namespace throng::device
