// A warp scores and mixes a page of the codecs rot4, rot3, rot2 and int4 (kv/rot/rot.h): codes of rotated
// rows with a half step and a midpoint for each token.
//
// Codes go into integer products as they lie in the page. Outputs stay rotated while a warp mixes pages:
// RotateBack is called once after the last of them, not once a page as on the processor.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/hadamard.h"
#include "device/kernels/page_row.h"
#include "device/kernels/quantize.h"

namespace throng::device {

template <int kBits, int kDim>
struct RotLayout {
  static_assert(kBits >= 2 && kBits <= 4 && kDim % 64 == 0);
  static constexpr int kLevels = (1 << kBits) - 1;
  static constexpr int kLowBits = kBits == 3 ? 2 : kBits;
  static constexpr int kThirdBits = kPageTokens * kDim / 4;  // the plane of 3-bit codes
  static constexpr int kCodeBytes = kPageTokens * kDim * kBits / 8;
  static constexpr int kHalfSteps = kCodeBytes;  // f16 of each token
  static constexpr int kMiddles = kHalfSteps + 2 * kPageTokens;
  static constexpr int kBytes = kMiddles + 2 * kPageTokens;
};

// kRotates: 1, or 0 for int4.
template <int kBits, int kDim, int kRotates>
struct RotPage {
  using Layout = RotLayout<kBits, kDim>;
  static constexpr int kHeadDim = kDim;
  static constexpr bool kRotated = kRotates != 0;
  static constexpr int kSteps = kDim / 32;

  using Scratch = NoScratch;
  using Query = IntegerQueryRow<kDim>;
  static THRONG_DEVICE int QueryCode(float x, float largest) {
    return largest > kLeastScale ? static_cast<int>(Round(x * (127.0f / largest))) : 0;
  }

  static constexpr int kWordTokens = 32 / Layout::kLowBits;  // of a channel of values

  // The codes of a token's channels 4 j to 4 j + 3 of eight, or with 4 bits of the four that `codes` has.
  // codes: 16 bits; third: the byte of the plane of 3-bit codes, with any bits above it.
  static THRONG_DEVICE uint32_t KeyCodes(uint32_t codes, uint32_t third, int j) {
    if constexpr (kBits == 4) return (codes & 0x0f0fu) | (codes << 12 & 0x0f0f0000u);
    const uint32_t four = codes >> 4 * j;
    uint32_t keys = (four & 0x0303u) | (four << 14 & 0x03030000u);
    if constexpr (kBits == 3) {
      // Even channels are bits 0 to 3 of the byte, odd ones 4 to 7.
      const uint32_t bits = third >> 2 * j;
      keys |= (bits & 1) << 2 | (bits & 0x10) << 6 | (bits & 2) << 17 | (bits & 0x20) << 21;
    }
    return keys;
  }
  // The codes of a channel's tokens first + 4 j to first + 4 j + 3, in the order 0 2 1 3. first: a multiple
  // of 8; codes, third: the channel's words that have them.
  static THRONG_DEVICE uint32_t ValueCodes(uint32_t codes, uint32_t third, int first, int j) {
    if constexpr (kBits == 4) {
      const uint32_t word = codes >> 8 * j;
      return (word & 0x000f000fu) | (word << 4 & 0x0f000f00u);
    }
    const uint32_t word = codes >> (first % 16 + 4 * j);
    uint32_t values = (word & 0x00030003u) | (word << 6 & 0x03000300u);
    if constexpr (kBits == 3) {
      const uint32_t bits = third >> (first % 32 / 2 + 2 * j);
      values |= (bits & 0x00010001u) << 2 | (bits & 0x00020002u) << 9;
    }
    return values;
  }
  // Tokens 0 2 1 3 of four: from the order of ValueCodes to theirs, and back.
  static THRONG_DEVICE uint32_t SwapMiddle(uint32_t word) {
    return (word & 0xff0000ffu) | (word & 0xff00u) << 8 | (word >> 8 & 0xff00u);
  }

