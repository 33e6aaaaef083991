// A warp scores and mixes a page of f16, as open pages are: keys [d, 64], values [64, d].
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/flashq_layout.h"
#include "device/kernels/page_row.h"

namespace throng::device {

template <int kDim>
struct HalfPage {
  static THRONG_DEVICE float Element(const Words4& eight, int i) {
    return HalfBitsToFloat(static_cast<uint16_t>(eight.w[i / 2] >> i % 2 * 16));
  }

  // query: the row's, [kDim], in shared memory. Each score is one chain of fused multiply-adds in the order
  // of channels, as in kv/float/float_page-inl.h.
  static THRONG_DEVICE void Score(const uint16_t* keys, const float* query, PageRow& scores) {
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      float sums[8] = {};
      for (int c = 0; c < kDim; ++c) {
        const Words4 eight = Load16(keys + c * kPageTokens + TokenOf(h, 0, 0));
        THRONG_UNROLL
        for (int t = 0; t < 8; ++t) sums[t] = Fma(query[c], Element(eight, t), sums[t]);
      }
      THRONG_UNROLL
      for (int t = 0; t < 8; ++t) scores[h][t % 4][t / 4] = sums[t];
    }
  }

  static THRONG_DEVICE void Mix(const uint16_t* values, const PageRow& probabilities, float rescale,
                                OutputRow<kDim>& out) {
    THRONG_UNROLL
    for (int k = 0; k < kDim / 32; ++k) {
      THRONG_UNROLL
      for (int c = 0; c < 8; ++c) out[k][c % 4][c / 4] *= rescale;
    }
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      for (int owner = 0; owner < 4; ++owner) {
        THRONG_UNROLL
        for (int t = 0; t < 8; ++t) {
          const float p = Shuffle(probabilities[h][t % 4][t / 4], Lane() / 4 * 4 + owner);
          const uint16_t* row = values + (32 * h + 8 * owner + t) * kDim + 8 * (Lane() % 4);
          THRONG_UNROLL
          for (int k = 0; k < kDim / 32; ++k) {
            const Words4 eight = Load16(row + 32 * k);
            THRONG_UNROLL
            for (int c = 0; c < 8; ++c)
              out[k][c % 4][c / 4] = Fma(p, Element(eight, c), out[k][c % 4][c / 4]);
          }
        }
      }
    }
  }
};

}  // namespace throng::device
