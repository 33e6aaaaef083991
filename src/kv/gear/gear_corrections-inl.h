// The low-rank and outlier terms of gear.h, which are added to the sums over codes.
#if defined(THRONG_KV_GEAR_CORRECTIONS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_GEAR_CORRECTIONS_INL_H_
#undef THRONG_KV_GEAR_CORRECTIONS_INL_H_
#else
#define THRONG_KV_GEAR_CORRECTIONS_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"
#include "kv/gear/gear_dot-inl.h"
#include "kv/gear/gear_fold-inl.h"
#include "kv/gear/gear_tile-inl.h"
#include "kv/tiles-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace gear {
namespace hn = hwy::HWY_NAMESPACE;

// down[j, r] = sum_k weights[r][k] a[k, j], for j < Padded(rank); down: [.., 4].
template <int kRows>
HWY_INLINE void Down(const GearLayout& layout, const Tile& tile, const float* const* weights, float* down) {
  const DF16 df;
  constexpr size_t kN = hn::MaxLanes(df);
  const size_t stride = 4 * static_cast<size_t>(Padded(layout.rank));
  const size_t rows = static_cast<size_t>(layout.rows);
  for (size_t j = 0; j < stride; j += kN) {
    V<DF16> even[kRows], odd[kRows];
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) even[r] = odd[r] = hn::Zero(df);
    const float* factors = tile.row_factors + j;
    for (size_t k = 0; k < rows; k += 8, factors += 2 * stride) {
      const auto first = hn::Load(df, factors);
      const auto second = hn::Load(df, factors + stride);
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) {
        even[r] = hn::MulAdd(hn::LoadDup128(df, weights[r] + k), first, even[r]);
        odd[r] = hn::MulAdd(hn::LoadDup128(df, weights[r] + k + 4), second, odd[r]);
      }
    }
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) even[r] = hn::Add(even[r], odd[r]);
    hn::Store(ReduceBlocks<kRows>(df, even, Plus()), df, down + j);
  }
}

// The index at which four interleaved rows keep elements [i, i + N), N <= 16; part j is 16 j floats further.
HWY_INLINE size_t InterleavedAt(size_t i) { return i / 16 * 64 + i % 16; }

// to[GearSlot(k), r] = rows[r][k].
template <class DF>
HWY_INLINE void InterleaveRows(DF df, const float* const* rows, size_t count, float* to) {
  for (size_t k = 0; k < count; k += hn::Lanes(df)) {
    V<DF> v[4] = {hn::LoadU(df, rows[0] + k), hn::LoadU(df, rows[1] + k), hn::LoadU(df, rows[2] + k),
                  hn::LoadU(df, rows[3] + k)};
    TransposeBlocks(df, v);
    HWY_UNROLL(4)
    for (int j = 0; j < 4; ++j) hn::Store(v[j], df, to + InterleavedAt(k) + 16 * j);
  }
}

// The reverse of InterleaveRows, for elements from i on.
template <class DF>
HWY_INLINE void LoadInterleaved(DF df, const float* from, size_t i, V<DF>* rows) {
  HWY_UNROLL(4)
  for (int j = 0; j < 4; ++j) rows[j] = hn::Load(df, from + InterleavedAt(i) + 16 * j);
  TransposeBlocks(df, rows);
}

// sums[lane slot, r] += weights[row slot, r] * difference for each outlier, in order. kWide: the head has
// more than 256 channels.
template <int kRows, Part kPart, bool kWide>
HWY_NOINLINE void AddOutliers(const uint8_t* row_slots, const uint8_t* lane_slots, const float* differences,
                              size_t count, const float* weights, float* sums) {
  const hn::CappedTag<float, kRows> dr;
  const auto add = [&](size_t e) THRONG_ATTR {
    size_t row = row_slots[e], lane = lane_slots[e];
    if constexpr (kWide) {  // as GearLayout::LoadSlots
      size_t& token = kPart == Part::kKeys ? lane : row;
      (kPart == Part::kKeys ? row : lane) |= (token >> 6) << 8;
      token &= 63;
    }
    float* sum = sums + lane * kRows;
    const auto weight = hn::Load(dr, weights + row * kRows);
    hn::Store(hn::MulAdd(weight, hn::Set(dr, differences[e]), hn::Load(dr, sum)), dr, sum);
  };
  size_t e = 0;
  for (; e + 4 <= count; e += 4) {
    add(e);
    add(e + 1);
    add(e + 2);
    add(e + 3);
  }
  for (; e < count; ++e) add(e);
}

