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
#include "device/kernels/page_row.h"
#include "device/kernels/quantize.h"

namespace throng::device {

// Where a page's parts lie: GearLayout of kv/gear/gear_layout.h, with groups of 64 lanes.
template <int kBits, int kRows, int kLanes, int kRank, int kEntries>
struct GearPart {
  static_assert(kBits == 4 || kBits == 2);
  static_assert(kRows % 64 == 0 && kLanes % 64 == 0);
  static constexpr int kGroups = kLanes / 64;
  static constexpr int kScales = kRows * kLanes * kBits / 8;  // f16 [groups, rows]
  static constexpr int kZeros = kScales + 2 * kGroups * kRows;
  static constexpr int kRowFactors = kZeros + 2 * kGroups * kRows;  // int8 [rows / 4, rank, 4]
  static constexpr int kLaneFactors = kRowFactors + kRank * kRows;  // int8 [rank, lanes]
  static constexpr int kFactorScales = kLaneFactors + kRank * kLanes;
  static constexpr int kDifferences = kFactorScales + 4 * kRank;  // f16 of each outlier
  static constexpr int kRowSlots = kDifferences + 2 * kEntries;
  static constexpr int kLaneSlots = kRowSlots + kEntries;
  static constexpr int kBytes = kLaneSlots + kEntries;

  // Rows 4 quad to 4 quad + 3, a byte each, of the lanes in this lane's columns of the products [half] of a
  // group.
  static THRONG_DEVICE Words4 LoadCodes(const uint8_t* page, int quad, int group) {
    constexpr int kGroupBytes = 64 * 4 * kBits / 8;
    const int column = Lane() / 4;  // of a product
    const int chunk = kBits == 4 ? column / 4 * 64 : 0;
    return Load16(page + (quad * kGroups + group) * kGroupBytes + chunk + column % 4 * 16);
  }
  static THRONG_DEVICE uint32_t Digits(uint32_t word, int half) {
    if constexpr (kBits == 4) return word >> 4 * half & 0x0f0f0f0fu;
    return word >> (Lane() / 16 * 4 + 2 * half) & 0x03030303u;
  }
};

// The order of 16 rows or lanes in outliers' places (kv/gear/gear_layout.h).
THRONG_DEVICE int FromSlot(int slot) { return (slot & ~15) | (slot & 3) << 2 | (slot >> 2 & 3); }

// Of a warp, in shared memory. `sums` are 0 between calls.
template <int kDim>
struct OutlierScratch {
  int32_t sums[kGroupRows][kDim];
  float weights[kGroupRows][kPageTokens + 1];
  float top[kGroupRows];
  int group;  // rows of queries
};
template <int kDim>
THRONG_DEVICE void ClearScratch(OutlierScratch<kDim>& scratch, int group) {
  for (int e = Lane(); e < kGroupRows * kDim; e += kWarpThreads) scratch.sums[e / kDim][e % kDim] = 0;
  if (Lane() == 0) scratch.group = group;
}

template <int kBits, int kDim, int kRank, int kEntries>
struct GearPage : UnrotatedPage {
  static constexpr int kHeadDim = kDim;
  using Keys = GearPart<kBits, kDim, kPageTokens, kRank, kEntries>;
  using Values = GearPart<kBits, kPageTokens, kDim, kRank, kEntries>;

  static THRONG_DEVICE int QueryCode(float, float) { return 0; }  // it needs none

  struct Query {
    const QueryRows<kDim>* queries;
    static THRONG_DEVICE Query Of(const QueryRows<kDim>& queries) { return {&queries}; }
  };
  using Scratch = std::conditional_t<(kEntries > 0), OutlierScratch<kDim>, NoScratch>;

