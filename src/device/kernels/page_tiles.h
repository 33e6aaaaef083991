// Pages of flashq and int8 as prefill reads them: a block of threads copies a page to shared memory as it is,
// and expands it to bytes in the order in which fragments of matrices take them.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/flashq_page.h"
#include "device/kernels/int8_page.h"
#include "device/kernels/page_row.h"

namespace throng::device {

// Keys are [64 tokens, d], values [d, 64 tokens]. Rows are so long that the 16 lanes which read 8 bytes each
// at once meet 16 different pairs of banks.
template <int kDim>
struct PageTiles {
  static constexpr int kKeyStride = kDim + 8;
  static constexpr int kValueStride = kPageTokens + 8;
  alignas(16) uint8_t keys[kPageTokens * kKeyStride];
  alignas(16) uint8_t values[kDim * kValueStride];

  // Where tokens 8 line to 8 line + 7 are in a row of values: those that the four lanes of a column read at
  // once are neighbours.
  static THRONG_DEVICE int Slot(int line) { return line % 2 + line / 4 * 2 + line / 2 % 2 * 4; }

  THRONG_DEVICE Words2& Keys(int token, int channel) {
    return *reinterpret_cast<Words2*>(keys + token * kKeyStride + channel);
  }
  THRONG_DEVICE Words2& Values(int channel, int line) {
    return *reinterpret_cast<Words2*>(values + channel * kValueStride + 8 * Slot(line));
  }
};

// Bytes of a page, rounded up to what one copy takes.
constexpr int RoundUp16(size_t bytes) { return static_cast<int>((bytes + 15) / 16 * 16); }

// The integers of two rows' scores of a page, as page_row.h has scores.
using PageSums = int32_t[2][4][2];

// A row of queries in 8 bits becomes registers r and r + 2 of the operands A: channels 32 s + 8 i and 7 more
// at [s], i = lane % 4. element(channel): of the row g + 8 r. Returns the scale.
template <typename Page, int kSteps, typename Element>
THRONG_DEVICE float EncodeQueryRow(const Element& element, int r, uint32_t (&queries)[kSteps][4]) {
  const auto channel_of = [](int e) { return e / 8 * 32 + Lane() % 4 * 8 + e % 8; };
  float largest = 0.0f;
  THRONG_UNROLL
  for (int e = 0; e < 8 * kSteps; ++e) largest = Max(largest, Abs(element(channel_of(e))));
  largest = RowMax(largest);
  THRONG_UNROLL
  for (int sj = 0; sj < 2 * kSteps; ++sj) {
    uint32_t word = 0;
    THRONG_UNROLL
    for (int e = 0; e < 4; ++e) {
      const int code = Page::QueryCode(element(channel_of(4 * sj + e)), largest);
      word |= static_cast<uint32_t>(code & 0xff) << 8 * e;
    }
    queries[sj / 2][sj % 2 * 2 + r] = word;
  }
  return largest / 127.0f;
}

// The sums of 16 rows of queries, of rows g and g + 8 in this lane.
template <int kDim>
THRONG_DEVICE void ScoreTiles(const uint32_t (&queries)[kDim / 32][4], PageTiles<kDim>& tiles,
                              PageSums (&sums)[2]) {
  THRONG_UNROLL
  for (int hv = 0; hv < 8; ++hv) {
    int32_t of_tokens[4] = {};
    THRONG_UNROLL
    for (int s = 0; s < kDim / 32; ++s) {
      const Words2 keys = tiles.Keys(ColumnToken(hv / 4) + hv % 4, 32 * s + 8 * (Lane() % 4));
      MmaS8S8(of_tokens, queries[s], keys.w);
    }
    THRONG_UNROLL
    for (int e = 0; e < 4; ++e) sums[e / 2][hv / 4][hv % 4][e % 2] = of_tokens[e];
  }
}

// Keys as they were in 8 bits, code times the channel's scale plus its zero point; values as their codes.
template <int kBits, int kDim>
struct FlashqTiles {
  using Page = FlashqPage<kBits, kDim>;
  using Layout = FlashqLayout<kBits, kDim>;
  using Tiles = PageTiles<kDim>;
  static constexpr int kHeadDim = kDim;
  static constexpr int kRawBytes = RoundUp16(Layout::kBytes);
  static constexpr uint32_t kMask = Layout::kLevels * 0x01010101u;

