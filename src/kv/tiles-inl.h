// Loops of kernels over rows and dimensions: in the largest tiles that fit the registers, then in smaller
// ones.
#if defined(THRONG_KV_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_TILES_INL_H_
#undef THRONG_KV_TILES_INL_H_
#else
#define THRONG_KV_TILES_INL_H_
#endif

#include <cstddef>
#include <type_traits>

#include "hwy/highway.h"
#include "kv/vnni-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Calls tile(rows, first); rows is an integral constant: 4, then 1 for the remainder.
template <class Tile>
HWY_INLINE void ForRows(int num_rows, const Tile& tile) {
  int r = 0;
  for (; r + 4 <= num_rows; r += 4) tile(std::integral_constant<int, 4>(), r);
  for (; r < num_rows; ++r) tile(std::integral_constant<int, 1>(), r);
}

// Calls tile(d, vecs, first) for vecs vectors of the tag d. vecs is an integral constant: kVecs while enough
// dimensions are left, then 1; the last vector may have 8 lanes. head_dim: a multiple of 8, so short vectors
// leave nothing to the smaller tiles.
template <int kVecs, typename T, class Tile>
HWY_INLINE void ForDimensions(int head_dim, const Tile& tile) {
  const hn::CappedTag<T, 16> d;
  constexpr size_t kN = hn::MaxLanes(d);
  const size_t end = static_cast<size_t>(head_dim);
  size_t c = 0;
  for (; c + kVecs * kN <= end; c += kVecs * kN) tile(d, std::integral_constant<int, kVecs>(), c);
  if constexpr (kVecs * kN > 8) {
    for (; c + kN <= end; c += kN) tile(d, std::integral_constant<int, 1>(), c);
  }
  if constexpr (kN > 8) {
    if (c < end) tile(hn::CappedTag<T, 8>(), std::integral_constant<int, 1>(), c);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_TILES_INL_H_
