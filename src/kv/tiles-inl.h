// How kernels go over rows and dimensions: in tiles as large as the registers hold, then in smaller ones.
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

// tile(rows, first): rows is an integral constant, 4 or, for what is left, 1.
template <class Tile>
HWY_INLINE void ForRows(int num_rows, const Tile& tile) {
  int r = 0;
  for (; r + 4 <= num_rows; r += 4) tile(std::integral_constant<int, 4>(), r);
  for (; r < num_rows; ++r) tile(std::integral_constant<int, 1>(), r);
}

// tile(d, vecs, first): vecs vectors of the tag d, an integral constant: kVecs as long as there are enough
// dimensions, then 1, then one of 8 lanes. head_dim: a multiple of 8, which leaves nothing to the smaller
// tiles where vectors are short.
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
