#include "model/matmul/codebooks.h"
#include "model/matmul/dequantize.h"

namespace throng::model {
namespace {

// 8 weights: their sizes, one in a byte, and a bit of each that makes it negative.
void Write8(uint64_t sizes, uint8_t signs, float scale, float* out) {
  for (int i = 0; i < 8; ++i) {
    const auto size = static_cast<float>((sizes >> (8 * i)) & 255);
    out[i] = scale * ((signs >> i) & 1 ? -size : size);
  }
}

uint64_t Pair(uint32_t first, uint32_t second) { return first | uint64_t{second} << 32; }

// 8 weights of IQ1_S and IQ1_M; scale: of an eighth.
void WriteEighths(uint32_t index, bool down, float scale, float* out) {
  const uint64_t entry = kIq1Grid[index & 2047];
  for (int i = 0; i < 8; ++i) {
    const int eighths = static_cast<int>((entry >> (8 * i)) & 255) - 8 + (down ? -1 : 1);
    out[i] = scale * static_cast<float>(eighths);
  }
}

// Scales of the IQ2 formats are odd multiples of d / 8: of IQ3_XXS, of d / 4.
float OddScale(float d, uint32_t code) { return d * static_cast<float>(2 * code + 1); }

}  // namespace

// d; for each 32 elements 4 bytes of entries and a word: signs of 4 times 7 bits, then the scale.
void DequantizeIq2Xxs(const uint8_t* block, float* out) {
  const float d = LoadHalf(block) * 0.125f;
  for (int i = 0; i < 32; ++i, out += 8) {
    const uint8_t* group = block + 2 + i / 4 * 8;
    const auto word = LoadNumber<uint32_t>(group + 4);
    Write8(kIq2XxsGrid[group[i % 4]], WithParity((word >> (7 * (i % 4))) & 127), OddScale(d, word >> 28),
           out);
  }
}

// d, 32 entries of 9 bits each with 7 signs, 8 bytes of scales of 16 elements.
void DequantizeIq2Xs(const uint8_t* block, float* out) {
  const float d = LoadHalf(block) * 0.125f;
  for (int i = 0; i < 32; ++i, out += 8) {
    const auto entry = LoadNumber<uint16_t>(block + 2 + 2 * i);
    const uint32_t scale = (block[66 + i / 4] >> (i % 4 / 2 * 4)) & 15;
    Write8(kIq2XsGrid[entry & 511], WithParity(entry >> 9), OddScale(d, scale), out);
  }
}

// d, 32 low bytes of entries, 32 bytes of signs, 8 bytes of the entries' high pairs, 8 of scales as above.
void DequantizeIq2S(const uint8_t* block, float* out) {
  const float d = LoadHalf(block) * 0.125f;
  for (int i = 0; i < 32; ++i, out += 8) {
    const uint32_t high = (block[66 + i / 4] >> (i % 4 * 2)) & 3;
    const uint32_t scale = (block[74 + i / 4] >> (i % 4 / 2 * 4)) & 15;
    Write8(kIq2SGrid[block[2 + i] | high << 8], block[34 + i], OddScale(d, scale), out);
  }
}

// d, 64 bytes of entries, for each 32 elements a word as of IQ2_XXS.
void DequantizeIq3Xxs(const uint8_t* block, float* out) {
  const float d = LoadHalf(block) * 0.25f;
  for (int i = 0; i < 32; ++i, out += 8) {
    const auto word = LoadNumber<uint32_t>(block + 66 + i / 4 * 4);
    const uint64_t sizes = Pair(kIq3XxsGrid[block[2 + 2 * i]], kIq3XxsGrid[block[3 + 2 * i]]);
    Write8(sizes, WithParity((word >> (7 * (i % 4))) & 127), OddScale(d, word >> 28), out);
  }
}

// d, 64 low bytes of entries, 8 of their ninth bits, 32 of signs, 4 of scales of 32 elements.
void DequantizeIq3S(const uint8_t* block, float* out) {
  const float d = LoadHalf(block);
  for (int i = 0; i < 32; ++i, out += 8) {
    const auto entry = [&](int k) {
      return kIq3SGrid[block[2 + k] | ((block[66 + k / 8] >> (k % 8)) & 1) << 8];
    };
    const uint32_t scale = (block[106 + i / 8] >> (i % 8 / 4 * 4)) & 15;
    Write8(Pair(entry(2 * i), entry(2 * i + 1)), block[74 + i], OddScale(d, scale), out);
  }
}

// d, 32 low bytes of entries, for each 32 elements 16 bits: 4 times 3 high bits, scale, shift.
void DequantizeIq1S(const uint8_t* block, float* out) {
  const float d = LoadHalf(block) * 0.125f;
  for (int i = 0; i < 32; ++i, out += 8) {
    const auto bits = LoadNumber<uint16_t>(block + 34 + i / 4 * 2);
    const uint32_t high = (bits >> (3 * (i % 4))) & 7;
    WriteEighths(block[2 + i] | high << 8, bits >> 15, OddScale(d, (bits >> 12) & 7), out);
  }
}

// 32 low bytes of entries; nibbles of 3 high bits and a shift; 4 words of 16 bits: 4 times the 3 bits of a
// scale of 16 elements, and a nibble of d, the lowest first.
void DequantizeIq1M(const uint8_t* block, float* out) {
  const auto scales = [&](int k) { return LoadNumber<uint16_t>(block + 48 + 2 * k); };
  uint32_t bits = 0;
  for (int k = 0; k < 4; ++k) bits |= uint32_t{scales(k)} >> 12 << (4 * k);
  const float d = HalfToFloat(static_cast<uint16_t>(bits)) * 0.125f;
  for (int i = 0; i < 32; ++i, out += 8) {
    const uint32_t high = block[32 + i / 2] >> (i % 2 * 4);
    const uint32_t scale = (scales(i / 8) >> (i % 8 / 2 * 3)) & 7;
    WriteEighths(block[i] | (high & 7) << 8, high & 8, OddScale(d, scale), out);
  }
}

}  // namespace throng::model
