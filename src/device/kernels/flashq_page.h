// A warp scores and mixes a page of flashq4 or flashq2 with integer products of matrices.
//
// Both products run on the codes as they lie in the page: four tokens (keys) or channels (values) are a load
// of 16 bytes per lane, and a word's even and odd digits are the two registers of an operand. The scales of
// channels go into the query, q s2 = 128 high + low, whose digits fit 8 bits; the sums are exact, so scores
// have the bits of kv/flashq/flashq-inl.h. What a lane has of the scores is what it needs as weights of the
// values.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/flashq_layout.h"
#include "device/kernels/page_row.h"
#include "device/kernels/quantize.h"

namespace throng::device {

template <int kBits, int kDim>
struct FlashqPage : UnrotatedPage {
  using Layout = FlashqLayout<kBits, kDim>;
  static constexpr int kHeadDim = kDim;
  static constexpr int kSteps = kDim / 32;  // products of 32 channels

  using Scratch = NoScratch;
  using Query = IntegerQueryRow<kDim>;
  // A query's element in 8 bits, `largest` being the largest of its row.
  static THRONG_DEVICE int QueryCode(float x, float largest) {
    const float scale = largest / 127.0f;
    return scale == 0.0f ? 0 : QuantizeExactly(x, scale, 127);
  }

  static THRONG_DEVICE void Score(const uint8_t* page, const Query& query, Scratch&, PageRow& scores) {
    uint32_t high[kSteps][2];
    uint32_t low[kSteps][2];
    const int32_t bias = Fold(page, query, high, low);
    const float scale = query.scale * *reinterpret_cast<const float*>(page + Layout::kBlockScale);
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      int32_t high_sums[4][4] = {};
      int32_t low_sums[4][4] = {};
      THRONG_UNROLL
      for (int s = 0; s < kSteps; ++s) {
        const Words4 codes = LoadKeys(page, s, h);
        const uint32_t high_rows[4] = {high[s][0], 0, high[s][1], 0};
        const uint32_t low_rows[4] = {low[s][0], 0, low[s][1], 0};
        THRONG_UNROLL
        for (int v = 0; v < 4; ++v) {
          uint32_t keys[2];
          KeyDigits(codes.w[v], h, keys);
          MmaS8U8(high_sums[v], high_rows, keys);
          MmaS8U8(low_sums[v], low_rows, keys);
        }
      }
      THRONG_UNROLL
      for (int v = 0; v < 4; ++v) {
        THRONG_UNROLL
        for (int j = 0; j < 2; ++j) {
          scores[h][v][j] = static_cast<float>(128 * high_sums[v][j] + low_sums[v][j] + bias) * scale;
        }
      }
    }
  }

  // out = out * rescale + probabilities times values. top: the largest probability of the row.
  static THRONG_DEVICE void Mix(const uint8_t* page, const PageRow& probabilities, float top, float rescale,
                                Scratch&, OutputRow<kDim>& out) {
    uint32_t weights[2][4];
    const float sum = Weigh(probabilities, top, weights);
    const float block_scale = *reinterpret_cast<const float*>(page + Layout::kBlockScale);
    const float weight_scale = top > kLeastScale ? top * (block_scale / 255.0f) : 0.0f;
    THRONG_UNROLL
    for (int k = 0; k < kSteps; ++k) {
      int32_t sums[4][4] = {};
      THRONG_UNROLL
      for (int h = 0; h < 2; ++h) {
        const Words4 codes = LoadValues(page, k, h);
        THRONG_UNROLL
        for (int v = 0; v < 4; ++v) {
          uint32_t values[2];
          ValueDigits(codes.w[v], values);
          MmaU8U8(sums[v], weights[h], values);
        }
      }
      const Words2 scales = Load8(page + Layout::kScales + OwnChannel(k));
      const Words2 zeros = Load8(page + Layout::kZeros + OwnChannel(k));
      THRONG_UNROLL
      for (int v = 0; v < 4; ++v) {
        THRONG_UNROLL
        for (int j = 0; j < 2; ++j) {
          const float offset = static_cast<float>(SignedByte(zeros.w[j], v)) * sum;
          const float mixed =
              Fma(static_cast<float>(sums[v][j]), static_cast<float>(Byte(scales.w[j], v)), offset);
          out[k][v][j] = Fma(mixed, weight_scale, out[k][v][j] * rescale);
        }
      }
    }
  }

