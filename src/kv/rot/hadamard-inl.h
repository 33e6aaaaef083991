// The Walsh-Hadamard transform of rows of floats. Every element is one fixed tree of additions, so neither
// the vector length nor the target changes a bit.
#if defined(THRONG_KV_HADAMARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_HADAMARD_INL_H_
#undef THRONG_KV_HADAMARD_INL_H_
#else
#define THRONG_KV_HADAMARD_INL_H_
#endif

#include <cstddef>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Lane i becomes a[i ^ h] + a[i], or a[i ^ h] - a[i] where i has the bit h; swapped: a[i ^ h].
template <class DF>
HWY_INLINE hn::Vec<DF> Butterfly(DF df, hn::Vec<DF> a, hn::Vec<DF> swapped, const float* signs) {
  return hn::Add(swapped, hn::Mul(a, hn::Load(df, signs)));
}

// Distances 1, 2 and, with 8 lanes or more, 4.
template <class DF>
HWY_INLINE hn::Vec<DF> HadamardWithin(DF df, hn::Vec<DF> a) {
  HWY_ALIGN static constexpr float kOne[16] = {1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1};
  HWY_ALIGN static constexpr float kTwo[16] = {1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1};
  HWY_ALIGN static constexpr float kFour[16] = {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1};
  a = Butterfly(df, a, hn::Shuffle2301(a), kOne);
  a = Butterfly(df, a, hn::Shuffle1032(a), kTwo);
  if constexpr (hn::MaxLanes(df) >= 8) a = Butterfly(df, a, hn::SwapAdjacentBlocks(a), kFour);
  return a;
}

// Distances from 1 to 8 kVecs of 16 kVecs elements, in registers.
template <size_t kVecs>
HWY_INLINE void HadamardVectors(float* x) {
  const hn::CappedTag<float, 16> df;
  if constexpr (hn::MaxLanes(df) == 16) {
    HWY_ALIGN static constexpr float kEight[16] = {1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1};
    hn::Vec<decltype(df)> v[kVecs];
    HWY_UNROLL(16)
    for (size_t i = 0; i < kVecs; ++i) {
      const auto a = HadamardWithin(df, hn::LoadU(df, x + 16 * i));
      v[i] = Butterfly(df, a, hn::ConcatLowerUpper(df, a, a), kEight);
    }
    HWY_UNROLL(4)
    for (size_t h = 1; h < kVecs; h *= 2) {
      HWY_UNROLL(16)
      for (size_t i = 0; i < kVecs; ++i) {
        if ((i & h) != 0) continue;
        const auto a = v[i], b = v[i + h];
        v[i] = hn::Add(a, b);
        v[i + h] = hn::Sub(a, b);
      }
    }
    HWY_UNROLL(16)
    for (size_t i = 0; i < kVecs; ++i) hn::StoreU(v[i], df, x + 16 * i);
  }
}

// Returns the distance from which on the rest is to be done. size: a power of two, at least 8.
HWY_INLINE size_t HadamardOfShortDistances(float* x, size_t size) {
  constexpr size_t kMost = 128;  // elements in registers at once
  if (hn::MaxLanes(hn::CappedTag<float, 16>()) == 16 && size >= 64) {
    if (size == 64) {
      HadamardVectors<4>(x);
      return size;
    }
    for (size_t i = 0; i < size; i += kMost) HadamardVectors<8>(x + i);
    return kMost;
  }
  const hn::CappedTag<float, 8> df;
  const size_t N = hn::Lanes(df);
  for (size_t i = 0; i < size; i += N) hn::StoreU(HadamardWithin(df, hn::LoadU(df, x + i)), df, x + i);
  return N;
}

// In place, not normalised. size: a power of two, at least 8.
HWY_INLINE void Hadamard(float* x, size_t size) {
  const hn::CappedTag<float, 8> df;
  const size_t N = hn::Lanes(df);
  static_assert(hn::MaxLanes(df) >= 4);
  for (size_t h = HadamardOfShortDistances(x, size); h < size; h *= 2) {
    for (size_t first = 0; first < size; first += 2 * h) {
      for (size_t i = first; i < first + h; i += N) {
        const auto a = hn::LoadU(df, x + i);
        const auto b = hn::LoadU(df, x + i + h);
        hn::StoreU(hn::Add(a, b), df, x + i);
        hn::StoreU(hn::Sub(a, b), df, x + i + h);
      }
    }
  }
}

// x: [size], a multiple of 8, in blocks of powers of two, largest first.
HWY_INLINE void HadamardBlocks(float* x, size_t size) {
  for (size_t block = size_t{1} << 16; size > 0; block /= 2) {
    if ((size & block) == 0) continue;
    Hadamard(x, block);
    x += block;
    size -= block;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_HADAMARD_INL_H_