  // x[i] is element lane + 32 i of a query.
  static THRONG_DEVICE void RotateQuery(float (&x)[kDim / kWarpThreads]) {
    THRONG_UNROLL
    for (int i = 0; i < kDim / kWarpThreads; ++i) x[i] *= RotationSign(Lane() + i * kWarpThreads);
    HadamardOfWarp(x);
  }
  // The same of a query whose elements are in lanes as outputs are. signs: SignsOfLane().
  static THRONG_DEVICE void RotateQuery(uint32_t signs, OutputRow<kDim>& x) {
    SetSigns(signs, x);
    HadamardOfOutput<kDim>(x);
  }
  static THRONG_DEVICE void RotateBack(uint32_t signs, OutputRow<kDim>& out) {
    HadamardOfOutput<kDim>(out);
    SetSigns(signs, out);
  }
  // Of a lane's outputs: bit 8 k + c is set where channel OwnChannel(k) + c changes its sign.
  static THRONG_DEVICE uint32_t SignsOfLane() {
    uint32_t signs = 0;
    THRONG_UNROLL
    for (int e = 0; e < 8 * kSteps; ++e)
      signs |= (RotationSign(OwnChannel(e / 8) + e % 8) < 0.0f ? 1u : 0u) << e;
    return signs;
  }

  // Of a token, from the sum of its codes times a query's, whose own sum is query_sum.
  static THRONG_DEVICE float ScoreOf(int32_t sum, int32_t query_sum, float query_scale, float half_step,
                                     float middle) {
    const int32_t centred = 2 * sum - Layout::kLevels * query_sum;
    const float steps = static_cast<float>(centred) * half_step;
    return (steps + static_cast<float>(query_sum) * middle) * query_scale;
  }

  // Of a row's weights: what one is worth, what all of them add of the middles, and their sum.
  struct Weight {
    float unit;
    float middle;
    int32_t sum;
  };
  // Probabilities times half steps as integers of 15 bits. scales_of(h, half_steps, middles): of this
  // lane's tokens at [h].
  template <typename ScalesOf>
  static THRONG_DEVICE Weight Weigh(const ScalesOf& scales_of, const PageRow& probabilities,
                                    uint32_t (&high)[2][4], uint32_t (&low)[2][4]) {
    PageRow products;
    float largest = 0.0f;
    float middle = 0.0f;
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      float half_steps[8];
      float middles[8];
      scales_of(h, half_steps, middles);
      THRONG_UNROLL
      for (int t = 0; t < 8; ++t) {
        products[h][t % 4][t / 4] = probabilities[h][t % 4][t / 4] * half_steps[t];
        largest = Max(largest, products[h][t % 4][t / 4]);
        middle = Fma(probabilities[h][t % 4][t / 4], middles[t], middle);
      }
    }
    const float unit = SplitWeights(products, RowMax(largest), high, low);
    uint32_t high_sum = 0;
    uint32_t low_sum = 0;
    THRONG_UNROLL
    for (int e = 0; e < 4; ++e) {
      high_sum = Dot4U8(high[e / 2][e % 2 * 2], 0x01010101u, high_sum);
      low_sum = Dot4U8(low[e / 2][e % 2 * 2], 0x01010101u, low_sum);
    }
    return {unit, RowSum(middle), RowSum(static_cast<int32_t>(128 * high_sum + low_sum))};
  }
  // out * rescale + the sums of weights' digits times a channel's codes.
  static THRONG_DEVICE float Mixed(int32_t high_sum, int32_t low_sum, const Weight& weight, float out,
                                   float rescale) {
    const int32_t sum = 128 * high_sum + low_sum;
    const float added =
        Fma(static_cast<float>(2 * sum - Layout::kLevels * weight.sum), weight.unit, weight.middle);
    return Fma(out, rescale, added);
  }

