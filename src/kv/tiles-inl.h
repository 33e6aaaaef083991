// Loops of kernels over rows and dimensions: in the largest tiles that fit the registers, then in smaller
// ones. The transposition of small blocks.
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

// Four vectors as the columns of 4 x 4 blocks: transposes each block.
template <class DF>
HWY_INLINE void TransposeBlocks(DF df, hn::Vec<DF>* v) {
  const hn::RepartitionToWide<hn::RebindToUnsigned<DF>> dw;
  const auto a = hn::BitCast(dw, hn::InterleaveLower(df, v[0], v[1]));
  const auto b = hn::BitCast(dw, hn::InterleaveUpper(df, v[0], v[1]));
  const auto c = hn::BitCast(dw, hn::InterleaveLower(df, v[2], v[3]));
  const auto d = hn::BitCast(dw, hn::InterleaveUpper(df, v[2], v[3]));
  v[0] = hn::BitCast(df, hn::InterleaveLower(dw, a, c));
  v[1] = hn::BitCast(df, hn::InterleaveUpper(dw, a, c));
  v[2] = hn::BitCast(df, hn::InterleaveLower(dw, b, d));
  v[3] = hn::BitCast(df, hn::InterleaveUpper(dw, b, d));
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_TILES_INL_H_
