// Score and Mix of gear.h for 16 rows at once, whose sums over codes come from AMX. Results have the bits of
// fewer rows.
#if defined(THRONG_KV_GEAR_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_GEAR_PANEL_INL_H_
#undef THRONG_KV_GEAR_PANEL_INL_H_
#else
#define THRONG_KV_GEAR_PANEL_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"
#include "kv/amx-inl.h"
#include "kv/gear/gear_corrections-inl.h"
#include "kv/gear/gear_fold-inl.h"
#include "kv/gear/gear_tile-inl.h"
#include "kv/tiles-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace gear {

#if THRONG_VNNI

// Whether so many rows go through panels: a group's lanes have to fill them.
inline bool UsesPanels(const GearLayout& layout, int num_rows) {
  return layout.rows % 64 == 0 && layout.group % kPanelColumns == 0 && UsesAmx(layout.lanes, num_rows);
}

// 16 rows of a call; `weights` of rows beyond `count` are those of any other.
struct Panel {
  const float* weights[kAmxRows];
  int count;
};

// acc[count, kMaxLanes] = D.
template <Part kPart>
HWY_INLINE void ApplyCodesOfPanel(const GearLayout& layout, const Tile& tile, const Panel& panel,
                                  float levels, float middle, float* acc) {
  const size_t rows = static_cast<size_t>(layout.rows);
  const size_t lanes = static_cast<size_t>(layout.lanes);
  const size_t group = static_cast<size_t>(layout.group);
  FoldedRows<kAmxRows> folded;
  alignas(64) int32_t sums[kAmxRows * kPanelColumns];
  for (size_t lane = 0; lane < lanes; lane += kPanelColumns) {
    if (lane % group == 0) {
      const size_t pair = lane / group * rows;
      ForRows(panel.count, [&](auto count, int r) THRONG_INLINE_ATTR {
        Fold<count()>(DF16(), panel.weights + r, tile.scales + pair, tile.bases + pair, rows, levels, middle,
                      folded.From(r));
      });
    }
    const PanelRows weights{folded.bytes, kMaxHeadDim, 1};
    const uint8_t* codes = tile.codes + 4 * lane;
    if constexpr (kPart == Part::kKeys) {
      MultiplyKeys(weights, codes, 4 * lanes, layout.rows, sums);
    } else {
      MultiplyValues(weights, codes, 4 * lanes, layout.rows, sums);
    }
    for (int r = 0; r < panel.count; ++r) {
      const __m512 unit = _mm512_set1_ps(folded.unit[r]);
      const __m512 base = _mm512_set1_ps(folded.base[r]);
      HWY_UNROLL(4)
      for (int v = 0; v < kPanelColumns; v += 16) {
        const __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(sums + r * kPanelColumns + v));
        _mm512_store_ps(acc + r * kMaxLanes + lane + v, _mm512_fmadd_ps(sum, unit, base));
      }
    }
  }
}

// Transposes 4 x 4 blocks of four lanes.
HWY_INLINE void TransposeWide(V<DF16>* v) {
  const __m512 a = _mm512_shuffle_f32x4(v[0].raw, v[1].raw, 0x44);  // 0 1 of both
  const __m512 b = _mm512_shuffle_f32x4(v[0].raw, v[1].raw, 0xee);  // 2 3
  const __m512 c = _mm512_shuffle_f32x4(v[2].raw, v[3].raw, 0x44);
  const __m512 d = _mm512_shuffle_f32x4(v[2].raw, v[3].raw, 0xee);
  v[0].raw = _mm512_shuffle_f32x4(a, c, 0x88);
  v[1].raw = _mm512_shuffle_f32x4(a, c, 0xdd);
  v[2].raw = _mm512_shuffle_f32x4(b, d, 0x88);
  v[3].raw = _mm512_shuffle_f32x4(b, d, 0xdd);
}

// to[GearSlot(k), r] = rows[r][k], for 16 rows. count: a multiple of 16.
HWY_INLINE void InterleavePanel(const float* const* rows, size_t count, float* to) {
  const DF16 df;
  for (size_t k = 0; k < count; k += 16, to += 16 * kAmxRows) {
    V<DF16> v[4][4];  // [element j of four, rows 4 i to 4 i + 3]; block b has element k + 4 b + j
    HWY_UNROLL(4)
    for (int i = 0; i < 4; ++i) {
      V<DF16> four[4] = {hn::LoadU(df, rows[4 * i] + k), hn::LoadU(df, rows[4 * i + 1] + k),
                         hn::LoadU(df, rows[4 * i + 2] + k), hn::LoadU(df, rows[4 * i + 3] + k)};
      TransposeBlocks(df, four);
      HWY_UNROLL(4)
      for (int j = 0; j < 4; ++j) v[j][i] = four[j];
    }
    HWY_UNROLL(4)
    for (int j = 0; j < 4; ++j) {
      TransposeWide(v[j]);
      HWY_UNROLL(4)
      for (int b = 0; b < 4; ++b) hn::Store(v[j][b], df, to + (4 * j + b) * kAmxRows);
    }
  }
}

// acc[r, i] += sums[GearSlot(i), r].
HWY_INLINE void AddInterleavedPanel(const float* sums, size_t count, float* acc) {
  const DF16 df;
  for (size_t k = 0; k < count; k += 16, sums += 16 * kAmxRows) {
    V<DF16> v[4][4];
    HWY_UNROLL(4)
    for (int j = 0; j < 4; ++j) {
      HWY_UNROLL(4)
      for (int b = 0; b < 4; ++b) v[j][b] = hn::Load(df, sums + (4 * j + b) * kAmxRows);
      TransposeWide(v[j]);
    }
    HWY_UNROLL(4)
    for (int i = 0; i < 4; ++i) {
      V<DF16> four[4] = {v[0][i], v[1][i], v[2][i], v[3][i]};
      TransposeBlocks(df, four);
      HWY_UNROLL(4)
      for (int r = 0; r < 4; ++r) {
        float* to = acc + (4 * i + r) * kMaxLanes + k;
        hn::Store(hn::Add(hn::Load(df, to), four[r]), df, to);
      }
    }
  }
}

// acc += S. acc: 16 rows.
template <Part kPart>
HWY_NOINLINE void AddOutliersOfPanel(const GearLayout& layout, const Tile& tile, const uint8_t* encoded,
                                     const Panel& panel, float* acc) {
  const size_t rows = static_cast<size_t>(layout.rows);
  const size_t lanes = static_cast<size_t>(layout.lanes);
  HWY_ALIGN float weights[kMaxHeadDim * kAmxRows];
  HWY_ALIGN float sums[kMaxHeadDim * kAmxRows];
  InterleavePanel(panel.weights, rows, weights);
  std::memset(sums, 0, sizeof(float) * kAmxRows * lanes);
  AddAllOutliers<kAmxRows, kPart>(layout, tile, encoded, weights, sums);
  AddInterleavedPanel(sums, lanes, acc);
}

#endif  // THRONG_VNNI

}  // namespace gear
}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_GEAR_PANEL_INL_H_