// sums[lane slot, r] += weights[row slot, r] * difference for all outliers of a page.
template <int kRows, Part kPart>
HWY_INLINE void AddAllOutliers(const GearLayout& layout, const Tile& tile, const uint8_t* encoded,
                               const float* weights, float* sums) {
  const bool wide = (kPart == Part::kKeys ? layout.rows : layout.lanes) > 256;
  const auto add = wide ? AddOutliers<kRows, kPart, true> : AddOutliers<kRows, kPart, false>;
  add(encoded + layout.row_slots, encoded + layout.lane_slots, tile.differences,
      static_cast<size_t>(layout.entries), weights, sums);
}

// sums[GearSlot(lane), r] = sum over outliers of weights[r][k] * difference, one multiply-add for each. Takes
// four rows together, or a single one.
template <Part kPart, int kRows>
HWY_INLINE void SumOutliers(const GearLayout& layout, const Tile& tile, const uint8_t* encoded,
                            const float* const* weights, float* sums) {
  HWY_ALIGN float interleaved[kMaxHeadDim * kRows];
  const size_t rows = static_cast<size_t>(layout.rows);
  if constexpr (kRows == 4) {
    WithLanes(rows, [&](auto df) THRONG_ATTR { InterleaveRows(df, weights, rows, interleaved); });
  } else {
    for (size_t k = 0; k < rows; ++k) interleaved[GearSlot(static_cast<int>(k))] = weights[0][k];
  }
  const size_t slots = (static_cast<size_t>(layout.lanes) + 15) / 16 * 16;
  std::memset(sums, 0, sizeof(float) * kRows * slots);
  AddAllOutliers<kRows, kPart>(layout, tile, encoded, interleaved, sums);
}

// out = acc + L + S and wide channels, plus rescale * out where there is a rescale. sums: null if there is no
// S.
template <int kRows, class DF>
HWY_INLINE void Finish(DF df, const GearLayout& layout, const Tile& tile, const float* acc, const float* down,
                       const float* sums, const float* rescale, float* out) {
  const size_t lanes = static_cast<size_t>(layout.lanes);
  for (size_t i = 0; i < lanes; i += hn::Lanes(df)) {
    V<DF> x[4];
    if (sums == nullptr) {
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) x[r] = hn::Load(df, acc + r * kMaxLanes + i);
    } else {
      if constexpr (kRows == 4) {
        LoadInterleaved(df, sums, i, x);
      } else {
        HWY_ALIGN float row[16];
        for (size_t j = 0; j < hn::Lanes(df); ++j) row[j] = sums[GearSlot(static_cast<int>(i + j))];
        x[0] = hn::Load(df, row);
      }
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) x[r] = hn::Add(hn::Load(df, acc + r * kMaxLanes + i), x[r]);
    }
    for (int j = 0; j < layout.rank + tile.num_wide; ++j) {
      const auto factor = hn::Load(df, tile.lane_factors + j * lanes + i);
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) x[r] = hn::MulAdd(hn::Set(df, down[4 * j + r]), factor, x[r]);
    }
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      float* to = out + r * lanes + i;
      if (rescale != nullptr) x[r] = hn::MulAdd(hn::LoadU(df, to), hn::Set(df, rescale[r]), x[r]);
      hn::StoreU(x[r], df, to);
    }
  }
}

}  // namespace gear
}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_GEAR_CORRECTIONS_INL_H_