  // Weights in 8 bits, 255 for `top`: the operands A of products over tokens, at [h]. Returns their sum.
  static THRONG_DEVICE float Weigh(const PageRow& probabilities, float top, uint32_t (&weights)[2][4]) {
    const float inverse = top > kLeastScale ? 255.0f / top : 0.0f;
    uint32_t weight_sum = 0;
    THRONG_UNROLL
    for (int h = 0; h < 2; ++h) {
      weights[h][1] = weights[h][3] = 0;
      THRONG_UNROLL
      for (int j = 0; j < 2; ++j) {
        uint32_t word = 0;
        THRONG_UNROLL
        for (int v = 0; v < 4; ++v)
          word |= static_cast<uint32_t>(Round(probabilities[h][v][j] * inverse)) << 8 * v;
        weights[h][2 * j] = word;
        weight_sum = Dot4U8(word, 0x01010101u, weight_sum);
      }
    }
    return static_cast<float>(RowSum(static_cast<int32_t>(weight_sum)));
  }

 private:
  // The query with the page's scales, and the sum of query times zero points over all channels.
  static THRONG_DEVICE int32_t Fold(const uint8_t* page, const Query& query, uint32_t (&high)[kSteps][2],
                                    uint32_t (&low)[kSteps][2]) {
    int32_t bias = 0;
    THRONG_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      const Words2 scales = Load8(page + Layout::kScales + 32 * s + 8 * (Lane() % 4));
      const Words2 zeros = Load8(page + Layout::kZeros + 32 * s + 8 * (Lane() % 4));
      THRONG_UNROLL
      for (int j = 0; j < 2; ++j) {
        bias = Dot4S8(query.codes[s][j], zeros.w[j], bias);
        high[s][j] = low[s][j] = 0;
        THRONG_UNROLL
        for (int e = 0; e < 4; ++e) {
          const int folded = SignedByte(query.codes[s][j], e) * Byte(scales.w[j], e);
          SplitSigned(folded, e, high[s][j], low[s][j]);
        }
      }
    }
    return RowSum(bias);
  }

  // Line 4 s + lane % 4, which has 8 channels.
  static THRONG_DEVICE Words4 LoadKeys(const uint8_t* page, int s, int h) {
    const int token = ColumnToken(h) % Layout::kKeyLine;
    return Load16(page + ((4 * s + Lane() % 4) * Layout::kKeyLine + token) * 4);
  }
  static THRONG_DEVICE void KeyDigits(uint32_t word, int h, uint32_t (&keys)[2]) {
    constexpr uint32_t kMask = Layout::kLevels * 0x01010101u;
    word >>= ColumnToken(h) / Layout::kKeyLine * 4;
    keys[0] = word & kMask;
    keys[1] = word >> kBits & kMask;
  }

  // The line of this lane's tokens at [h].
  static THRONG_DEVICE Words4 LoadValues(const uint8_t* page, int k, int h) {
    const int line = OwnToken(h) / Layout::kPerWord;
    return Load16(page + (line * Layout::kValueLine + ColumnChannel(k)) * 4);
  }
  static THRONG_DEVICE void ValueDigits(uint32_t word, uint32_t (&values)[2]) {
    constexpr uint32_t kMask = Layout::kLevels * 0x01010101u;
    word >>= OwnToken(0) % Layout::kPerWord / 4 * kBits;
    values[0] = word & kMask;
    values[1] = word >> kBits & kMask;
  }
};

}  // namespace throng::device
