// A warp scores and mixes a page of the codecs kivi, gearl and gear (kv/gear/gear.h): codes, a low-rank part,
// outliers.
//
// Keys and values are matrices [rows, lanes] of codes whose rows are weighted, by queries or probabilities,
// and summed. Weights times the scales of their rows become integers of 15 bits, which are two digits of the
// products; so results are those of the decoded page, but for 1/16000 of the largest weight.
//
// Outliers are shared out among the lanes of the warp, and each goes to a place of its own. Their products
// become integers, whose sum does not depend on the order in which the lanes come.
#pragma once

#include <type_traits>

#include "device/intrinsics.h"
#include "device/kernels/gear_part.h"
#include "device/kernels/page_row.h"
#include "device/kernels/quantize.h"

namespace throng::device {

// Of a warp with kRows rows of queries in a lane (1, or 2 where rows g + 8 follow rows g), in shared memory,
// for 64 lanes of a page at a time. `sums` are 0 between calls; rows are padded to lie in different banks.
template <int kRows>
struct OutlierScratch {
  int32_t sums[8 * kRows][64 + 1];
  float weights[8][kPageTokens + 1];  // of 8 rows
  float inverse[8];                   // of the units of their sums; 0: the row is skipped
  int used;                           // rows of queries
};
template <int kRows>
THRONG_DEVICE void ClearScratch(OutlierScratch<kRows>& scratch, int used) {
  for (int e = Lane(); e < 8 * kRows * 64; e += kWarpThreads) scratch.sums[e / 64][e % 64] = 0;
  if (Lane() == 0) scratch.used = used;
}

// The words of SplitWeights or the like of kRows rows as an operand of products, at [h].
template <int kRows>
THRONG_DEVICE void JoinRows(const uint32_t (&rows)[kRows][2][4], int h, uint32_t (&operand)[4]) {
  THRONG_UNROLL
  for (int e = 0; e < 4; ++e) operand[e] = e % 2 < kRows ? rows[e % 2 * (kRows - 1)][h][e / 2 * 2] : 0;
}

template <int kBits, int kDim, int kRank, int kEntries>
struct GearPage : UnrotatedPage {
  static constexpr int kHeadDim = kDim;
  static constexpr int kSteps = kDim / 32;
  using Keys = GearPart<kBits, kDim, kPageTokens, kRank, kEntries>;
  using Values = GearPart<kBits, kPageTokens, kDim, kRank, kEntries>;

  static THRONG_DEVICE int QueryCode(float, float) { return 0; }  // it needs none

  // A warp's rows of queries in f32, in shared memory.
  struct Query {
    static constexpr int kStride = kDim + 4;
    const float* rows;
    const float* largest;  // |element|, of each
    static THRONG_DEVICE Query Of(const QueryRows<kDim>& queries) {
      return {queries.rows[0], queries.largest};
    }
    THRONG_DEVICE const float* Row(int row) const { return rows + row * kStride; }
  };
  template <int kRows>
  using ScratchOf = std::conditional_t<(kEntries > 0), OutlierScratch<kRows>, NoScratch>;
  using Scratch = ScratchOf<1>;

  static THRONG_DEVICE void Score(const uint8_t* page, const Query& query, Scratch& scratch,
                                  PageRow& scores) {
    ScoreRows<1>(page, query, scratch, &scores);
  }
  static THRONG_DEVICE void Mix(const uint8_t* page, const PageRow& probabilities, float top, float rescale,
                                Scratch& scratch, OutputRow<kDim>& out) {
    MixRows<1>(page, &probabilities, &top, &rescale, scratch, &out);
  }

