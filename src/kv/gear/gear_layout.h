// The layout of an encoded page of gear.h.
#pragma once

#include <cstddef>
#include <vector>

#include "kv/codec.h"

namespace throng::kv {

inline constexpr int kGearMaxRank = 16;
inline constexpr int kGearMaxRounds = 16;
inline constexpr double kGearMaxSparsity = 0.1;
inline constexpr int kGearMinGroup = 16;
inline constexpr int kGearMaxPairs = kPageTokens * kMaxHeadDim / kGearMinGroup;  // pairs of scale and zero
inline constexpr int kGearSubChunk = 64;  // codes whose bits are at the same place in 64 consecutive bytes

// The index at which kernels keep element i of a row or column: 16 elements form a transposed 4 x 4, the
// order in which unpack instructions leave four interleaved rows. GearSlot is its own inverse.
constexpr int GearSlot(int i) { return (i & ~15) | (i & 3) << 2 | (i >> 2 & 3); }

// The slots of an outlier's row and lane. Two bytes keep them: the token's takes 6 bits of its byte, and the
// 2 bits above are those that the channel's lacks in heads of more than 256 channels.
struct GearSlots {
  int row, lane;
};

// A matrix [rows, lanes]: keys are [channels, tokens], values [tokens, channels]. Sums go over rows. Order of
// codes: [rows / 4, lanes, 4].
struct GearLayout {
  GearLayout(Part part, int head_dim, int bits, int group, int rank, int entries, int rounds);

  Part part;
  int rows, lanes, bits;
  int group;       // lanes that share a scale
  int num_groups;  // per row
  int rank, entries;
  // Of fitting D to what L leaves, then L to what D leaves. 0: D is fitted first, then L, once.
  int rounds;
  // Whether parts are fitted in turns and once, and the fit of less squared error is kept.
  bool FitsBothWays() const { return rounds > 0 && bits == 2; }
  ByteCounts count;
  // Offsets. Codes are at 0.
  size_t scales, zeros;  // f16 [num_groups, rows]
  size_t row_factors, lane_factors,
      factor_scales;                          // int8 [rows / 4, rank, 4], int8 [rank, lanes], f32 [rank]
  size_t differences, row_slots, lane_slots;  // f16 [entries], u8 [entries], u8 [entries]

  GearSlots LoadSlots(const uint8_t* encoded, int entry) const;
  void StoreSlots(GearSlots slots, int entry, uint8_t* encoded) const;
};

}  // namespace throng::kv
