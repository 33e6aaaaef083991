// Pages of kivi, gearl and gear as prefill uses them: where they lie, with 16 rows of queries in a warp.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/gear_page.h"
#include "device/kernels/half_page.h"
#include "device/kernels/page_row.h"
#include "device/kernels/page_tiles.h"

namespace throng::device {

// The scale of a channel differs from page to page, so queries stay in f32 and become integers page by page.
template <int kBits, int kDim, int kRank, int kEntries>
struct GearTiles {
  using Page = GearPage<kBits, kDim, kRank, kEntries>;
  using Query = typename Page::Query;
  static constexpr int kHeadDim = kDim;
  struct Shared {
    static constexpr bool kExpands = false;
    float rows[kTileRows][Query::kStride];
    float largest[kTileRows];
    typename Page::template ScratchOf<2> scratch[kTileRows / 16];  // of each warp
  };

  // element(r, channel): of this lane's row g + 8 r. used: rows of the warp that have a query.
  template <typename Element>
  static THRONG_DEVICE void KeepQueries(const Element& element, int used, Shared& shared) {
    THRONG_UNROLL
    for (int r = 0; r < 2; ++r) {
      float largest = 0.0f;
      THRONG_NO_UNROLL
      for (int channel = Lane() % 4; channel < kDim; channel += 4)
        largest = Max(largest, Abs(element(r, channel)));
      largest = RowMax(largest);
      if (Lane() % 4 == 0) shared.largest[Row(r)] = largest;
    }
    THRONG_NO_UNROLL
    for (int channel = Lane() % 4; channel < kDim; channel += 4) {
      THRONG_UNROLL
      for (int r = 0; r < 2; ++r) shared.rows[Row(r)][channel] = element(r, channel);
    }
    ClearScratch(shared.scratch[Warp()], used);
    WarpBarrier();
  }
  // As operands of products with the open page.
  static THRONG_DEVICE void FindQueries(const Shared& shared, int s, uint32_t (&high)[4],
                                        uint32_t (&low)[4]) {
    HalfPage<kDim>::template SplitQueries<2>([&](int r, int channel) { return shared.rows[Row(r)][channel]; },
                                             s, high, low);
  }

  static THRONG_DEVICE void Score(const uint8_t* keys, Shared& shared, PageRow* scores) {
    const Query query{shared.rows[16 * Warp()], shared.largest + 16 * Warp()};
    Page::template ScoreRows<2>(keys, query, shared.scratch[Warp()], scores);
  }
  static THRONG_DEVICE void Mix(const uint8_t* values, const PageRow* probabilities, const float* tops,
                                const float* rescale, Shared& shared, OutputRow<kDim>* out) {
    Page::template MixRows<2>(values, probabilities, tops, rescale, shared.scratch[Warp()], out);
  }

 private:
  static THRONG_DEVICE int Row(int r) { return 16 * Warp() + Lane() / 4 + 8 * r; }
};

}  // namespace throng::device
