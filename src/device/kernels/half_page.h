// A warp scores and mixes a page of f16, sealed or open: keys [d, 64], values [64, d].
//
// Keys and values are multiplied as they are; queries and probabilities are the sum of two halves each, which
// keeps 22 of their bits, so results are those of f32 but for the last places.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/page_row.h"

namespace throng::device {

// x as high + low, in f16.
THRONG_DEVICE void SplitHalves(float x, uint32_t& high, uint32_t& low) {
  const uint16_t bits = FloatToHalfBits(x);
  high = bits;
  low = FloatToHalfBits(x - HalfBitsToFloat(bits));
}

template <int kDim>
struct HalfPage : UnrotatedPage {
  static constexpr int kHeadDim = kDim;

  // The row of a query in f32, in shared memory.
  struct Query {
    const float* row;
    static THRONG_DEVICE Query Of(const QueryRows<kDim>& queries) { return {queries.rows[Lane() / 4]}; }
  };
  using Scratch = NoScratch;
  static THRONG_DEVICE int QueryCode(float, float) { return 0; }  // it needs none

  static THRONG_DEVICE void Score(const uint8_t* page, const Query& query, Scratch&, PageRow& scores) {
    ScoreRows<1>(
        page,
        [&](int s, uint32_t(&high)[4], uint32_t(&low)[4]) {
          SplitQueries<1>([&](int, int channel) { return query.row[channel]; }, s, high, low);
        },
        &scores);
  }
  static THRONG_DEVICE void Mix(const uint8_t* page, const PageRow& probabilities, float, float rescale,
                                Scratch&, OutputRow<kDim>& out) {
    MixRows<1>(page, &probabilities, &rescale, &out);
  }

  static constexpr int kSteps = kDim / 16;  // of queries times keys

  // The operands of step s, of kRows rows: row g, and with two rows g + 8. element(r, channel): of row g + 8
  // r.
  template <int kRows, typename Element>
  static THRONG_DEVICE void SplitQueries(const Element& element, int s, uint32_t (&high)[4],
                                         uint32_t (&low)[4]) {
    THRONG_UNROLL
    for (int e = 0; e < 4; ++e) high[e] = low[e] = 0;
    THRONG_UNROLL
    for (int r = 0; r < kRows; ++r) {
      THRONG_UNROLL
      for (int e = 0; e < 4; ++e) {
        uint32_t high_half;
        uint32_t low_half;
        SplitHalves(element(r, FirstChannel(s) + e), high_half, low_half);
        high[e / 2 * 2 + r] |= high_half << e % 2 * 16;
        low[e / 2 * 2 + r] |= low_half << e % 2 * 16;
      }
    }
  }

  // queries(s, high, low): what SplitQueries makes of these rows.
  template <int kRows, typename Queries>
  static THRONG_DEVICE void ScoreRows(const uint8_t* page, const Queries& queries, PageRow* scores) {
    const auto* keys = reinterpret_cast<const uint16_t*>(page);
    float sums[2][4][4] = {};
    THRONG_NO_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      const int channel = FirstChannel(s);
      uint32_t high[4];
      uint32_t low[4];
      queries(s, high, low);
      THRONG_UNROLL
      for (int h = 0; h < 2; ++h) {
        // Four tokens of each of these channels.
        Words2 lines[4];
        THRONG_UNROLL
        for (int e = 0; e < 4; ++e) {
          lines[e] = Load8(keys + (channel + e) * kPageTokens + ColumnToken(h));
        }
        THRONG_UNROLL
        for (int v = 0; v < 4; ++v) {
          const uint32_t columns[2] = {Pair(lines[0], lines[1], v), Pair(lines[2], lines[3], v)};
          MmaF16(sums[h][v], high, columns);
          MmaF16(sums[h][v], low, columns);
        }
      }
    }
    THRONG_UNROLL
    for (int r = 0; r < kRows; ++r) {
      THRONG_UNROLL
      for (int e = 0; e < 16; ++e) {
        scores[r][e / 8][e / 2 % 4][e % 2] = sums[e / 8][e / 2 % 4][2 * r + e % 2];
      }
    }
  }

  template <int kRows>
  static THRONG_DEVICE void MixRows(const uint8_t* page, const PageRow* probabilities, const float* rescale,
                                    OutputRow<kDim>* out) {
    const auto* values = reinterpret_cast<const uint16_t*>(page);
    // Four products of 16 tokens: the one at [h][j] has tokens OwnToken(h) + 4 j and 3 more of this lane.
    uint32_t high[2][2][4] = {};
    uint32_t low[2][2][4] = {};
    THRONG_UNROLL
    for (int r = 0; r < kRows; ++r) {
      THRONG_UNROLL
      for (int e = 0; e < 16; ++e) {
        const int h = e / 8;
        const int v = e / 2 % 4;
        const int j = e % 2;
        uint32_t high_half;
        uint32_t low_half;
        SplitHalves(probabilities[r][h][v][j], high_half, low_half);
        high[h][j][v / 2 * 2 + r] |= high_half << v % 2 * 16;
        low[h][j][v / 2 * 2 + r] |= low_half << v % 2 * 16;
      }
    }
    // One step at a time: all at once take more registers than there are. Outputs go round, so that the next
    // ones are always in the same registers.
    THRONG_NO_UNROLL
    for (int k = 0; k < kDim / 32; ++k) {
      float sums[4][4] = {};
      THRONG_UNROLL
      for (int hj = 0; hj < 4; ++hj) {
        Words2 rows[4];  // four channels of each of those tokens
        THRONG_UNROLL
        for (int e = 0; e < 4; ++e) {
          rows[e] = Load8(values + (TokenOf(hj / 2, e, hj % 2)) * kDim + ColumnChannel(k));
        }
        THRONG_UNROLL
        for (int v = 0; v < 4; ++v) {
          const uint32_t columns[2] = {Pair(rows[0], rows[1], v), Pair(rows[2], rows[3], v)};
          MmaF16(sums[v], high[hj / 2][hj % 2], columns);
          MmaF16(sums[v], low[hj / 2][hj % 2], columns);
        }
      }
      THRONG_UNROLL
      for (int r = 0; r < kRows; ++r) {
        float mixed[8];
        THRONG_UNROLL
        for (int c = 0; c < 8; ++c) {
          mixed[c] = Fma(out[r][0][c % 4][c / 4], rescale[r], sums[c % 4][2 * r + c / 4]);
        }
        Rotate(mixed, out[r]);
      }
    }
  }

 private:
  // The product's channels 2 i, 2 i + 1, 2 i + 8 and 2 i + 9 are this one and 3 more, i = lane % 4.
  static THRONG_DEVICE int FirstChannel(int s) { return 16 * s + 4 * (Lane() % 4); }
  // Element v of two groups of four.
  static THRONG_DEVICE uint32_t Pair(const Words2& first, const Words2& second, int v) {
    return (first.w[v / 2] >> v % 2 * 16 & 0xffff) | (second.w[v / 2] >> v % 2 * 16) << 16;
  }
};

}  // namespace throng::device
