// What all codecs make of numbers that are none, or too large: NaN counts as 0, the rest is clamped.
#pragma once

#include <algorithm>

namespace throng::kv {

// The range of f16. Elements of blocks are clamped to it (by f32: to kLargestInF32), and those of queries by
// all codecs, so that every score and every sum is finite in f32.
inline constexpr float kLargestElement = 65504.0f;
inline constexpr float kLargestInF32 = 1e30f;

// A scale, or the largest element of a row, below this counts as 0: what is divided by it could overflow.
inline constexpr float kLeastScale = 1e-30f;

inline float Finite(float x, float largest = kLargestElement) {
  return x == x ? std::min(std::max(x, -largest), largest) : 0.0f;
}

// A query row as it is, but finite.
inline void CopyFinite(const float* from, int count, float* to) {
  for (int i = 0; i < count; ++i) to[i] = Finite(from[i]);
}

}  // namespace throng::kv