  static THRONG_DEVICE void Score(const uint8_t* page, const Query& query, Scratch&, PageRow& scores) {
    int32_t query_sum = 0;
    THRONG_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      THRONG_UNROLL
      for (int j = 0; j < 2; ++j) query_sum = Dot4S8(query.codes[s][j], 0x01010101u, query_sum);
    }
    query_sum = RowSum(query_sum);
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      int32_t sums[4][4] = {};
      THRONG_UNROLL
      for (int s = 0; s < kSteps; ++s) {
        uint32_t keys[4][2];
        LoadKeys(page, s, h, keys);
        const uint32_t rows[4] = {query.codes[s][0], 0, query.codes[s][1], 0};
        THRONG_UNROLL
        for (int v = 0; v < 4; ++v) MmaS8U8(sums[v], rows, keys[v]);
      }
      float half_steps[8];
      float middles[8];
      LoadScales(page, h, half_steps, middles);
      THRONG_UNROLL
      for (int t = 0; t < 8; ++t) {
        scores[h][t % 4][t / 4] =
            ScoreOf(sums[t % 4][t / 4], query_sum, query.scale, half_steps[t], middles[t]);
      }
    }
  }

  // out = out * rescale + probabilities times values, both rotated. Weights have 15 bits, in two products.
  static THRONG_DEVICE void Mix(const uint8_t* page, const PageRow& probabilities, float, float rescale,
                                Scratch&, OutputRow<kDim>& out) {
    uint32_t high[2][4];
    uint32_t low[2][4];
    const Weight weight = Weigh(
        [&](int h, float(&half_steps)[8], float(&middles)[8]) { LoadScales(page, h, half_steps, middles); },
        probabilities, high, low);
    THRONG_UNROLL
    for (int e = 0; e < 4; ++e) {
      high[e / 2][e % 2 * 2] = SwapMiddle(high[e / 2][e % 2 * 2]);
      low[e / 2][e % 2 * 2] = SwapMiddle(low[e / 2][e % 2 * 2]);
    }
    THRONG_NO_UNROLL
    for (int k = 0; k < kSteps; ++k) {
      int32_t high_sums[4][4] = {};
      int32_t low_sums[4][4] = {};
      THRONG_UNROLL
      for (int h = 0; h < 2; ++h) {
        uint32_t values[4][2];
        LoadValues(page, k, h, values);
        THRONG_UNROLL
        for (int v = 0; v < 4; ++v) {
          MmaU8U8(high_sums[v], high[h], values[v]);
          MmaU8U8(low_sums[v], low[h], values[v]);
        }
      }
      float mixed[8];
      THRONG_UNROLL
      for (int c = 0; c < 8; ++c) {
        mixed[c] =
            Mixed(high_sums[c % 4][c / 4], low_sums[c % 4][c / 4], weight, out[0][c % 4][c / 4], rescale);
      }
      Rotate(mixed, out);
    }
  }

 private:
  // Of this lane's tokens at [h].
  static THRONG_DEVICE void LoadScales(const uint8_t* page, int h, float (&half_steps)[8],
                                       float (&middles)[8]) {
    LoadHalves(page + Layout::kHalfSteps + 2 * OwnToken(h), half_steps);
    LoadHalves(page + Layout::kMiddles + 2 * OwnToken(h), middles);
  }
  static THRONG_DEVICE void SetSigns(uint32_t signs, OutputRow<kDim>& row) {
    THRONG_UNROLL
    for (int e = 0; e < 8 * kSteps; ++e) {
      float& x = row[e / 8][e % 4][e / 4 % 2];
      x = BitsToFloat(FloatToBits(x) ^ (signs << (31 - e) & 0x80000000u));
    }
  }

  // Codes of channels 32 s + 8 i and 7 more, i = lane % 4, of tokens ColumnToken(h) + v.
  static THRONG_DEVICE void LoadKeys(const uint8_t* page, int s, int h, uint32_t (&keys)[4][2]) {
    const int token = ColumnToken(h);
    if constexpr (kBits == 4) {
      const uint8_t* line = page + ((8 * s + 2 * (Lane() % 4)) * kPageTokens + token) * 2;
      const Words2 lines[2] = {Load8(line), Load8(line + 2 * kPageTokens)};
      THRONG_UNROLL
      for (int v = 0; v < 4; ++v) {
        THRONG_UNROLL
        for (int j = 0; j < 2; ++j) keys[v][j] = KeyCodes(lines[j].w[v / 2] >> v % 2 * 16, 0, j);
      }
    } else {
      const int line = 4 * s + Lane() % 4;
      const Words2 words = Load8(page + (line * kPageTokens + token) * 2);
      uint32_t third = 0;
      if constexpr (kBits == 3) third = Load4(page + Layout::kThirdBits + line * kPageTokens + token);
      THRONG_UNROLL
      for (int v = 0; v < 4; ++v) {
        THRONG_UNROLL
        for (int j = 0; j < 2; ++j) keys[v][j] = KeyCodes(words.w[v / 2] >> v % 2 * 16, third >> 8 * v, j);
      }
    }
  }

  // Codes of this lane's 8 tokens at [h], of channels ColumnChannel(k) + v.
  static THRONG_DEVICE void LoadValues(const uint8_t* page, int k, int h, uint32_t (&values)[4][2]) {
    const int line = OwnToken(h) / kWordTokens;
    const Words4 words = Load16(page + (line * kDim + ColumnChannel(k)) * 4);
    Words4 third{};
    if constexpr (kBits == 3) {
      third = Load16(page + Layout::kThirdBits + (OwnToken(h) / 32 * kDim + ColumnChannel(k)) * 4);
    }
    THRONG_UNROLL
    for (int v = 0; v < 4; ++v) {
      THRONG_UNROLL
      for (int j = 0; j < 2; ++j) values[v][j] = ValueCodes(words.w[v], third.w[v], OwnToken(h), j);
    }
  }
};

}  // namespace throng::device
