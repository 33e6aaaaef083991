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

  // x[i] is element lane + 32 i of a query.
  static THRONG_DEVICE void RotateQuery(float (&x)[kDim / kWarpThreads]) {
    THRONG_UNROLL
    for (int i = 0; i < kDim / kWarpThreads; ++i) x[i] *= RotationSign(Lane() + i * kWarpThreads);
    HadamardOfWarp(x);
  }
  static THRONG_DEVICE void RotateBack(OutputRow<kDim>& out) {
    HadamardOfOutput<kDim>(out);
    THRONG_UNROLL
    for (int k = 0; k < kSteps; ++k) {
      THRONG_UNROLL
      for (int c = 0; c < 8; ++c) out[k][c % 4][c / 4] *= RotationSign(OwnChannel(k) + c);
    }
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
      LoadHalves(page + Layout::kHalfSteps + 2 * OwnToken(h), half_steps);
      LoadHalves(page + Layout::kMiddles + 2 * OwnToken(h), middles);
      THRONG_UNROLL
      for (int t = 0; t < 8; ++t) {
        const int32_t centred = 2 * sums[t % 4][t / 4] - Layout::kLevels * query_sum;
        const float steps = static_cast<float>(centred) * half_steps[t];
        scores[h][t % 4][t / 4] = (steps + static_cast<float>(query_sum) * middles[t]) * query.scale;
      }
    }
  }

  // out = out * rescale + probabilities times values, both rotated. Weights have 15 bits, in two products.
  static THRONG_DEVICE void Mix(const uint8_t* page, const PageRow& probabilities, float, float rescale,
                                Scratch&, OutputRow<kDim>& out) {
    PageRow products;
    float largest = 0.0f;
    float middle = 0.0f;
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      float half_steps[8];
      float middles[8];
      LoadHalves(page + Layout::kHalfSteps + 2 * OwnToken(h), half_steps);
      LoadHalves(page + Layout::kMiddles + 2 * OwnToken(h), middles);
      THRONG_UNROLL
      for (int t = 0; t < 8; ++t) {
        products[h][t % 4][t / 4] = probabilities[h][t % 4][t / 4] * half_steps[t];
        largest = Max(largest, products[h][t % 4][t / 4]);
        middle = Fma(probabilities[h][t % 4][t / 4], middles[t], middle);
      }
    }
    middle = RowSum(middle);
    uint32_t high[2][4];
    uint32_t low[2][4];
    const float unit = SplitWeights(products, RowMax(largest), high, low);
    uint32_t high_sum = 0;
    uint32_t low_sum = 0;
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      THRONG_UNROLL
      for (int j = 0; j < 2; ++j) {
        high_sum = Dot4U8(high[h][2 * j], 0x01010101u, high_sum);
        low_sum = Dot4U8(low[h][2 * j], 0x01010101u, low_sum);
        high[h][2 * j] = SwapMiddle(high[h][2 * j]);
        low[h][2 * j] = SwapMiddle(low[h][2 * j]);
      }
    }
    const int32_t weights = RowSum(static_cast<int32_t>(128 * high_sum + low_sum));
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
        const int32_t sum = 128 * high_sums[c % 4][c / 4] + low_sums[c % 4][c / 4];
        const float added = Fma(static_cast<float>(2 * sum - Layout::kLevels * weights), unit, middle);
        mixed[c] = Fma(out[0][c % 4][c / 4], rescale, added);
      }
      Rotate(mixed, out);
    }
  }

 private:
  // Codes of channels 32 s + 8 i and 7 more, i = lane % 4, of tokens ColumnToken(h) + v.
  static THRONG_DEVICE void LoadKeys(const uint8_t* page, int s, int h, uint32_t (&keys)[4][2]) {
    const int token = ColumnToken(h);
    if constexpr (kBits == 4) {
      const uint8_t* line = page + ((8 * s + 2 * (Lane() % 4)) * kPageTokens + token) * 2;
      const Words2 lines[2] = {Load8(line), Load8(line + 2 * kPageTokens)};
      THRONG_UNROLL
      for (int v = 0; v < 4; ++v) {
        THRONG_UNROLL
        for (int j = 0; j < 2; ++j) {
          const uint32_t word = lines[j].w[v / 2] >> v % 2 * 16;
          keys[v][j] = (word & 0x0f0fu) | (word << 12 & 0x0f0f0000u);
        }
      }
    } else {
      const int line = 4 * s + Lane() % 4;
      const Words2 words = Load8(page + (line * kPageTokens + token) * 2);
      uint32_t third = 0;
      if constexpr (kBits == 3) third = Load4(page + Layout::kThirdBits + line * kPageTokens + token);
      THRONG_UNROLL
      for (int v = 0; v < 4; ++v) {
        const uint32_t word = words.w[v / 2] >> v % 2 * 16;
        THRONG_UNROLL
        for (int j = 0; j < 2; ++j) {
          const uint32_t four = word >> 4 * j;
          keys[v][j] = (four & 0x0303u) | (four << 14 & 0x03030000u);
          if constexpr (kBits == 3) {
            // Even channels are bits 0 to 3 of the byte, odd ones 4 to 7.
            const uint32_t bits = third >> (8 * v + 2 * j);
            keys[v][j] |= (bits & 1) << 2 | (bits & 0x10) << 6 | (bits & 2) << 17 | (bits & 0x20) << 21;
          }
        }
      }
    }
  }

  // Tokens 0 2 1 3 of four: the order in which LoadValues has them.
  static THRONG_DEVICE uint32_t SwapMiddle(uint32_t word) {
    return (word & 0xff0000ffu) | (word & 0xff00u) << 8 | (word >> 8 & 0xff00u);
  }
  // Codes of this lane's 8 tokens at [h], of channels ColumnChannel(k) + v.
  static THRONG_DEVICE void LoadValues(const uint8_t* page, int k, int h, uint32_t (&values)[4][2]) {
    constexpr int kTokens = 32 / Layout::kLowBits;  // of a word
    const int line = OwnToken(h) / kTokens;
    const Words4 words = Load16(page + (line * kDim + ColumnChannel(k)) * 4);
    Words4 third{};
    if constexpr (kBits == 3) {
      third = Load16(page + Layout::kThirdBits + (OwnToken(h) / 32 * kDim + ColumnChannel(k)) * 4);
    }
    THRONG_UNROLL
    for (int v = 0; v < 4; ++v) {
      THRONG_UNROLL
      for (int j = 0; j < 2; ++j) {
        if constexpr (kBits == 4) {
          const uint32_t word = words.w[v] >> 8 * j;
          values[v][j] = (word & 0x000f000fu) | (word << 4 & 0x0f000f00u);
        } else {
          const uint32_t word = words.w[v] >> (OwnToken(h) % 16 + 4 * j);
          values[v][j] = (word & 0x00030003u) | (word << 6 & 0x03000300u);
        }
        if constexpr (kBits == 3) {
          const uint32_t bits = third.w[v] >> (OwnToken(h) % 32 / 2 + 2 * j);
          values[v][j] |= (bits & 0x00010001u) << 2 | (bits & 0x00020002u) << 9;
        }
      }
    }
  }
};

}  // namespace throng::device
