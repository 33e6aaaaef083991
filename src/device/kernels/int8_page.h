// A warp scores and mixes a page of int8 (kv/int8/int8.h), and a block seals one.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/page_row.h"
#include "device/kernels/quantize.h"
#include "device/kernels/seal_job.h"

namespace throng::device {

template <int kDim>
struct Int8Layout {
  static_assert(kDim % 64 == 0);
  static constexpr size_t kScales = static_cast<size_t>(kPageTokens) * kDim;  // f32 of each token
  static constexpr size_t kBytes = kScales + kPageTokens * sizeof(float);
};

template <int kDim>
struct Int8Page : UnrotatedPage {
  using Layout = Int8Layout<kDim>;
  static constexpr int kHeadDim = kDim;
  static constexpr int kSteps = kDim / 32;

  using Scratch = NoScratch;
  using Query = IntegerQueryRow<kDim>;
  static THRONG_DEVICE int QueryCode(float x, float largest) {
    return largest > kLeastScale ? static_cast<int>(Round(x * (127.0f / largest))) : 0;
  }

  static THRONG_DEVICE void Score(const uint8_t* page, const Query& query, Scratch&, PageRow& scores) {
    int32_t offset = 0;  // keys are stored as c + 128
    THRONG_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      THRONG_UNROLL
      for (int j = 0; j < 2; ++j) offset = Dot4S8(query.codes[s][j], 0x01010101u, offset);
    }
    offset = -128 * RowSum(offset);
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      int32_t sums[4][4] = {};
      THRONG_UNROLL
      for (int s = 0; s < kSteps; ++s) {
        // Lines of 4 channels each.
        const uint8_t* line = page + ((8 * s + 2 * (Lane() % 4)) * kPageTokens + ColumnToken(h)) * 4;
        const Words4 first = Load16(line);
        const Words4 second = Load16(line + 4 * kPageTokens);
        const uint32_t rows[4] = {query.codes[s][0], 0, query.codes[s][1], 0};
        THRONG_UNROLL
        for (int v = 0; v < 4; ++v) {
          const uint32_t keys[2] = {first.w[v], second.w[v]};
          MmaS8U8(sums[v], rows, keys);
        }
      }
      float scales[8];
      LoadScales(page, h, scales);
      THRONG_UNROLL
      for (int t = 0; t < 8; ++t) {
        scores[h][t % 4][t / 4] = static_cast<float>(sums[t % 4][t / 4] + offset) * scales[t] * query.scale;
      }
    }
  }

  // out = out * rescale + probabilities times values. Weights have 15 bits, which two products take in turn.
  static THRONG_DEVICE void Mix(const uint8_t* page, const PageRow& probabilities, float, float rescale,
                                Scratch&, OutputRow<kDim>& out) {
    PageRow products;
    float largest = 0.0f;
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      float scales[8];
      LoadScales(page, h, scales);
      THRONG_UNROLL
      for (int t = 0; t < 8; ++t) {
        products[h][t % 4][t / 4] = probabilities[h][t % 4][t / 4] * scales[t];
        largest = Max(largest, products[h][t % 4][t / 4]);
      }
    }
    uint32_t high[2][4];
    uint32_t low[2][4];
    const float unit = SplitWeights(products, RowMax(largest), high, low);
    THRONG_UNROLL
    for (int k = 0; k < kSteps; ++k) {
      int32_t high_sums[4][4] = {};
      int32_t low_sums[4][4] = {};
      THRONG_UNROLL
      for (int h = 0; h < 2; ++h) {
        // Pairs of this lane's tokens.
        const uint8_t* pair = page + (OwnToken(h) / 2 * kDim + ColumnChannel(k)) * 2;
        Words2 pairs[4];
        THRONG_UNROLL
        for (int p = 0; p < 4; ++p) pairs[p] = Load8(pair + p * 2 * kDim);
        THRONG_UNROLL
        for (int v = 0; v < 4; ++v) {
          uint32_t values[2];
          THRONG_UNROLL
          for (int j = 0; j < 2; ++j) {
            const uint32_t first = pairs[2 * j].w[v / 2] >> v % 2 * 16 & 0xffff;
            const uint32_t second = pairs[2 * j + 1].w[v / 2] >> v % 2 * 16 & 0xffff;
            values[j] = first | second << 16;
          }
          MmaU8S8(high_sums[v], high[h], values);
          MmaU8S8(low_sums[v], low[h], values);
        }
      }
      THRONG_UNROLL
      for (int c = 0; c < 8; ++c) {
        const int32_t sum = 128 * high_sums[c % 4][c / 4] + low_sums[c % 4][c / 4];
        float& to = out[k][c % 4][c / 4];
        to = Fma(to, rescale, static_cast<float>(sum) * unit);
      }
    }
  }

 private:
  // Of this lane's tokens at [h].
  static THRONG_DEVICE void LoadScales(const uint8_t* page, int h, float (&scales)[8]) {
    const uint8_t* from = page + Layout::kScales + sizeof(float) * static_cast<size_t>(OwnToken(h));
    const Words4 low = Load16(from);
    const Words4 high = Load16(from + 16);
    THRONG_UNROLL
    for (int t = 0; t < 8; ++t) scales[t] = BitsToFloat(t < 4 ? low.w[t % 4] : high.w[t % 4]);
  }
};

// One block of 128 threads for a page's keys or values: two threads for each token.
template <int kDim>
struct SealInt8 {
  using Args = SealArgs;
  static constexpr int kThreads = 2 * kPageTokens;
  static constexpr int kBlocks = 8;
  static constexpr size_t kSharedBytes = 0;

  static THRONG_DEVICE void Run(const Args& args) {
    const SealJob& job = args.jobs[BlockIndex().x];
    const int token = ThreadIndex() / 2;
    const int first = ThreadIndex() % 2 * (kDim / 2);
    float largest = 0.0f;
    for (int c = first; c < first + kDim / 2; ++c) largest = Max(largest, Abs(Element(job, token, c)));
    largest = Max(largest, ShuffleXor(largest, 1));
    const bool any = largest > kLeastScale;
    const float inverse = any ? 127.0f / largest : 0.0f;
    for (int c = first; c < first + kDim / 2; ++c) {
      const int code = static_cast<int>(Round(Element(job, token, c) * inverse));
      if (job.is_values != 0) {
        job.page[(token / 2 * kDim + c) * 2 + token % 2] = static_cast<uint8_t>(code);
      } else {
        job.page[(c / 4 * kPageTokens + token) * 4 + c % 4] = static_cast<uint8_t>(code + 128);
      }
    }
    if (first == 0) {
      reinterpret_cast<float*>(job.page + Int8Layout<kDim>::kScales)[token] = any ? largest / 127.0f : 0.0f;
    }
  }

 private:
  static THRONG_DEVICE float Element(const SealJob& job, int token, int channel) {
    return HalfBitsToFloat(
        job.rows[job.is_values != 0 ? token * kDim + channel : channel * kPageTokens + token]);
  }
};

}  // namespace throng::device
