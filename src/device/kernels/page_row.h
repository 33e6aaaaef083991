// How a warp holds 8 rows of queries, their scores of a page and their outputs: row lane / 4, in four lanes
// each.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/quantize.h"

namespace throng::device {

inline constexpr int kPageTokens = 64;

// Below, g = lane / 4 and i = lane % 4, as in the fragments of intrinsics.h. Which tokens a lane has, and in
// which columns of products, follows from the codes of GEAR's pages, which keep elements 16 apart in one
// byte.

// The scores of a page in a warp, or what becomes of them: [h][v][j] belongs to row g and to token TokenOf(h,
// v, j).
using PageRow = float[2][4][2];
// The first of 8 tokens that a lane has at [h].
THRONG_DEVICE int OwnToken(int h) { return 32 * (Lane() % 4 / 2) + 16 * h + 8 * (Lane() % 2); }
THRONG_DEVICE int TokenOf(int h, int v, int j) { return OwnToken(h) + 4 * j + v; }
// Column g of the products [h][v] is token ColumnToken(h) + v.
THRONG_DEVICE int ColumnToken(int h) { return 32 * (Lane() / 16) + 16 * h + 4 * (Lane() / 4 % 4); }

// The outputs of a row in a warp: [k][v][j] belongs to row g and to channel OwnChannel(k) + 4 j + v.
template <int kDim>
using OutputRow = float[kDim / 32][4][2];
THRONG_DEVICE int OwnChannel(int k) { return 64 * (k / 2) + OwnToken(k % 2); }
THRONG_DEVICE int ColumnChannel(int k) { return 64 * (k / 2) + ColumnToken(k % 2); }

// Combines a value of the four lanes of a row.
THRONG_DEVICE float RowMax(float x) {
  x = Max(x, ShuffleXor(x, 1));
  return Max(x, ShuffleXor(x, 2));
}
THRONG_DEVICE float RowSum(float x) {
  x += ShuffleXor(x, 1);
  return x + ShuffleXor(x, 2);
}
THRONG_DEVICE int32_t RowSum(int32_t x) {
  x += ShuffleXor(x, 1);
  return x + ShuffleXor(x, 2);
}

// Appends to the outputs of a row, and drops the first ones.
template <int kSteps>
THRONG_DEVICE void Rotate(const float (&last)[8], float (&out)[kSteps][4][2]) {
  THRONG_UNROLL
  for (int k = 0; k < kSteps; ++k) {
    THRONG_UNROLL
    for (int c = 0; c < 8; ++c)
      out[k][c % 4][c / 4] = k + 1 < kSteps ? out[(k + 1) % kSteps][c % 4][c / 4] : last[c];
  }
}

// 8 halves in a row; of global memory, and those of four words.
THRONG_DEVICE void ToFloats(const Words4& words, float (&to)[8]) {
  THRONG_UNROLL
  for (int e = 0; e < 8; ++e) to[e] = HalfBitsToFloat(static_cast<uint16_t>(words.w[e / 2] >> e % 2 * 16));
}
THRONG_DEVICE void LoadHalves(const uint8_t* from, float (&to)[8]) { ToFloats(Load16(from), to); }

THRONG_DEVICE int SignedByte(uint32_t word, int i) { return static_cast<int8_t>(word >> 8 * i & 0xff); }
THRONG_DEVICE int Byte(uint32_t word, int i) { return static_cast<int>(word >> 8 * i & 0xff); }

inline constexpr int kGroupRows = 8;  // at most so many query heads share a KV head

// The queries of a group, in shared memory, for all warps. Rows beyond the group are 0.
template <int kDim>
struct QueryRows {
  float rows[kGroupRows][kDim + 4];               // scaled; padded, so that rows lie in different banks
  alignas(8) int8_t codes[kGroupRows][kDim + 8];  // as the page's QueryCode makes them
  float largest[kGroupRows];                      // |element|
};

// What a lane holds of its row's query in 8 bits: words of channels 32 s + 8 i and 4 more.
template <int kDim>
struct IntegerQueryRow {
  uint32_t codes[kDim / 32][2];
  float scale;

  static THRONG_DEVICE IntegerQueryRow Of(const QueryRows<kDim>& queries) {
    const int row = Lane() / 4;
    IntegerQueryRow query;
    THRONG_UNROLL
    for (int s = 0; s < kDim / 32; ++s) {
      const auto* words = reinterpret_cast<const Words2*>(queries.codes[row] + 32 * s + 8 * (Lane() % 4));
      query.codes[s][0] = words->w[0];
      query.codes[s][1] = words->w[1];
    }
    query.scale = queries.largest[row] / 127.0f;
    return query;
  }
};

// Puts weight = 128 high + low into byte e of two words; |weight| <= 16256, so that both fit 8 bits with a
// sign.
THRONG_DEVICE void SplitSigned(int weight, int e, uint32_t& high, uint32_t& low) {
  const int digit = (weight + 64) >> 7;
  high |= static_cast<uint32_t>(digit & 0xff) << 8 * e;
  low |= static_cast<uint32_t>((weight - 128 * digit) & 0xff) << 8 * e;
}

// Weights of tokens, not negative, as integers of 15 bits, 128 high + low: the operands A of products over
// tokens, at [h]. largest: of the row. Returns the unit.
THRONG_DEVICE float SplitWeights(const PageRow& weights, float largest, uint32_t (&high)[2][4],
                                 uint32_t (&low)[2][4]) {
  constexpr float kRange = 32767.0f;
  const float inverse = largest > kLeastScale ? kRange / largest : 0.0f;
  THRONG_UNROLL
  for (int h = 0; h < 2; ++h) {
    high[h][1] = high[h][3] = low[h][1] = low[h][3] = 0;
    THRONG_UNROLL
    for (int j = 0; j < 2; ++j) {
      uint32_t high_word = 0;
      uint32_t low_word = 0;
      THRONG_UNROLL
      for (int v = 0; v < 4; ++v) {
        const int rounded = static_cast<int>(Round(weights[h][v][j] * inverse));
        const uint32_t weight = static_cast<uint32_t>(rounded < 32767 ? rounded : 32767);
        high_word |= (weight >> 7) << 8 * v;
        low_word |= (weight & 127) << 8 * v;
      }
      high[h][2 * j] = high_word;
      low[h][2 * j] = low_word;
    }
  }
  return largest > kLeastScale ? largest / kRange : 0.0f;
}

// Of pages whose rows are encoded as they are.
struct UnrotatedPage {
  static constexpr bool kRotated = false;
};

// Of pages that need no memory of the warp's.
struct NoScratch {};
THRONG_DEVICE void ClearScratch(NoScratch&, int) {}

}  // namespace throng::device
