#include "kv/gear/gear_kernels.h"

#include <algorithm>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/gear/gear_kernels.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kv/gear/gear_corrections-inl.h"
#include "kv/gear/gear_dot-inl.h"
#include "kv/gear/gear_panel-inl.h"
#include "kv/tiles-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace gear {

// A call to Score or Mix.
struct Call {
  const GearLayout& layout;
  const uint8_t* encoded;
  const float* weights;
  size_t weight_stride;
  const float* rescale;
  float* out;
};

// Fetches the page of values that follows the keys in a block; anywhere else, fetching would only cost time.
Lines LinesAfter(const GearLayout& layout, const uint8_t* encoded) {
  if (layout.part == Part::kValues) return {};
  const size_t bytes = RoundUp64(layout.count.Total());
  return {encoded + bytes, encoded + 2 * bytes};
}

// The middle of the range of codes.
float Middle(const GearLayout& layout) { return 0.5f * static_cast<float>((1 << layout.bits) - 1); }

// The integer for the largest weight.
constexpr float Levels(Part part) { return part == Part::kKeys ? 127.0f : 255.0f; }

// acc[kRows, kMaxLanes] = D.
template <Part kPart, int kRows>
HWY_INLINE void ApplyCodes(const Call& call, const Tile& tile, const float* const* weights, Lines& lines,
                           float* acc) {
  const GearLayout& layout = call.layout;
  FoldedRows<kRows> memory;
  const Folded folded = memory.From(0);
  const size_t rows = static_cast<size_t>(layout.rows);
  const size_t lanes = static_cast<size_t>(layout.lanes);
  const float middle = Middle(layout);
  const bool packed = UsesPacked(layout);
  for (int group = 0; group < layout.num_groups; ++group) {
    const float* scales = tile.scales + group * rows;
    const float* bases = tile.bases + group * rows;
    WithLanes(rows, [&](auto df) THRONG_ATTR {
      Fold<kRows>(df, weights, scales, bases, rows, Levels(kPart), middle, folded);
    });
    const size_t end = std::min<size_t>(lanes, static_cast<size_t>(group + 1) * layout.group);
    const size_t lane = static_cast<size_t>(group) * layout.group;
    if (packed) {
      DotPacked<kPart, kRows>(layout, call.encoded, lane, end, folded, lines, acc);
    } else {
      DotUnpacked<kPart, kRows>(layout, tile.codes, lane, end, folded, lines, acc);
    }
  }
}

// The output of rows [first, first + kRows) of the call from their sums; `sums` as for Finish.
template <int kRows>
HWY_INLINE void FinishRows(const Call& call, const Tile& tile, const float* const* weights, int first,
                           const float* acc, const float* sums) {
  const GearLayout& layout = call.layout;
  HWY_ALIGN float down[4 * (kGearMaxRank + kMaxWide)];
  if (layout.rank > 0) Down<kRows>(layout, tile, weights, down);
  for (int j = 0; j < tile.num_wide; ++j) {
    for (int r = 0; r < kRows; ++r) down[4 * (layout.rank + j) + r] = weights[r][tile.wide[j]];
  }
  const float* rescale = call.rescale == nullptr ? nullptr : call.rescale + first;
  float* out = call.out + static_cast<size_t>(first) * layout.lanes;
  WithLanes(layout.lanes,
            [&](auto df) THRONG_ATTR { Finish<kRows>(df, layout, tile, acc, down, sums, rescale, out); });
}

// Rows [first, first + kRows) of the call.
template <Part kPart, int kRows>
HWY_INLINE void ApplyRows(const Call& call, const Tile& tile, int first, Lines& lines) {
  const GearLayout& layout = call.layout;
  const float* weights[kRows];
  for (int r = 0; r < kRows; ++r) weights[r] = call.weights + (first + r) * call.weight_stride;
  HWY_ALIGN float acc[kRows * kMaxLanes];
  HWY_ALIGN float sums[kRows * kMaxHeadDim];
  // Runs first: the sums have left the store buffer by the time they are read in pieces other than those
  // stored.
  if (layout.entries > 0) SumOutliers<kPart, kRows>(layout, tile, call.encoded, weights, sums);
  ApplyCodes<kPart, kRows>(call, tile, weights, lines, acc);
  FinishRows<kRows>(call, tile, weights, first, acc, layout.entries > 0 ? sums : nullptr);
}

#if THRONG_VNNI

template <Part kPart>
void ApplyByPanels(const Call& call, int num_rows) {
  const GearLayout& layout = call.layout;
  const TileScope scope;
  Tile tile;
  FillTile(layout, call.encoded, /*unpack=*/true, Middle(layout), tile);
  for (Lines lines = LinesAfter(layout, call.encoded); lines.next < lines.end;) lines.Fetch();
  HWY_ALIGN float acc[kAmxRows * kMaxLanes];
  for (int first = 0; first < num_rows; first += kAmxRows) {
    Panel panel;
    panel.count = HWY_MIN(kAmxRows, num_rows - first);
    for (int r = 0; r < kAmxRows; ++r) {
      panel.weights[r] = call.weights + (first + HWY_MIN(r, panel.count - 1)) * call.weight_stride;
    }
    ApplyCodesOfPanel<kPart>(layout, tile, panel, Levels(kPart), Middle(layout), acc);
    if (layout.entries > 0) AddOutliersOfPanel<kPart>(layout, tile, call.encoded, panel, acc);
    ForRows(panel.count, [&](auto rows, int r) THRONG_INLINE_ATTR {
      FinishRows<rows()>(call, tile, panel.weights + r, first + r, acc + r * kMaxLanes, nullptr);
    });
  }
}

#endif

template <Part kPart>
void ApplyAll(const Call& call, int num_rows) {
#if THRONG_VNNI
  if (UsesPanels(call.layout, num_rows)) return ApplyByPanels<kPart>(call, num_rows);
#endif
  Tile tile;
  FillTile(call.layout, call.encoded, !UsesPacked(call.layout), Middle(call.layout), tile);
  Lines lines = LinesAfter(call.layout, call.encoded);
  ForRows(num_rows,
          [&](auto rows, int r) THRONG_INLINE_ATTR { ApplyRows<kPart, rows()>(call, tile, r, lines); });
}

}  // namespace gear

void ApplyTarget(const GearLayout& layout, const uint8_t* encoded, const float* weights, size_t weight_stride,
                 int num_rows, const float* rescale, float* out) {
  const gear::Call call{layout, encoded, weights, weight_stride, rescale, out};
  layout.part == Part::kKeys ? gear::ApplyAll<Part::kKeys>(call, num_rows)
                             : gear::ApplyAll<Part::kValues>(call, num_rows);
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::kv {

HWY_EXPORT(ApplyTarget);

void ApplyGear(const GearLayout& layout, const uint8_t* encoded, const float* weights, size_t weight_stride,
               int num_rows, const float* rescale, float* out) {
  HWY_DYNAMIC_DISPATCH(ApplyTarget)(layout, encoded, weights, weight_stride, num_rows, rescale, out);
}

}  // namespace throng::kv
#endif  // HWY_ONCE