  static THRONG_DEVICE void ExpandKeys(const uint8_t* raw, Tiles& tiles) {
    const auto* words = reinterpret_cast<const uint32_t*>(raw);
    for (int w = ThreadIndex(); w < static_cast<int>(Layout::kCodeBytes / 4); w += BlockThreads()) {
      const int channel = w / Layout::kKeyLine * 8;
      const Words2 scales = *reinterpret_cast<const Words2*>(raw + Layout::kScales + channel);
      const Words2 zeros = *reinterpret_cast<const Words2*>(raw + Layout::kZeros + channel);
      uint32_t word = words[w];
      THRONG_UNROLL
      for (int token = w % Layout::kKeyLine; token < kPageTokens; token += Layout::kKeyLine) {
        Words2 keys{};
        THRONG_UNROLL
        for (int j = 0; j < 2; ++j) {
          const uint32_t codes = word >> j * kBits & kMask;
          THRONG_UNROLL
          for (int e = 0; e < 4; ++e) {
            const int key = Byte(codes, e) * Byte(scales.w[j], e) + SignedByte(zeros.w[j], e);
            keys.w[j] |= static_cast<uint32_t>(key & 0xff) << 8 * e;
          }
        }
        tiles.Keys(token, channel) = keys;
        word >>= 4;
      }
    }
  }
  static THRONG_DEVICE void ExpandValues(const uint8_t* raw, Tiles& tiles) {
    const auto* words = reinterpret_cast<const uint32_t*>(raw);
    for (int w = ThreadIndex(); w < static_cast<int>(Layout::kCodeBytes / 4); w += BlockThreads()) {
      THRONG_UNROLL
      for (int part = 0; part < 4 / kBits; ++part) {  // 8 tokens each
        const uint32_t word = words[w] >> 2 * kBits * part;
        tiles.Values(w % kDim, w / kDim * (4 / kBits) + part) = {{word & kMask, word >> kBits & kMask}};
      }
    }
  }

  static THRONG_DEVICE void Scale(const uint8_t* raw_keys, const PageSums& sums, float query_scale,
                                  PageRow& scores) {
    const float scale = query_scale * *reinterpret_cast<const float*>(raw_keys + Layout::kBlockScale);
    THRONG_UNROLL
    for (int e = 0; e < 16; ++e) {
      scores[e / 8][e / 2 % 4][e % 2] = static_cast<float>(sums[e / 8][e / 2 % 4][e % 2]) * scale;
    }
  }

  static constexpr int kDigits = 1;
  // Of a row: the sum of its weights, and what one of them is worth.
  struct Weight {
    float sum;
    float unit;
  };
  static THRONG_DEVICE Weight Weigh(const uint8_t* raw_values, const PageRow& probabilities, float top,
                                    uint32_t (&digits)[kDigits][2][4]) {
    const float sum = Page::Weigh(probabilities, top, digits[0]);
    const float block_scale = *reinterpret_cast<const float*>(raw_values + Layout::kBlockScale);
    return {sum, top > kLeastScale ? top * (block_scale / 255.0f) : 0.0f};
  }
  static THRONG_DEVICE void Multiply(int32_t (&sums)[4], const uint32_t (&weights)[4],
                                     const uint32_t (&values)[2]) {
    MmaU8U8(sums, weights, values);
  }
  // out * rescale + what the sums of a row's channel are worth, rounded as Page::Mix does.
  struct Channels {
    Words2 scales;
    Words2 zeros;
  };
  static THRONG_DEVICE Channels LoadChannels(const uint8_t* raw_values, int k) {
    return {*reinterpret_cast<const Words2*>(raw_values + Layout::kScales + OwnChannel(k)),
            *reinterpret_cast<const Words2*>(raw_values + Layout::kZeros + OwnChannel(k))};
  }
  static THRONG_DEVICE float Mixed(const int32_t (&sums)[kDigits], const Channels& channels, int v, int j,
                                   const Weight& weight, float out, float rescale) {
    const float offset = static_cast<float>(SignedByte(channels.zeros.w[j], v)) * weight.sum;
    const float mixed =
        Fma(static_cast<float>(sums[0]), static_cast<float>(Byte(channels.scales.w[j], v)), offset);
    return Fma(mixed, weight.unit, out * rescale);
  }
};

template <int kDim>
struct Int8Tiles {
  using Page = Int8Page<kDim>;
  using Layout = Int8Layout<kDim>;
  using Tiles = PageTiles<kDim>;
  static constexpr int kHeadDim = kDim;
  static constexpr int kRawBytes = RoundUp16(Layout::kBytes);

