// How all codecs treat NaN and numbers that are too large: NaN counts as 0, the rest is clamped.
#pragma once

#include <algorithm>

namespace throng::kv {

// The range of f16. Codecs clamp the elements of blocks to it (f32: to kLargestInF32), and all codecs the
// elements of queries, so that every score and every sum is finite in f32.
inline constexpr float kLargestElement = 65504.0f;
inline constexpr float kLargestInF32 = 1e30f;

// A scale, or the largest element of a row, below this counts as 0: dividing by it could overflow.
inline constexpr float kLeastScale = 1e-30f;

inline float Finite(float x, float largest = kLargestElement) {
  return x == x ? std::min(std::max(x, -largest), largest) : 0.0f;
}

// Copies a query row, made finite.
inline void CopyFinite(const float* from, int count, float* to) {
  for (int i = 0; i < count; ++i) to[i] = Finite(from[i]);
}

}  // namespace throng::kv
