// How a warp holds 8 rows of queries, their scores of a page and their outputs: row lane / 4, in four lanes
// each.
#pragma once

#include "device/intrinsics.h"

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

// Of pages that need no memory of the warp's.
struct NoScratch {};
THRONG_DEVICE void ClearScratch(NoScratch&, int) {}

}  // namespace throng::device