  static THRONG_DEVICE void ExpandKeys(const uint8_t* raw, Tiles& tiles) {
    const auto* words = reinterpret_cast<const uint32_t*>(raw);  // [d / 4, 64]
    for (int e = ThreadIndex(); e < kPageTokens * kDim / 8; e += BlockThreads()) {
      const int token = e % kPageTokens;
      const int line = e / kPageTokens * 2;
      constexpr uint32_t kOffset = 0x80808080u;  // keys are stored as c + 128
      tiles.Keys(token, 4 * line) = {
          {words[line * kPageTokens + token] ^ kOffset, words[(line + 1) * kPageTokens + token] ^ kOffset}};
    }
  }
  static THRONG_DEVICE void ExpandValues(const uint8_t* raw, Tiles& tiles) {
    const auto* words = reinterpret_cast<const uint32_t*>(raw);  // pairs of tokens, of two channels
    for (int e = ThreadIndex(); e < kPageTokens * kDim / 16; e += BlockThreads()) {
      const int channel = e % (kDim / 2) * 2;
      const int line = e / (kDim / 2);
      uint32_t pairs[4];
      THRONG_UNROLL
      for (int p = 0; p < 4; ++p) pairs[p] = words[((4 * line + p) * kDim + channel) / 2];
      tiles.Values(channel,
                   line) = {{(pairs[0] & 0xffffu) | pairs[1] << 16, (pairs[2] & 0xffffu) | pairs[3] << 16}};
      tiles.Values(channel + 1, line) = {
          {pairs[0] >> 16 | (pairs[1] & 0xffff0000u), pairs[2] >> 16 | (pairs[3] & 0xffff0000u)}};
    }
  }

  static THRONG_DEVICE void Scale(const uint8_t* raw_keys, const PageSums& sums, float query_scale,
                                  PageRow& scores) {
    const auto* scales = reinterpret_cast<const float*>(raw_keys + Layout::kScales);
    THRONG_UNROLL
    for (int e = 0; e < 16; ++e) {
      const float scale = scales[TokenOf(e / 8, e / 2 % 4, e % 2)];
      scores[e / 8][e / 2 % 4][e % 2] =
          static_cast<float>(sums[e / 8][e / 2 % 4][e % 2]) * scale * query_scale;
    }
  }

  static constexpr int kDigits = 2;
  using Weight = float;  // what one weight is worth
  static THRONG_DEVICE Weight Weigh(const uint8_t* raw_values, const PageRow& probabilities, float,
                                    uint32_t (&digits)[kDigits][2][4]) {
    const auto* scales = reinterpret_cast<const float*>(raw_values + Layout::kScales);
    PageRow products;
    float largest = 0.0f;
    THRONG_UNROLL
    for (int e = 0; e < 16; ++e) {
      float& product = products[e / 8][e / 2 % 4][e % 2];
      product = probabilities[e / 8][e / 2 % 4][e % 2] * scales[TokenOf(e / 8, e / 2 % 4, e % 2)];
      largest = Max(largest, product);
    }
    return SplitWeights(products, RowMax(largest), digits[0], digits[1]);
  }
  static THRONG_DEVICE void Multiply(int32_t (&sums)[4], const uint32_t (&weights)[4],
                                     const uint32_t (&values)[2]) {
    MmaU8S8(sums, weights, values);
  }
  struct Channels {};
  static THRONG_DEVICE Channels LoadChannels(const uint8_t*, int) { return {}; }
  static THRONG_DEVICE float Mixed(const int32_t (&sums)[kDigits], const Channels&, int, int,
                                   const Weight& unit, float out, float rescale) {
    return Fma(out, rescale, static_cast<float>(128 * sums[0] + sums[1]) * unit);
  }
};

}  // namespace throng::device
