// The Walsh-Hadamard transform of rows (kv/rot/hadamard-inl.h), with the same tree of additions: distances
// from 1 up, the lower element a + b, the higher one a - b.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/page_row.h"

namespace throng::device {

namespace rotation {

constexpr uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// The signs of the random rotation of kv/rot/rot.cc, a bit for each of 32 elements: NextBelow(2) of
// base/rng.h is the number's highest bit.
constexpr uint32_t SignBits(int word) {
  constexpr uint64_t kStep = 0x9e3779b97f4a7c15ull;
  const uint64_t key = Mix(kStep + 0x726f74);
  uint32_t bits = 0;
  for (uint64_t i = 0; i < 32; ++i) {
    const uint64_t number = Mix(key + (static_cast<uint64_t>(word) * 32 + i + 1) * kStep);
    bits |= static_cast<uint32_t>(number >> 63) << i;
  }
  return bits;
}

template <int kWord>
inline constexpr uint32_t kSigns = SignBits(kWord);

}  // namespace rotation

// 1 or -1 for an element; a set bit means -1. Heads of 64 have the first 64 of the signs of heads of 128.
THRONG_DEVICE float RotationSign(int element) {
  using rotation::kSigns;
  const int word = element / 32;
  const uint32_t low = word == 0 ? kSigns<0> : kSigns<1>;
  const uint32_t high = word == 2 ? kSigns<2> : kSigns<3>;
  return (word < 2 ? low : high) >> element % 32 & 1 ? -1.0f : 1.0f;
}

// Of lane `lane`: x at distance `mask` within the warp.
THRONG_DEVICE float Butterfly(float x, int mask) {
  const float other = ShuffleXor(x, mask);
  return (Lane() & mask) != 0 ? other - x : x + other;
}

// A row in a warp: x[i] is element lane + 32 i.
template <int kCount>
THRONG_DEVICE void HadamardOfWarp(float (&x)[kCount]) {
  THRONG_UNROLL
  for (int mask = 1; mask < kWarpThreads; mask *= 2) {
    THRONG_UNROLL
    for (int i = 0; i < kCount; ++i) x[i] = Butterfly(x[i], mask);
  }
  THRONG_UNROLL
  for (int apart = 1; apart < kCount; apart *= 2) {
    THRONG_UNROLL
    for (int i = 0; i < kCount; ++i) {
      if ((i & apart) != 0) continue;
      const float a = x[i];
      const float b = x[i + apart];
      x[i] = a + b;
      x[i + apart] = a - b;
    }
  }
}

// A row in the four lanes that hold its outputs: channel 64 (k / 2) + 32 (lane / 2 % 2) + 16 (k % 2) + 8
// (lane % 2) + c.
template <int kDim>
THRONG_DEVICE void HadamardOfOutput(OutputRow<kDim>& out) {
  constexpr int kSteps = kDim / 32;
  const auto at = [&](int k, int c) -> float& { return out[k][c % 4][c / 4]; };
  const auto cross = [](float& low, float& high) {
    const float a = low;
    const float b = high;
    low = a + b;
    high = a - b;
  };
  THRONG_UNROLL
  for (int k = 0; k < kSteps; ++k) {
    THRONG_UNROLL
    for (int apart = 1; apart < 8; apart *= 2) {
      THRONG_UNROLL
      for (int c = 0; c < 8; ++c) {
        if ((c & apart) == 0) cross(at(k, c), at(k, c + apart));
      }
    }
    THRONG_UNROLL
    for (int c = 0; c < 8; ++c) at(k, c) = Butterfly(at(k, c), 1);
  }
  THRONG_UNROLL
  for (int c = 0; c < 8; ++c) {
    THRONG_UNROLL
    for (int k = 0; k < kSteps; k += 2) cross(at(k, c), at(k + 1, c));
    THRONG_UNROLL
    for (int k = 0; k < kSteps; ++k) at(k, c) = Butterfly(at(k, c), 2);
    if constexpr (kSteps == 4) {
      cross(at(0, c), at(2, c));
      cross(at(1, c), at(3, c));
    }
  }
}

}  // namespace throng::device
