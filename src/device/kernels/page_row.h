// How a warp holds 8 rows of queries, their scores of a page and their outputs: row lane / 4, in four lanes
// each.
#pragma once

#include "device/intrinsics.h"

namespace throng::device {

inline constexpr int kPageTokens = 64;

// The scores of a page in a warp, or what becomes of them: [h][v][j] belongs to row lane / 4 and to token
// 32 h + 8 (lane % 4) + 4 j + v.
using PageRow = float[2][4][2];
THRONG_DEVICE int TokenOf(int h, int v, int j) { return 32 * h + 8 * (Lane() % 4) + 4 * j + v; }

// The outputs of a row in a warp: [k][v][j] belongs to row lane / 4 and to channel 32 k + 8 (lane % 4) + 4 j
// + v.
template <int kDim>
using OutputRow = float[kDim / 32][4][2];

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

THRONG_DEVICE int SignedByte(uint32_t word, int i) { return static_cast<int8_t>(word >> 8 * i & 0xff); }
THRONG_DEVICE int Byte(uint32_t word, int i) { return static_cast<int>(word >> 8 * i & 0xff); }

// What a lane holds of its row's query in 8 bits: words of channels 32 s + 8 (lane % 4) and 4 more.
template <int kDim>
struct IntegerQueryRow {
  uint32_t codes[kDim / 32][2];
  float scale;

  // codes: the row's, [kDim], in shared memory, aligned to 8.
  THRONG_DEVICE void Load(const int8_t* from, float of) {
    THRONG_UNROLL
    for (int s = 0; s < kDim / 32; ++s) {
      const auto* words = reinterpret_cast<const Words2*>(from + 32 * s + 8 * (Lane() % 4));
      codes[s][0] = words->w[0];
      codes[s][1] = words->w[1];
    }
    scale = of;
  }
};

}  // namespace throng::device
