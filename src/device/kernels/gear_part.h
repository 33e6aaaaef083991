// Where the parts of a page of kivi, gearl or gear lie.
#pragma once

#include "device/intrinsics.h"

namespace throng::device {

// Of keys or values: GearLayout of kv/gear/gear_layout.h, with groups of 64 lanes.
template <int kBits, int kRows, int kLanes, int kRank, int kEntries>
struct GearPart {
  static_assert((kBits == 4 || kBits == 2) && kRank <= 4);
  static_assert(kRows % 64 == 0 && kLanes % 64 == 0);
  static constexpr int kGroups = kLanes / 64;
  static constexpr int kScales = kRows * kLanes * kBits / 8;  // f16 [groups, rows]
  static constexpr int kZeros = kScales + 2 * kGroups * kRows;
  static constexpr int kRowFactors = kZeros + 2 * kGroups * kRows;  // int8 [rows / 4, rank, 4]
  static constexpr int kLaneFactors = kRowFactors + kRank * kRows;  // int8 [rank, lanes]
  static constexpr int kFactorScales = kLaneFactors + kRank * kLanes;
  static constexpr int kDifferences = kFactorScales + 4 * kRank;  // f16 of each outlier
  static constexpr int kRowSlots = kDifferences + 2 * kEntries;
  static constexpr int kLaneSlots = kRowSlots + kEntries;
  static constexpr int kBytes = kLaneSlots + kEntries;

  // Rows 4 quad to 4 quad + 3, a byte each, of the lanes in this lane's columns of the products [half] of a
  // group.
  static THRONG_DEVICE Words4 LoadCodes(const uint8_t* page, int quad, int group) {
    constexpr int kGroupBytes = 64 * 4 * kBits / 8;
    const int column = Lane() / 4;  // of a product
    const int chunk = kBits == 4 ? column / 4 * 64 : 0;
    return Load16(page + (quad * kGroups + group) * kGroupBytes + chunk + column % 4 * 16);
  }
  static THRONG_DEVICE uint32_t Digits(uint32_t word, int half) {
    if constexpr (kBits == 4) return word >> 4 * half & 0x0f0f0f0fu;
    return word >> (Lane() / 16 * 4 + 2 * half) & 0x03030303u;
  }
};

// The order of 16 rows or lanes in outliers' places (kv/gear/gear_layout.h).
THRONG_DEVICE int FromSlot(int slot) { return (slot & ~15) | (slot & 3) << 2 | (slot >> 2 & 3); }

}  // namespace throng::device
