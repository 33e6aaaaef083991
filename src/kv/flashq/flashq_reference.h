// FlashQ in double precision and plain loops: the specification of the codecs flashq4 and flashq2 (flashq.h),
// and variants for comparison. For tests and tools.
//
// Stage 1, per tile of tokens and one head: q1 = round(x / s1), s1 = max|x| / 119 as f32.
// Stage 2, per channel of the tile: q2 = round((q1 - z) / s2) with b bits, z = min q1, s2 a whole number;
// back, q1' = q2 s2 + z. Ties go to even in both.
//
// 119 is the largest range for which q1' fits 8 bits with every such zero point and scale of 4 bits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace throng::kv {

inline constexpr int kFlashqRange = 119;

enum class FlashqScale {
  kCeil,        // s2 = ceil(range / (2^b - 1)), at least 1: nothing is clipped
  kFixedPoint,  // u8 with 4 fractional bits at 4 bit, 1 at 2 bit: q1' = z + ((q2 s2 + half) >> bits)
};

enum class FlashqZero {
  kLowest,  // z = min q1: keys
  // The z nearest to it with which the tile's first token is exact, unless that is below -128: values. q1'
  // may take more than 8 bits.
  kFirstToken,
};

struct FlashqTile {
  float scale = 0.0f;        // s1; 0: all zero
  std::vector<int> codes{};  // q1, [tokens, d]
};

struct FlashqChannels {
  std::vector<int> scale, zero;     // s2 and z, [d]
  std::vector<int> codes, rebuilt;  // q2 and q1', [tokens, d]
};

FlashqTile QuantizeFlashqTile(std::span<const double> tile, int range = kFlashqRange);
FlashqChannels QuantizeFlashqChannels(std::span<const int> codes, int head_dim, int bits,
                                      FlashqScale rule = FlashqScale::kCeil,
                                      FlashqZero zero = FlashqZero::kLowest);

// rows: [tokens, d], cut into tiles of tile_tokens; bits: 4, 2 or 8 (stage 1 alone).
std::vector<double> FlashqRoundTrip(std::span<const double> rows, int head_dim, int tile_tokens, int bits,
                                    FlashqScale rule = FlashqScale::kCeil);

}  // namespace throng::kv
