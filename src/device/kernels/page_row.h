// How a warp holds 8 rows of queries, their scores of a page and their outputs: row lane / 4, in four lanes
// each.
#pragma once

#include "device/intrinsics.h"

namespace throng::device {

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

}  // namespace throng::device
