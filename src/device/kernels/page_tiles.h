// Pages of integers as prefill reads them: a block of threads copies a page to shared memory as it is, and
// expands it to bytes in the order in which fragments of matrices take them.
#pragma once

#include "device/intrinsics.h"
#include "device/kernels/flashq_page.h"
#include "device/kernels/half_page.h"
#include "device/kernels/int8_page.h"
#include "device/kernels/page_row.h"

namespace throng::device {

inline constexpr int kTileRows = 64;  // of a block of prefill
inline constexpr int kTileThreads = kTileRows / 16 * kWarpThreads;

// Keys are [64 tokens, d], values [d, 64 tokens], in lines of 8. Rows are so long that the 16 lanes which
// read 8 bytes each at once meet 16 different pairs of banks.
template <int kDim>
struct PageTiles {
  static constexpr int kKeyStride = kDim + 8;
  static constexpr int kValueStride = kPageTokens + 8;
  alignas(16) uint8_t keys[kPageTokens * kKeyStride];
  alignas(16) uint8_t values[kDim * kValueStride];

  // Where a line is in a row: those that the four lanes of a column read at once are neighbours.
  static THRONG_DEVICE int Slot(int line) {
    return line / 8 * 8 + line % 2 + line / 4 % 2 * 2 + line / 2 % 2 * 4;
  }

  THRONG_DEVICE Words2& Keys(int token, int line) {
    return *reinterpret_cast<Words2*>(keys + token * kKeyStride + 8 * Slot(line));
  }
  THRONG_DEVICE Words2& Values(int channel, int line) {
    return *reinterpret_cast<Words2*>(values + channel * kValueStride + 8 * Slot(line));
  }
};

// Bytes of a page, rounded up to what one copy takes.
constexpr int RoundUp16(size_t bytes) { return static_cast<int>((bytes + 15) / 16 * 16); }

// What a block of threads shares of pages that it expands: the one that is used, and the next one; and what
// each keeps there for itself, to have more registers.
template <int kRawBytes, int kDim>
struct ExpandedPages {
  static constexpr bool kExpands = true;
  struct Raw {
    alignas(16) uint8_t keys[kRawBytes];
    alignas(16) uint8_t values[kRawBytes];
  };
  Raw raw[2];
  PageTiles<kDim> tiles;
  Words4 queries[kDim / 32][kTileThreads];  // operands
};

// The integers of two rows' scores of a page, as page_row.h has scores.
using PageSums = int32_t[2][4][2];

// What a row of queries in 8 bits is worth.
struct EncodedQuery {
  float scale;
  int32_t sum;  // of its codes
};

// A row of queries in 8 bits becomes registers r and r + 2 of the operands A: channels OwnChannel(s) and 7
// more at [s]. element(channel): of the row g + 8 r.
template <typename Page, int kSteps, typename Element>
THRONG_DEVICE EncodedQuery EncodeQueryRow(const Element& element, int r, Words4 (&queries)[kSteps]) {
  OutputRow<32 * kSteps> x;
  THRONG_UNROLL
  for (int e = 0; e < 8 * kSteps; ++e) x[e / 8][e % 4][e / 4 % 2] = element(OwnChannel(e / 8) + e % 8);
  if constexpr (Page::kRotated) Page::RotateQuery(Page::SignsOfLane(), x);
  float largest = 0.0f;
  THRONG_UNROLL
  for (int e = 0; e < 8 * kSteps; ++e) largest = Max(largest, Abs(x[e / 8][e % 4][e / 4 % 2]));
  largest = RowMax(largest);
  int32_t sum = 0;
  THRONG_UNROLL
  for (int sj = 0; sj < 2 * kSteps; ++sj) {
    uint32_t word = 0;
    THRONG_UNROLL
    for (int e = 0; e < 4; ++e) {
      const int code = Page::QueryCode(x[sj / 2][e][sj % 2], largest);
      word |= static_cast<uint32_t>(code & 0xff) << 8 * e;
    }
    queries[sj / 2].w[sj % 2 * 2 + r] = word;
    sum = Dot4S8(word, 0x01010101u, sum);
  }
  return {largest / 127.0f, RowSum(sum)};
}

// The sums of 16 rows of queries, of rows g and g + 8 in this lane.
template <int kDim>
THRONG_DEVICE void ScoreTiles(const Words4 (&queries)[kDim / 32], PageTiles<kDim>& tiles,
                              PageSums (&sums)[2]) {
  THRONG_UNROLL
  for (int hv = 0; hv < 8; ++hv) {
    int32_t of_tokens[4] = {};
    THRONG_UNROLL
    for (int s = 0; s < kDim / 32; ++s) {
      const Words2 keys = tiles.Keys(ColumnToken(hv / 4) + hv % 4, OwnChannel(s) / 8);
      MmaS8S8(of_tokens, queries[s].w, keys.w);
    }
    THRONG_UNROLL
    for (int e = 0; e < 4; ++e) sums[e / 2][hv / 4][hv % 4][e % 2] = of_tokens[e];
  }
}

// Tiles::kMixSteps of kHeadDim / 32: how many steps of MixTiles are unrolled. More take more registers, fewer
// move outputs from register to register.

// Adds the values of a page to the outputs of 16 rows, out[r] of row g + 8 r, times the weights that
// Tiles::Weigh has made of their probabilities.
template <typename Tiles>
THRONG_DEVICE void MixTiles(const uint8_t* raw_values, const uint32_t (&digits)[2][Tiles::kDigits][2][4],
                            const typename Tiles::Weight (&weights)[2], const float (&rescale)[2],
                            PageTiles<Tiles::kHeadDim>& tiles, OutputRow<Tiles::kHeadDim>* const (&out)[2]) {
  THRONG_UNROLL_BY(Tiles::kMixSteps)
  for (int k = 0; k < Tiles::kHeadDim / 32; ++k) {
    const typename Tiles::Channels channels = Tiles::LoadChannels(raw_values, k);
    float mixed[2][8];
    THRONG_UNROLL
    for (int v = 0; v < 4; ++v) {
      int32_t sums[Tiles::kDigits][4] = {};
      THRONG_UNROLL
      for (int h = 0; h < 2; ++h) {
        const Words2 values = tiles.Values(ColumnChannel(k) + v, OwnToken(h) / 8);
        THRONG_UNROLL
        for (int digit = 0; digit < Tiles::kDigits; ++digit) {
          const uint32_t operand[4] = {digits[0][digit][h][0], digits[1][digit][h][0], digits[0][digit][h][2],
                                       digits[1][digit][h][2]};
          Tiles::Multiply(sums[digit], operand, values.w);
        }
      }
      THRONG_UNROLL
      for (int e = 0; e < 4; ++e) {
        int32_t of_channel[Tiles::kDigits];
        THRONG_UNROLL
        for (int digit = 0; digit < Tiles::kDigits; ++digit) of_channel[digit] = sums[digit][e];
        mixed[e / 2][e % 2 * 4 + v] = Tiles::Mixed(of_channel, channels, v, e % 2, weights[e / 2],
                                                   (*out[e / 2])[0][v][e % 2], rescale[e / 2]);
      }
    }
    THRONG_UNROLL
    for (int r = 0; r < 2; ++r) Rotate(mixed[r], *out[r]);
  }
}

// Keys as they were in 8 bits, code times the channel's scale plus its zero point; values as their codes.
template <int kBits, int kDim>
struct FlashqTiles {
  using Page = FlashqPage<kBits, kDim>;
  using Layout = FlashqLayout<kBits, kDim>;
  using Tiles = PageTiles<kDim>;
  static constexpr int kHeadDim = kDim;
  static constexpr int kMixSteps = kDim / 32;
  static constexpr int kRawBytes = RoundUp16(Layout::kBytes);
  using Shared = ExpandedPages<kRawBytes, kDim>;
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
        tiles.Keys(token, channel / 8) = keys;
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

