// Pages of rot and int4 as prefill reads them.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/page_row.h"
#include "device/kernels/page_tiles.h"
#include "device/kernels/rot_page.h"

namespace throng::device {

// Codes as they are, of rows that are rotated (not of int4).
template <int kBits, int kDim, int kRotates>
struct RotTiles {
  using Page = RotPage<kBits, kDim, kRotates>;
  using Layout = RotLayout<kBits, kDim>;
  using Tiles = PageTiles<kDim>;
  static constexpr int kHeadDim = kDim;
  static constexpr int kMixSteps = 1;
  static constexpr int kRawBytes = RoundUp16(Layout::kBytes);
  struct Shared : ExpandedPages<kRawBytes, kDim> {
    uint32_t signs[kTileThreads];  // each thread's SignsOfLane
  };

  static THRONG_DEVICE void ExpandKeys(const uint8_t* raw, Tiles& tiles) {
    const auto* codes = reinterpret_cast<const uint16_t*>(raw);  // of 16 / kLowBits channels of each token
    constexpr int kLines = kBits == 4 ? 2 : 1;                   // of 8 channels
    for (int e = ThreadIndex(); e < kPageTokens * kDim / 8; e += BlockThreads()) {
      const int token = e % kPageTokens;
      const int line = e / kPageTokens;
      uint32_t third = 0;
      if constexpr (kBits == 3) third = raw[Layout::kThirdBits + e];
      Words2 keys;
      THRONG_UNROLL
      for (int j = 0; j < 2; ++j) {
        const int of_four = kLines * line + j * (kLines - 1);
        keys.w[j] = Page::KeyCodes(codes[of_four * kPageTokens + token], third, j);
      }
      tiles.Keys(token, line) = keys;
    }
  }
  static THRONG_DEVICE void ExpandValues(const uint8_t* raw, Tiles& tiles) {
    const auto* words = reinterpret_cast<const uint32_t*>(raw);
    for (int e = ThreadIndex(); e < kPageTokens * kDim / 8; e += BlockThreads()) {
      const int channel = e % kDim;
      const int first = e / kDim * 8;
      uint32_t third = 0;
      if constexpr (kBits == 3) third = words[Layout::kThirdBits / 4 + first / 32 * kDim + channel];
      Words2 values;
      THRONG_UNROLL
      for (int j = 0; j < 2; ++j) {
        values.w[j] = Page::SwapMiddle(
            Page::ValueCodes(words[first / Page::kWordTokens * kDim + channel], third, first, j));
      }
      tiles.Values(channel, first / 8) = values;
    }
  }

  static THRONG_DEVICE void Scale(const uint8_t* raw_keys, const PageSums& sums, const EncodedQuery& query,
                                  PageRow& scores) {
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      float half_steps[8];
      float middles[8];
      ScalesOf(raw_keys, h, half_steps, middles);
      THRONG_UNROLL
      for (int t = 0; t < 8; ++t) {
        scores[h][t % 4][t / 4] =
            Page::ScoreOf(sums[h][t % 4][t / 4], query.sum, query.scale, half_steps[t], middles[t]);
      }
    }
  }

  static constexpr int kDigits = 2;
  using Weight = typename Page::Weight;
  static THRONG_DEVICE Weight Weigh(const uint8_t* raw_values, const PageRow& probabilities, float,
                                    uint32_t (&digits)[kDigits][2][4]) {
    return Page::Weigh([&](int h, float(&half_steps)[8],
                           float(&middles)[8]) { ScalesOf(raw_values, h, half_steps, middles); },
                       probabilities, digits[0], digits[1]);
  }
  static THRONG_DEVICE void Multiply(int32_t (&sums)[4], const uint32_t (&weights)[4],
                                     const uint32_t (&values)[2]) {
    MmaU8U8(sums, weights, values);
  }
  struct Channels {};
  static THRONG_DEVICE Channels LoadChannels(const uint8_t*, int) { return {}; }
  static THRONG_DEVICE float Mixed(const int32_t (&sums)[kDigits], const Channels&, int, int,
                                   const Weight& weight, float out, float rescale) {
    return Page::Mixed(sums[0], sums[1], weight, out, rescale);
  }

 private:
  // Of this lane's tokens at [h].
  static THRONG_DEVICE void ScalesOf(const uint8_t* raw, int h, float (&half_steps)[8], float (&middles)[8]) {
    ToFloats(*reinterpret_cast<const Words4*>(raw + Layout::kHalfSteps + 2 * OwnToken(h)), half_steps);
    ToFloats(*reinterpret_cast<const Words4*>(raw + Layout::kMiddles + 2 * OwnToken(h)), middles);
  }
};

}  // namespace throng::device
