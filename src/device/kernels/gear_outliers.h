// The outliers of a page of gear while it is sealed (kv/gear/gear_encode.cc): which elements they are, and
// where their entries go.
#pragma once

#include "device/intrinsics.h"

namespace throng::device {

// The gain from removing the lowest or highest element of a group of 64, whichever is larger. -1: nothing can
// go.
struct GearCandidate {
  double gain;
  int32_t at;  // in the group
};

// Lowest and highest of what counts in a warp, and the least index of each: v[i] has index lane + 32 i.
struct WarpRange {
  float low = __builtin_huge_valf();
  float high = -__builtin_huge_valf();

  THRONG_DEVICE void Add(float v, bool for_low, bool for_high) {
    if (for_low) low = Min(low, v);
    if (for_high) high = Max(high, v);
  }
  THRONG_DEVICE void Reduce() {
    THRONG_UNROLL
    for (int mask = 16; mask > 0; mask /= 2) {
      low = Min(low, ShuffleXor(low, mask));
      high = Max(high, ShuffleXor(high, mask));
    }
  }
};
THRONG_DEVICE int32_t WarpLeast(int32_t x) {
  THRONG_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) {
    const int32_t other = ShuffleXor(x, mask);
    x = other < x ? other : x;
  }
  return x;
}

THRONG_DEVICE double SquareOf(double x) { return x * x; }

// The candidate of a group, the same in all lanes of a warp. rest, flags: [64] of the group, of which a lane
// reads elements lane and lane + 32 alone.
THRONG_DEVICE GearCandidate FindCandidate(const float* rest, const uint8_t* flags) {
  constexpr int kNone = 64;
  float v[2];
  bool counts[2];
  int32_t count = 0;
  WarpRange range;
  THRONG_UNROLL
  for (int i = 0; i < 2; ++i) {
    v[i] = rest[Lane() + 32 * i];
    counts[i] = flags[Lane() + 32 * i] == 0;
    count += counts[i] ? 1 : 0;
    range.Add(v[i], counts[i], counts[i]);
  }
  range.Reduce();
  THRONG_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) count += ShuffleXor(count, mask);
  if (count < 2) return {-1.0, 0};
  int32_t low_at = kNone;
  int32_t high_at = kNone;
  THRONG_UNROLL
  for (int i = 1; i >= 0; --i) {
    if (counts[i] && v[i] == range.low) low_at = Lane() + 32 * i;
    if (counts[i] && v[i] == range.high) high_at = Lane() + 32 * i;
  }
  low_at = WarpLeast(low_at);
  high_at = WarpLeast(high_at);
  WarpRange second;
  THRONG_UNROLL
  for (int i = 0; i < 2; ++i) {
    const int index = Lane() + 32 * i;
    second.Add(v[i], counts[i] && index != low_at, counts[i] && index != high_at);
  }
  second.Reduce();
  const double low = range.low;
  const double high = range.high;
  const double low_gain = SquareOf(high - low) - SquareOf(high - second.low);
  const double high_gain = SquareOf(high - low) - SquareOf(second.high - low);
  return {low_gain > high_gain ? low_gain : high_gain, low_gain >= high_gain ? low_at : high_at};
}

// Marks kEntries outliers, one after the other: always that of the group which gains most, the first of equal
// ones. By one warp; a lane has the candidates of groups lane, lane + 32, ...
template <int kGroups, int kEntries>
THRONG_DEVICE void ChooseOutliers(const GearCandidate* found, const float* rest, uint8_t* flags) {
  constexpr int kOwn = kGroups / kWarpThreads;
  static_assert(kGroups % kWarpThreads == 0);
  GearCandidate own[kOwn];
  THRONG_UNROLL
  for (int i = 0; i < kOwn; ++i) own[i] = found[Lane() + kWarpThreads * i];
  for (int entry = 0; entry < kEntries; ++entry) {
    double gain = -2.0;
    int32_t group = 0;
    int32_t at = 0;
    THRONG_UNROLL
    for (int i = 0; i < kOwn; ++i) {
      if (own[i].gain > gain) {
        gain = own[i].gain;
        group = Lane() + kWarpThreads * i;
        at = own[i].at;
      }
    }
    THRONG_UNROLL
    for (int mask = 16; mask > 0; mask /= 2) {
      const double other_gain = ShuffleXor(gain, mask);
      const int32_t other_group = ShuffleXor(group, mask);
      const int32_t other_at = ShuffleXor(at, mask);
      if (other_gain > gain || (other_gain == gain && other_group < group)) {
        gain = other_gain;
        group = other_group;
        at = other_at;
      }
    }
    if (gain < 0.0) return;
    // The lane that reads this flag in FindCandidate sets it, so nobody waits.
    if (at % kWarpThreads == Lane()) flags[64 * group + at % 64] = 1;
    const GearCandidate next = FindCandidate(rest + 64 * group, flags + 64 * group);
    THRONG_UNROLL
    for (int i = 0; i < kOwn; ++i) {
      if (group == Lane() + kWarpThreads * i) own[i] = next;
    }
  }
}

}  // namespace throng::device