  static THRONG_DEVICE void Scale(const uint8_t* raw_keys, const PageSums& sums, const EncodedQuery& query,
                                  PageRow& scores) {
    const float scale = query.scale * *reinterpret_cast<const float*>(raw_keys + Layout::kBlockScale);
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
  static constexpr int kMixSteps = kDim / 32;
  static constexpr int kRawBytes = RoundUp16(Layout::kBytes);
  using Shared = ExpandedPages<kRawBytes, kDim>;

  static THRONG_DEVICE void ExpandKeys(const uint8_t* raw, Tiles& tiles) {
    const auto* words = reinterpret_cast<const uint32_t*>(raw);  // [d / 4, 64]
    for (int e = ThreadIndex(); e < kPageTokens * kDim / 8; e += BlockThreads()) {
      const int token = e % kPageTokens;
      const int line = e / kPageTokens * 2;
      constexpr uint32_t kOffset = 0x80808080u;  // keys are stored as c + 128
      tiles.Keys(token, line / 2) = {
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

  static THRONG_DEVICE void Scale(const uint8_t* raw_keys, const PageSums& sums, const EncodedQuery& query,
                                  PageRow& scores) {
    const auto* scales = reinterpret_cast<const float*>(raw_keys + Layout::kScales);
    THRONG_UNROLL
    for (int e = 0; e < 16; ++e) {
      const float scale = scales[TokenOf(e / 8, e / 2 % 4, e % 2)];
      scores[e / 8][e / 2 % 4][e % 2] =
          static_cast<float>(sums[e / 8][e / 2 % 4][e % 2]) * scale * query.scale;
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

// Pages of f16 are used where they lie; what a thread needs of its queries is made once.
template <int kDim>
struct HalfTiles {
  using Page = HalfPage<kDim>;
  static constexpr int kHeadDim = kDim;
  struct Shared {
    static constexpr bool kExpands = false;
    uint32_t queries[Page::kSteps][2][4][kTileThreads];  // high and low
  };

  template <typename Element>
  static THRONG_DEVICE void KeepQueries(const Element& element, int, Shared& shared) {
    THRONG_NO_UNROLL
    for (int s = 0; s < Page::kSteps; ++s) {
      uint32_t parts[2][4];
      Page::template SplitQueries<2>(element, s, parts[0], parts[1]);
      THRONG_UNROLL
      for (int e = 0; e < 8; ++e) shared.queries[s][e / 4][e % 4][ThreadIndex()] = parts[e / 4][e % 4];
    }
  }
  static THRONG_DEVICE void FindQueries(const Shared& shared, int s, uint32_t (&high)[4],
                                        uint32_t (&low)[4]) {
    THRONG_UNROLL
    for (int e = 0; e < 4; ++e) {
      high[e] = shared.queries[s][0][e][ThreadIndex()];
      low[e] = shared.queries[s][1][e][ThreadIndex()];
    }
  }
};

}  // namespace throng::device