  static THRONG_DEVICE void Score(const uint8_t* page, const Query& query, Scratch& scratch,
                                  PageRow& scores) {
    constexpr int kSteps = kDim / 32;
    const float* row = query.queries->rows[Lane() / 4];
    // Query times scale, for channels 32 s + 8 i and 7 more.
    float folded[kSteps][8];
    float largest = 0.0f;
    float base = 0.0f;
    THRONG_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      const int channel = 32 * s + 8 * (Lane() % 4);
      float scales[8];
      float zeros[8];
      LoadHalves(page + Keys::kScales + 2 * channel, scales);
      LoadHalves(page + Keys::kZeros + 2 * channel, zeros);
      THRONG_UNROLL
      for (int e = 0; e < 8; ++e) {
        folded[s][e] = row[channel + e] * scales[e];
        largest = Max(largest, Abs(folded[s][e]));
        base = Fma(row[channel + e], zeros[e], base);
      }
    }
    largest = RowMax(largest);
    base = RowSum(base);
    constexpr float kRange = 16256.0f;  // 127 * 128
    const float inverse = largest > kLeastScale ? kRange / largest : 0.0f;
    const float unit = largest > kLeastScale ? largest / kRange : 0.0f;
    uint32_t high[kSteps][2];
    uint32_t low[kSteps][2];
    THRONG_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      THRONG_UNROLL
      for (int j = 0; j < 2; ++j) {
        high[s][j] = low[s][j] = 0;
        THRONG_UNROLL
        for (int e = 0; e < 4; ++e) {
          SplitSigned(static_cast<int>(Round(folded[s][4 * j + e] * inverse)), e, high[s][j], low[s][j]);
        }
      }
    }
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      int32_t high_sums[4][4] = {};
      int32_t low_sums[4][4] = {};
      THRONG_UNROLL
      for (int s = 0; s < kSteps; ++s) {
        const Words4 first = Keys::LoadCodes(page, 8 * s + 2 * (Lane() % 4), 0);
        const Words4 second = Keys::LoadCodes(page, 8 * s + 2 * (Lane() % 4) + 1, 0);
        const uint32_t high_rows[4] = {high[s][0], 0, high[s][1], 0};
        const uint32_t low_rows[4] = {low[s][0], 0, low[s][1], 0};
        THRONG_UNROLL
        for (int v = 0; v < 4; ++v) {
          const uint32_t keys[2] = {Keys::Digits(first.w[v], h), Keys::Digits(second.w[v], h)};
          MmaS8U8(high_sums[v], high_rows, keys);
          MmaS8U8(low_sums[v], low_rows, keys);
        }
      }
      THRONG_UNROLL
      for (int t = 0; t < 8; ++t) {
        const int32_t sum = 128 * high_sums[t % 4][t / 4] + low_sums[t % 4][t / 4];
        scores[h][t % 4][t / 4] = Fma(static_cast<float>(sum), unit, base);
      }
    }
    if constexpr (kRank > 0) AddLowRankKeys(page, row, scores);
    if constexpr (kEntries > 0) {
      const float unit_of_outliers = AddOutliers<Keys>(page, Widest<Keys>(page), query.queries->rows[0],
                                                       kDim + 4, query.queries->largest, scratch);
      THRONG_UNROLL
      for (int e = 0; e < 16; ++e) {
        scores[e / 8][e / 2 % 4][e % 2] += Take(scratch, TokenOf(e / 8, e / 2 % 4, e % 2), unit_of_outliers);
      }
    }
  }

  static THRONG_DEVICE void Mix(const uint8_t* page, const PageRow& probabilities, float top, float rescale,
                                Scratch& scratch, OutputRow<kDim>& out) {
    float down[kRank > 0 ? kRank : 1] = {};
    if constexpr (kRank > 0) WeighTokens(page, probabilities, down);
    float unit_of_outliers = 0.0f;
    if constexpr (kEntries > 0) {
      const float widest = Widest<Values>(page);
      THRONG_UNROLL
      for (int e = 0; e < 16; ++e) {
        const int token = TokenOf(e / 8, e / 2 % 4, e % 2);
        scratch.weights[Lane() / 4][token] = probabilities[e / 8][e / 2 % 4][e % 2];
      }
      if (Lane() % 4 == 0) scratch.top[Lane() / 4] = Lane() / 4 < scratch.group ? top : 0.0f;
      unit_of_outliers =
          AddOutliers<Values>(page, widest, scratch.weights[0], kPageTokens + 1, scratch.top, scratch);
    }
    // A group at a time: all at once take more registers than there are.
    THRONG_NO_UNROLL
    for (int group = 0; group < Values::kGroups; ++group) {
      uint32_t high[2][4];
      uint32_t low[2][4];
      float unit;
      const float base = FoldProbabilities(page, group, probabilities, high, low, unit);
      THRONG_UNROLL
      for (int half = 0; half < 2; ++half) {
        int32_t high_sums[4][4] = {};
        int32_t low_sums[4][4] = {};
        THRONG_UNROLL
        for (int h = 0; h < 2; ++h) {
          const Words4 first = Values::LoadCodes(page, OwnToken(h) / 4, group);
          const Words4 second = Values::LoadCodes(page, OwnToken(h) / 4 + 1, group);
          THRONG_UNROLL
          for (int v = 0; v < 4; ++v) {
            const uint32_t values[2] = {Values::Digits(first.w[v], half), Values::Digits(second.w[v], half)};
            MmaU8U8(high_sums[v], high[h], values);
            MmaU8U8(low_sums[v], low[h], values);
          }
        }
        const int k = 2 * group + half;
        float added[8];
        THRONG_UNROLL
        for (int c = 0; c < 8; ++c) {
          const int32_t sum = 128 * high_sums[c % 4][c / 4] + low_sums[c % 4][c / 4];
          added[c] = Fma(static_cast<float>(sum), unit, base);
        }
        if constexpr (kRank > 0) AddFactors<Values>(page, OwnChannel(k), down, added);
        THRONG_UNROLL
        for (int c = 0; c < 8; ++c) {
          if constexpr (kEntries > 0) added[c] += Take(scratch, OwnChannel(k) + c, unit_of_outliers);
          added[c] = Fma(out[0][c % 4][c / 4], rescale, added[c]);
        }
        Rotate(added, out);
      }
    }
  }

 private:
  static constexpr float kOutlierRange = 1 << 30;

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

  // down[r] += sum over rows 4 quad to 4 quad + 3 of weights times the factors of rows.
  template <typename Part>
  static THRONG_DEVICE void AddRowFactors(const uint8_t* page, int quad, const float (&weights)[4],
                                          float (&down)[kRank]) {
    THRONG_UNROLL
    for (int r = 0; r < kRank; ++r) {
      const uint32_t word = Load4(page + Part::kRowFactors + (quad * kRank + r) * 4);
      THRONG_UNROLL
      for (int e = 0; e < 4; ++e) down[r] = Fma(weights[e], static_cast<float>(SignedByte(word, e)), down[r]);
    }
  }

  // Of all rows, times the scales of factors.
  template <typename Part>
  static THRONG_DEVICE void FinishRowFactors(const uint8_t* page, float (&down)[kRank]) {
    THRONG_UNROLL
    for (int r = 0; r < kRank; ++r) {
      down[r] = RowSum(down[r]) * BitsToFloat(Load4(page + Part::kFactorScales + 4 * r));
    }
  }

  // added[e] += sum of down times the factors of lanes `lane` and 7 more.
  template <typename Part>
  static THRONG_DEVICE void AddFactors(const uint8_t* page, int lane, const float (&down)[kRank],
                                       float (&added)[8]) {
    THRONG_UNROLL
    for (int r = 0; r < kRank; ++r) {
      const Words2 factors = Load8(page + Part::kLaneFactors + r * 64 * Part::kGroups + lane);
      THRONG_UNROLL
      for (int e = 0; e < 8; ++e) {
        added[e] = Fma(down[r], static_cast<float>(SignedByte(factors.w[e / 4], e % 4)), added[e]);
      }
    }
  }

  static THRONG_DEVICE void AddLowRankKeys(const uint8_t* page, const float* row, PageRow& scores) {
    float down[kRank] = {};
    THRONG_NO_UNROLL
    for (int s = 0; s < kDim / 32; ++s) {
      THRONG_UNROLL
      for (int j = 0; j < 2; ++j) {
        const int channel = 32 * s + 8 * (Lane() % 4) + 4 * j;
        const float weights[4] = {row[channel], row[channel + 1], row[channel + 2], row[channel + 3]};
        AddRowFactors<Keys>(page, channel / 4, weights, down);
      }
    }
    FinishRowFactors<Keys>(page, down);
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      float added[8] = {};
      AddFactors<Keys>(page, OwnToken(h), down, added);
      THRONG_UNROLL
      for (int t = 0; t < 8; ++t) scores[h][t % 4][t / 4] += added[t];
    }
  }

  static THRONG_DEVICE void WeighTokens(const uint8_t* page, const PageRow& probabilities,
                                        float (&down)[kRank]) {
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      THRONG_UNROLL
      for (int j = 0; j < 2; ++j) {
        const float weights[4] = {probabilities[h][0][j], probabilities[h][1][j], probabilities[h][2][j],
                                  probabilities[h][3][j]};
        AddRowFactors<Values>(page, OwnToken(h) / 4 + j, weights, down);
      }
    }
    FinishRowFactors<Values>(page, down);
  }

  // The largest |difference| of the outliers.
  template <typename Part>
  static THRONG_DEVICE float Widest(const uint8_t* page) {
    float widest = 0.0f;
    for (int e = Lane(); e < kEntries; e += kWarpThreads)
      widest = Max(widest, Abs(Difference<Part>(page, e)));
    THRONG_UNROLL
    for (int mask = 16; mask > 0; mask /= 2) widest = Max(widest, ShuffleXor(widest, mask));
    return widest;
  }

  // Adds outliers times the weights of their rows to the sums of all rows of queries. Returns the unit of
  // this lane's row.
  template <typename Part>
  static THRONG_DEVICE float AddOutliers(const uint8_t* page, float widest, const float* weights, int stride,
                                         const float* largest, Scratch& scratch) {
    WarpBarrier();  // sums are 0, weights are there
    float inverse[kGroupRows];
    THRONG_UNROLL
    for (int r = 0; r < kGroupRows; ++r) {
      const float bound = widest * largest[r] * kEntries;
      inverse[r] = bound > kLeastScale ? kOutlierRange / bound : 0.0f;
    }
    for (int e = Lane(); e < kEntries; e += kWarpThreads) {
      const float difference = Difference<Part>(page, e);
      const int row = FromSlot(page[Part::kRowSlots + e]);
      const int lane = FromSlot(page[Part::kLaneSlots + e]);
      THRONG_UNROLL
      for (int r = 0; r < kGroupRows; ++r) {
        if (largest[r] == 0.0f) continue;  // rows beyond the group, too
        const float product = weights[r * stride + row] * difference;
        AtomicAdd(&scratch.sums[r][lane], static_cast<int32_t>(Round(product * inverse[r])));
      }
    }
    WarpBarrier();
    return widest * largest[Lane() / 4] * kEntries / kOutlierRange;
  }
  template <typename Part>
  static THRONG_DEVICE float Difference(const uint8_t* page, int e) {
    return HalfBitsToFloat(*reinterpret_cast<const uint16_t*>(page + Part::kDifferences + 2 * e));
  }
  // A sum of this lane's row, which becomes 0.
  static THRONG_DEVICE float Take(Scratch& scratch, int lane, float unit) {
    int32_t& sum = scratch.sums[Lane() / 4][lane];
    const float value = static_cast<float>(sum) * unit;
    sum = 0;
    return value;
  }
};

}  // namespace throng::device
