// Continuous planes: positions are whole multiples of 1/256 m under the Euclidean metric, so they are exact,
// hash alike on every machine, and follow the same rules as grids.
#pragma once

#include <cstdint>

#include "sim/space/space.h"

namespace throng::sim {

constexpr int32_t kUnitsPerMetre = 256;  // a plane may be 8000 km wide, a radius or speed 4 km

constexpr int32_t Metres(double metres) {
  const double units = metres * kUnitsPerMetre;
  return static_cast<int32_t>(units < 0 ? units - 0.5 : units + 0.5);
}

inline Space PlaneSpace(double width_m, double height_m) {
  return {Metres(width_m), Metres(height_m), Metric::kEuclid};
}

// The smallest number whose square is at least n.
constexpr int64_t CeilRoot(int64_t n) {
  int64_t low = 0;
  int64_t high = 3037000499;  // floor(sqrt(2^63 - 1))
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    middle* middle >= n ? high = middle : low = middle + 1;
  }
  return low;
}

// The point at most `units` from `from`, straight towards `to`; rounding never takes it further.
constexpr Pos Towards(Pos from, Pos to, int64_t units) {
  const int64_t dx = int64_t{to.x} - from.x;
  const int64_t dy = int64_t{to.y} - from.y;
  const int64_t length = CeilRoot(dx * dx + dy * dy);
  if (length <= units) return to;
  return {static_cast<int32_t>(from.x + dx * units / length),
          static_cast<int32_t>(from.y + dy * units / length)};
}

}  // namespace throng::sim