  // scores[r]: of row g + 8 r.
  template <int kRows>
  static THRONG_DEVICE void ScoreRows(const uint8_t* page, const Query& query, ScratchOf<kRows>& scratch,
                                      PageRow* scores) {
    Folded folded[kRows];
    THRONG_UNROLL
    for (int r = 0; r < kRows; ++r) folded[r] = FoldQuery(page, query.Row(Lane() / 4 + 8 * r));
    int32_t high_sums[2][4][4] = {};
    int32_t low_sums[2][4][4] = {};
    // A step at a time: all at once take more registers than there are.
    THRONG_NO_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      uint32_t high[4] = {};
      uint32_t low[4] = {};
      THRONG_UNROLL
      for (int r = 0; r < kRows; ++r)
        SplitQuery(page, query.Row(Lane() / 4 + 8 * r), s, folded[r].inverse, r, high, low);
      const Words4 first = Keys::LoadCodes(page, 8 * s + 2 * (Lane() % 4), 0);
      const Words4 second = Keys::LoadCodes(page, 8 * s + 2 * (Lane() % 4) + 1, 0);
      THRONG_UNROLL
      for (int hv = 0; hv < 8; ++hv) {
        const uint32_t keys[2] = {Keys::Digits(first.w[hv % 4], hv / 4),
                                  Keys::Digits(second.w[hv % 4], hv / 4)};
        MmaS8U8(high_sums[hv / 4][hv % 4], high, keys);
        MmaS8U8(low_sums[hv / 4][hv % 4], low, keys);
      }
    }
    THRONG_UNROLL
    for (int r = 0; r < kRows; ++r) {
      THRONG_UNROLL
      for (int e = 0; e < 16; ++e) {
        const int at = 2 * r + e % 2;
        const int32_t sum = 128 * high_sums[e / 8][e / 2 % 4][at] + low_sums[e / 8][e / 2 % 4][at];
        scores[r][e / 8][e / 2 % 4][e % 2] = Fma(static_cast<float>(sum), folded[r].unit, folded[r].base);
      }
    }
    if constexpr (kRank > 0) AddLowRankKeys<kRows>(page, query, scores);
    if constexpr (kEntries > 0) {
      const float widest = Widest<Keys>(page);
      THRONG_NO_UNROLL
      for (int r = 0; r < kRows; ++r) {
        ShareInverse(OutlierBound(widest, query.largest[Lane() / 4 + 8 * r]), scratch);
        AddOutliers<Keys>(page, 0, query.Row(8 * r), Query::kStride, scratch, r);
      }
      THRONG_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const int row = Lane() / 4 + 8 * r;
        const float outlier_unit = OutlierBound(widest, query.largest[row]) / kOutlierRange;
        THRONG_UNROLL
        for (int e = 0; e < 16; ++e) {
          scores[r][e / 8][e / 2 % 4][e % 2] +=
              Take(scratch.sums[row][TokenOf(e / 8, e / 2 % 4, e % 2)], outlier_unit);
        }
      }
    }
  }

  // out[r] = out[r] * rescale[r] + probabilities[r] times values. tops[r]: the row's largest probability.
  template <int kRows>
  static THRONG_DEVICE void MixRows(const uint8_t* page, const PageRow* probabilities, const float* tops,
                                    const float* rescale, ScratchOf<kRows>& scratch, OutputRow<kDim>* out) {
    float down[kRows] = {};
    if constexpr (kRank > 0) WeighTokens<kRows>(page, probabilities, down);
    float bounds[kRows] = {};  // of outliers
    if constexpr (kEntries > 0) {
      const float widest = Widest<Values>(page);
      THRONG_UNROLL
      for (int r = 0; r < kRows; ++r) {
        bounds[r] = Lane() / 4 + 8 * r < scratch.used ? OutlierBound(widest, tops[r]) : 0.0f;
      }
    }
    // A group at a time: all at once take more registers than there are.
    THRONG_NO_UNROLL
    for (int group = 0; group < Values::kGroups; ++group) {
      if constexpr (kEntries > 0) {
        THRONG_UNROLL
        for (int r = 0; r < kRows; ++r) {
          THRONG_UNROLL
          for (int e = 0; e < 16; ++e) {
            scratch.weights[Lane() / 4][TokenOf(e / 8, e / 2 % 4, e % 2)] =
                probabilities[r][e / 8][e / 2 % 4][e % 2];
          }
          ShareInverse(bounds[r], scratch);
          AddOutliers<Values>(page, group, scratch.weights[0], kPageTokens + 1, scratch, r);
        }
      }
      uint32_t high[kRows][2][4];
      uint32_t low[kRows][2][4];
      float unit[kRows];
      float base[kRows];
      THRONG_UNROLL
      for (int r = 0; r < kRows; ++r)
        base[r] = FoldProbabilities(page, group, probabilities[r], high[r], low[r], unit[r]);
      THRONG_UNROLL
      for (int half = 0; half < 2; ++half) {
        int32_t high_sums[4][4] = {};
        int32_t low_sums[4][4] = {};
        THRONG_UNROLL
        for (int h = 0; h < 2; ++h) {
          uint32_t high_rows[4];
          uint32_t low_rows[4];
          JoinRows<kRows>(high, h, high_rows);
          JoinRows<kRows>(low, h, low_rows);
          const Words4 first = Values::LoadCodes(page, OwnToken(h) / 4, group);
          const Words4 second = Values::LoadCodes(page, OwnToken(h) / 4 + 1, group);
          THRONG_UNROLL
          for (int v = 0; v < 4; ++v) {
            const uint32_t values[2] = {Values::Digits(first.w[v], half), Values::Digits(second.w[v], half)};
            MmaU8U8(high_sums[v], high_rows, values);
            MmaU8U8(low_sums[v], low_rows, values);
          }
        }
        const int k = 2 * group + half;
        float added[kRows][8];
        THRONG_UNROLL
        for (int e = 0; e < 8 * kRows; ++e) {
          const int r = e / 8;
          const int at = 2 * r + e / 4 % 2;
          const int32_t sum = 128 * high_sums[e % 4][at] + low_sums[e % 4][at];
          added[r][e % 8] = Fma(static_cast<float>(sum), unit[r], base[r]);
        }
        if constexpr (kRank > 0) AddFactors<Values, kRows>(page, OwnChannel(k), down, added);
        THRONG_UNROLL
        for (int r = 0; r < kRows; ++r) {
          THRONG_UNROLL
          for (int c = 0; c < 8; ++c) {
            float& x = added[r][c];
            if constexpr (kEntries > 0)
              x += Take(scratch.sums[Lane() / 4 + 8 * r][OwnChannel(half) + c], bounds[r] / kOutlierRange);
            x = Fma(out[r][0][c % 4][c / 4], rescale[r], x);
          }
          Rotate(added[r], out[r]);
        }
      }
    }
  }

 private:
  static constexpr float kOutlierRange = 1 << 30;

  // Of a row of queries times the scales of channels, which become integers. Lanes have channels 32 s + 8 i
  // and 7 more, i = lane % 4.
  struct Folded {
    float unit, inverse;  // of these integers
    float base;           // the sum of queries times zeros
  };
  static THRONG_DEVICE int FoldedChannel(int s) { return 32 * s + 8 * (Lane() % 4); }
  static THRONG_DEVICE Folded FoldQuery(const uint8_t* page, const float* row) {
    float largest = 0.0f;
    float base = 0.0f;
    THRONG_NO_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      float scales[8];
      float zeros[8];
      LoadHalves(page + Keys::kScales + 2 * FoldedChannel(s), scales);
      LoadHalves(page + Keys::kZeros + 2 * FoldedChannel(s), zeros);
      THRONG_UNROLL
      for (int e = 0; e < 8; ++e) {
        const float x = row[FoldedChannel(s) + e];
        largest = Max(largest, Abs(x * scales[e]));
        base = Fma(x, zeros[e], base);
      }
    }
    largest = RowMax(largest);
    constexpr float kRange = 16256.0f;  // 127 * 128
    const bool any = largest > kLeastScale;
    return {any ? largest / kRange : 0.0f, any ? kRange / largest : 0.0f, RowSum(base)};
  }
  // The digits of step s: registers r and r + 2 of the operands.
  static THRONG_DEVICE void SplitQuery(const uint8_t* page, const float* row, int s, float inverse, int r,
                                       uint32_t (&high)[4], uint32_t (&low)[4]) {
    float scales[8];
    LoadHalves(page + Keys::kScales + 2 * FoldedChannel(s), scales);
    THRONG_UNROLL
    for (int e = 0; e < 8; ++e) {
      const float folded = row[FoldedChannel(s) + e] * scales[e];
      const int word = e / 4 * 2 + r;
      SplitSigned(static_cast<int>(Round(folded * inverse)), e % 4, high[word], low[word]);
    }
  }

  // Probabilities times the scales of a group, as two digits each; returns the sum of probabilities times
  // zeros.
  static THRONG_DEVICE float FoldProbabilities(const uint8_t* page, int group, const PageRow& probabilities,
                                               uint32_t (&high)[2][4], uint32_t (&low)[2][4], float& unit) {
    PageRow folded;
    float largest = 0.0f;
    float base = 0.0f;
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      float scales[8];
      float zeros[8];
      LoadHalves(page + Values::kScales + 2 * (group * kPageTokens + OwnToken(h)), scales);
      LoadHalves(page + Values::kZeros + 2 * (group * kPageTokens + OwnToken(h)), zeros);
      THRONG_UNROLL
      for (int t = 0; t < 8; ++t) {
        folded[h][t % 4][t / 4] = probabilities[h][t % 4][t / 4] * scales[t];
        largest = Max(largest, folded[h][t % 4][t / 4]);
        base = Fma(probabilities[h][t % 4][t / 4], zeros[t], base);
      }
    }
    unit = SplitWeights(folded, RowMax(largest), high, low);
    return RowSum(base);
  }

  // The low-rank part. Factors are used for all rows of a lane at once: kept, they would take more registers
  // than there are.

  // sums[r] += weights times factor i of the page's rows 4 quad to 4 quad + 3. weights(r, e): of row g + 8 r.
  template <typename Part, int kRows, typename Weights>
  static THRONG_DEVICE void AddRowFactors(const uint8_t* page, int quad, int i, const Weights& weights,
                                          float (&sums)[kRows]) {
    const uint32_t word = Load4(page + Part::kRowFactors + (quad * kRank + i) * 4);
    THRONG_UNROLL
    for (int e = 0; e < 4; ++e) {
      const auto factor = static_cast<float>(SignedByte(word, e));
      THRONG_UNROLL
      for (int r = 0; r < kRows; ++r) sums[r] = Fma(weights(r, e), factor, sums[r]);
    }
  }
  // A lane's part of a sum over all rows of the page becomes the sum, times the scale of factor i, in `down`
  // of lane i of the row.
  template <typename Part>
  static THRONG_DEVICE void KeepFactor(const uint8_t* page, int i, float sum, float& down) {
    const float weight = RowSum(sum) * BitsToFloat(Load4(page + Part::kFactorScales + 4 * i));
    if (Lane() % 4 == i) down = weight;
  }

  // added[r][e] += sum of what KeepFactor kept times the factors of lanes `lane` and 7 more.
  template <typename Part, int kRows>
  static THRONG_DEVICE void AddFactors(const uint8_t* page, int lane, const float (&down)[kRows],
                                       float (&added)[kRows][8]) {
    THRONG_UNROLL_BY(kRows == 1 ? kRank : 1)  // of two rows, all take more registers than there are
    for (int i = 0; i < kRank; ++i) {
      float weights[kRows];
      THRONG_UNROLL
      for (int r = 0; r < kRows; ++r) weights[r] = Shuffle(down[r], Lane() / 4 * 4 + i);
      const Words2 factors = Load8(page + Part::kLaneFactors + i * 64 * Part::kGroups + lane);
      THRONG_UNROLL
      for (int e = 0; e < 8; ++e) {
        const auto factor = static_cast<float>(SignedByte(factors.w[e / 4], e % 4));
        THRONG_UNROLL
        for (int r = 0; r < kRows; ++r) added[r][e] = Fma(weights[r], factor, added[r][e]);
      }
    }
  }

  template <int kRows>
  static THRONG_DEVICE void AddLowRankKeys(const uint8_t* page, const Query& query, PageRow* scores) {
    float sums[kRank][kRows] = {};
    THRONG_NO_UNROLL
    for (int quad = 0; quad < kDim / 16; ++quad) {
      const int channel = FoldedChannel(quad / 2) + quad % 2 * 4;
      THRONG_UNROLL
      for (int i = 0; i < kRank; ++i) {
        AddRowFactors<Keys, kRows>(
            page, channel / 4, i, [&](int r, int e) { return query.Row(Lane() / 4 + 8 * r)[channel + e]; },
            sums[i]);
      }
    }
    float down[kRows] = {};
    THRONG_UNROLL
    for (int e = 0; e < kRows * kRank; ++e)
      KeepFactor<Keys>(page, e % kRank, sums[e % kRank][e / kRank], down[e / kRank]);
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      float added[kRows][8] = {};
      AddFactors<Keys, kRows>(page, OwnToken(h), down, added);
      THRONG_UNROLL
      for (int e = 0; e < 8 * kRows; ++e) scores[e / 8][h][e % 4][e / 4 % 2] += added[e / 8][e % 8];
    }
  }

  template <int kRows>
  static THRONG_DEVICE void WeighTokens(const uint8_t* page, const PageRow* probabilities,
                                        float (&down)[kRows]) {
    THRONG_NO_UNROLL  // all at once take more registers than there are
        for (int i = 0; i < kRank; ++i) {
      float sums[kRows] = {};
      THRONG_UNROLL
      for (int hj = 0; hj < 4; ++hj) {
        AddRowFactors<Values, kRows>(
            page, OwnToken(hj / 2) / 4 + hj % 2, i,
            [&](int r, int e) { return probabilities[r][hj / 2][e][hj % 2]; }, sums);
      }
      THRONG_UNROLL
      for (int r = 0; r < kRows; ++r) KeepFactor<Values>(page, i, sums[r], down[r]);
    }
  }

  // The largest |difference| of the outliers.
  template <typename Part>
  static THRONG_DEVICE float Widest(const uint8_t* page) {
    float widest = 0.0f;
    THRONG_NO_UNROLL
    for (int e = Lane(); e < kEntries; e += kWarpThreads)
      widest = Max(widest, Abs(Difference<Part>(page, e)));
    THRONG_UNROLL
    for (int mask = 16; mask > 0; mask /= 2) widest = Max(widest, ShuffleXor(widest, mask));
    return widest;
  }

  // No sum of a row's outliers is larger. largest: of the row's weights.
  static THRONG_DEVICE float OutlierBound(float widest, float largest) { return widest * largest * kEntries; }
  // Of 8 rows, for AddOutliers. bound: of row g.
  template <int kRows>
  static THRONG_DEVICE void ShareInverse(float bound, OutlierScratch<kRows>& scratch) {
    if (Lane() % 4 == 0) scratch.inverse[Lane() / 4] = bound > kLeastScale ? kOutlierRange / bound : 0.0f;
  }
  // Adds the outliers in a group of lanes, times the weights of their rows, to the sums of query rows 8 r to
  // 8 r + 7.
  template <typename Part, int kRows>
  static THRONG_DEVICE void AddOutliers(const uint8_t* page, int group, const float* weights, int stride,
                                        OutlierScratch<kRows>& scratch, int r) {
    WarpBarrier();  // sums are 0, weights are there
    THRONG_NO_UNROLL
    for (int e = Lane(); e < kEntries; e += kWarpThreads) {
      const int lane = FromSlot(page[Part::kLaneSlots + e]);
      if (lane / 64 != group) continue;
      const float difference = Difference<Part>(page, e);
      const float* weight = weights + FromSlot(page[Part::kRowSlots + e]);
      THRONG_UNROLL_BY(4)
      for (int g = 0; g < 8; ++g) {
        const float inverse = scratch.inverse[g];
        if (inverse == 0.0f) continue;
        const float product = weight[g * stride] * difference;
        AtomicAdd(&scratch.sums[8 * r + g][lane % 64], static_cast<int32_t>(Round(product * inverse)));
      }
    }
    WarpBarrier();
  }
  template <typename Part>
  static THRONG_DEVICE float Difference(const uint8_t* page, int e) {
    return HalfBitsToFloat(*reinterpret_cast<const uint16_t*>(page + Part::kDifferences + 2 * e));
  }
  // A sum, which becomes 0.
  static THRONG_DEVICE float Take(int32_t& sum, float unit) {
    const float value = static_cast<float>(sum) * unit;
    sum = 0;
    return value;
  }
};

}  // namespace throng::device
