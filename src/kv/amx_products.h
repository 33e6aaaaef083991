// Products of a panel of rows with 64 columns by AMX, exact in 32 bits. To be called in a TileScope
// (base/amx.h), and only if AmxInt8Usable().
#pragma once

#include <cstddef>
#include <cstdint>

namespace throng::kv {

inline constexpr int kAmxRows = 16;       // of one tile of weights
inline constexpr int kLeastAmxRows = 8;   // that pay: a tile costs the same for fewer
inline constexpr int kPanelColumns = 64;  // tokens of keys, or dimensions of values

// Rows of weights, so many bytes apart, for so many tiles of 16 rows: 1 or 2. All rows are read.
struct PanelRows {
  const void* bytes;
  size_t stride;
  int tiles;
};

// sums[r, n] = sum over k < depth of rows[r, k] codes[k, n].  codes: [depth / 4, columns, 4], of which 64
// columns from `codes` on are used and rows of four k are `stride` bytes apart; depth: a multiple of 64, at
// most kMaxHeadDim; sums: [16 tiles, 64], aligned to 64.
// Signed weights and unsigned codes:
void MultiplyKeys(const PanelRows& rows, const uint8_t* codes, size_t stride, int depth, int32_t* sums);
// Unsigned weights and signed codes:
void MultiplyValues(const PanelRows& rows, const void* codes, size_t stride, int depth, int32_t* sums);

}  // namespace throng::kv
