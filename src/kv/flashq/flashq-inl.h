// Kernels of the codecs flashq4 and flashq2.
//
// All sums of a page are exact in integers, so neither the number of rows nor the vector length changes them.
#if defined(THRONG_KV_FLASHQ_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_FLASHQ_INL_H_
#undef THRONG_KV_FLASHQ_INL_H_
#else
#define THRONG_KV_FLASHQ_INL_H_
#endif

#include <cstring>
#include <type_traits>

#include "hwy/highway.h"
#include "kv/amx-inl.h"
#include "kv/codec.h"
#include "kv/finite-inl.h"
#include "kv/flashq/flashq_weights-inl.h"
#include "kv/tiles-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// codes = round(x / scale) in [-range, range], scale = max|x| / range; returns the scale. NaN counts as 0,
// and values too large for an open page as its largest value. In double precision, so that rounding the
// quotient makes no ties. count: a multiple of 8.
float QuantizeStageOne(const float* x, size_t count, int range, int8_t* codes) {
  const hn::CappedTag<double, 8> dd;
  const hn::Rebind<float, decltype(dd)> df;
  const hn::Rebind<int32_t, decltype(dd)> di;
  const hn::Rebind<int8_t, decltype(dd)> db;
  const size_t N = hn::Lanes(dd);
  const auto load = [&](size_t i) THRONG_ATTR { return FiniteLanes(df, hn::LoadU(df, x + i)); };
  auto largest = hn::Zero(df);
  for (size_t i = 0; i < count; i += N) largest = hn::Max(largest, hn::Abs(load(i)));
  const double top = hn::GetLane(hn::MaxOfLanes(df, largest));
  const float scale = static_cast<float>(top / range);
  if (scale == 0.0f) {
    std::memset(codes, 0, count);
    return scale;
  }
  const auto divisor = hn::Set(dd, static_cast<double>(scale));
  const auto bound = hn::Set(dd, static_cast<double>(range));
  for (size_t i = 0; i < count; i += N) {
    const auto code = hn::Round(hn::Div(hn::PromoteTo(dd, load(i)), divisor));
    // Scales below the normal range are coarse.
    const auto in_range = hn::Max(hn::Min(code, bound), hn::Neg(bound));
    hn::StoreU(hn::DemoteTo(db, hn::DemoteTo(di, in_range)), db, codes + i);
  }
  return scale;
}

#if THRONG_VNNI || THRONG_AVX2

// The codes at bits [kShift, kShift + kBits) of every byte.
template <int kBits, int kShift, class DI>
HWY_INLINE hn::Vec<DI> Codes(DI di, hn::Vec<DI> bytes) {
  const hn::Repartition<uint16_t, DI> dw;
  auto wide = hn::BitCast(dw, bytes);
  if constexpr (kShift > 0) wide = hn::ShiftRight<kShift>(wide);
  return hn::BitCast(di, hn::And(wide, hn::Set(dw, kBits == 4 ? 0x0f0f : 0x0303)));
}

// The scales and zero points of as many channels as a vector has lanes.
template <class DI>
class ChannelScales {
 public:
  using DF = hn::Rebind<float, DI>;

  HWY_INLINE ChannelScales(DI di, const FlashqScales& scales, int c)
      : scale_(
            hn::ConvertTo(DF(), hn::PromoteTo(di, hn::LoadU(hn::Rebind<uint8_t, DI>(), scales.scale + c)))),
        zero_(hn::ConvertTo(DF(), hn::PromoteTo(di, hn::LoadU(hn::Rebind<int8_t, DI>(), scales.zero + c)))) {}

  // to = to * rescale + the channels' values. sum: of weights times codes.
  HWY_INLINE void AddTo(hn::Vec<DI> sum, const FlashqProbabilities& row, float rescale, float* to) const {
    const DF df;
    // Integers below 2^24, so exact.
    const auto offset = hn::Mul(zero_, hn::Set(df, row.sum));
    const auto value = hn::MulAdd(hn::ConvertTo(df, sum), scale_, offset);
    const auto before = hn::Mul(hn::LoadU(df, to), hn::Set(df, rescale));
    hn::StoreU(hn::MulAdd(value, hn::Set(df, row.scale), before), df, to);
  }

 private:
  hn::Vec<DF> scale_, zero_;
};

// out[r, c..c + kVecs N) for kRows rows.
template <int kBits, int kRows, int kVecs, class DI>
HWY_INLINE void MixTile(DI di, const uint8_t* codes, const FlashqScales& scales,
                        const FlashqProbabilities* rows, const float* rescale, int head_dim, int c,
                        float* out) {
  const int N = static_cast<int>(hn::Lanes(di));
  constexpr int kPerByte = 8 / kBits;
  WeightSums<DI> sums[kRows][kVecs];
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) sums[r][v].Clear(di);
  }
  constexpr int kQuads = kPageTokens / 4;
  for (int quad = 0; quad < kQuads; quad += kPerByte) {
    hn::Vec<DI> bytes[kVecs];
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) {
      const size_t at = (static_cast<size_t>(quad / kPerByte) * head_dim + c + v * N) * 4;
      bytes[v] = hn::LoadU(di, reinterpret_cast<const int32_t*>(codes + at));
    }
    const auto add = [&](auto i) THRONG_ATTR {
      hn::Vec<DI> value[kVecs];
      HWY_UNROLL(8)
      for (int v = 0; v < kVecs; ++v) value[v] = Codes<kBits, i() * kBits>(di, bytes[v]);
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        const auto four = hn::Set(di, FourBytes(rows[r].weights + 4 * (quad + i())));
        HWY_UNROLL(8)
        for (int v = 0; v < kVecs; ++v) sums[r][v].Add(four, value[v]);
      }
    };
    add(std::integral_constant<int, 0>());
    add(std::integral_constant<int, 1>());
    if constexpr (kPerByte == 4) {
      add(std::integral_constant<int, 2>());
      add(std::integral_constant<int, 3>());
    }
    if ((quad + kPerByte) % HWY_MIN(kQuads, WeightSums<DI>::kSteps) != 0) continue;
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(8)
      for (int v = 0; v < kVecs; ++v) sums[r][v].Flush();
    }
  }
  HWY_UNROLL(8)
  for (int v = 0; v < kVecs; ++v) {
    const ChannelScales<DI> channels(di, scales, c + v * N);
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      channels.AddTo(sums[r][v].Total(), rows[r], rescale[r],
                     out + static_cast<size_t>(r) * head_dim + c + v * N);
    }
  }
}

template <int kBits, int kRows>
HWY_INLINE void MixRows(const uint8_t* codes, const FlashqScales& scales, const FlashqProbabilities* rows,
                        const float* rescale, int head_dim, float* out) {
  constexpr int kVecs = hn::MaxLanes(hn::CappedTag<int32_t, 16>()) >= 16 ? 4 : 1;
  ForDimensions<kVecs, int32_t>(head_dim, [&](auto di, auto vecs, size_t c) THRONG_INLINE_ATTR {
    MixTile<kBits, kRows, vecs()>(di, codes, scales, rows, rescale, head_dim, static_cast<int>(c), out);
  });
}

#else  // targets whose products of 8 bits are no faster than plain loops

template <int kBits, int kRows>
void MixRows(const uint8_t* codes, const FlashqScales& scales, const FlashqProbabilities* rows,
             const float* rescale, int head_dim, float* out) {
  constexpr int kPerByte = 8 / kBits;
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < head_dim; ++c) {
      int32_t sum = 0;
      for (int t = 0; t < kPageTokens; ++t) {
        const int quad = t / 4;
        const uint8_t byte = codes[(static_cast<size_t>(quad / kPerByte) * head_dim + c) * 4 + t % 4];
        sum += rows[r].weights[t] * (byte >> quad % kPerByte * kBits & ((1 << kBits) - 1));
      }
      const float value = static_cast<float>(sum) * static_cast<float>(scales.scale[c]) +
                          static_cast<float>(scales.zero[c]) * rows[r].sum;
      float& to = out[static_cast<size_t>(r) * head_dim + c];
      to = to * rescale[r] + value * rows[r].scale;
    }
  }
}

#endif

#if THRONG_VNNI

// The values of four channels' codes, + 128: byte 16 i + k is the value of code k of channel c + i.
HWY_INLINE __m512i RebuildTable(const FlashqScales& scales, int c) {
  const __m512i channel =
      _mm512_set_epi32(0x03030303, 0x03030303, 0x03030303, 0x03030303, 0x02020202, 0x02020202, 0x02020202,
                       0x02020202, 0x01010101, 0x01010101, 0x01010101, 0x01010101, 0, 0, 0, 0);
  // Even and odd codes apart: a product of 16 bits each, and all are below 256.
  const __m512i even = _mm512_set4_epi32(0x000e000c, 0x000a0008, 0x00060004, 0x00020000);
  const __m512i odd = _mm512_set4_epi32(0x000f000d, 0x000b0009, 0x00070005, 0x00030001);
  const __m512i scale = _mm512_shuffle_epi8(_mm512_set1_epi32(FourBytes(scales.scale + c)), channel);
  const __m512i zero = _mm512_shuffle_epi8(_mm512_set1_epi32(FourBytes(scales.zero + c)), channel);
  const __m512i low = _mm512_maddubs_epi16(scale, even);
  const __m512i high = _mm512_slli_epi16(_mm512_maddubs_epi16(scale, odd), 8);
  const __m512i offset = _mm512_xor_si512(zero, _mm512_set1_epi8(static_cast<char>(128)));
  return _mm512_add_epi8(_mm512_or_si512(low, high), offset);
}

// Channels 8 j + 4 kSecond + i, i < 4.
template <int kBits, bool kSecond>
HWY_INLINE void RebuildQuad(const uint8_t* codes, const FlashqScales& scales, int j, PageBytes& keys) {
  constexpr int kShift = kSecond ? kBits : 0;
  constexpr int kVecs = kPageTokens / 16;
  constexpr int kLoads = kVecs * kBits / 4;
  const int quad = 2 * j + (kSecond ? 1 : 0);
  const __m512i table = RebuildTable(scales, 4 * quad);
  const __m512i channel = _mm512_set1_epi32(0x30201000);
  const __m512i mask = _mm512_set1_epi8(kBits == 4 ? 0x0f : 0x03);
  HWY_UNROLL(4)
  for (int v = 0; v < kVecs; ++v) {
    __m512i bytes = _mm512_loadu_si512(codes + (static_cast<size_t>(j) * kLoads + v % kLoads) * 64);
    if (v < kLoads) {
      bytes = _mm512_srli_epi16(bytes, kShift);
    } else {
      bytes = _mm512_srli_epi16(bytes, kShift + 4);  // 2 bits: tokens 32 to 63
    }
    const __m512i at = _mm512_ternarylogic_epi32(bytes, mask, channel, 0xea);  // bytes & mask | channel
    _mm512_store_si512(keys.bytes + (static_cast<size_t>(quad) * kVecs + v) * 64,
                       _mm512_permutexvar_epi8(at, table));
  }
}

// keys: q1' + 128. next: fetched meanwhile, as many bytes as there are codes.
template <int kBits>
HWY_INLINE void RebuildKeys(const uint8_t* codes, const FlashqScales& scales, int head_dim,
                            const uint8_t* next, PageBytes& keys) {
  constexpr int kGroupBytes = 8 * kPageTokens * kBits / 8;
  for (int j = 0; j < head_dim / 8; ++j) {
    for (int b = 0; b < kGroupBytes; b += 64) __builtin_prefetch(next + j * kGroupBytes + b);
    RebuildQuad<kBits, false>(codes, scales, j, keys);
    RebuildQuad<kBits, true>(codes, scales, j, keys);
  }
}

HWY_INLINE void StoreScores(const __m512i (&sum)[4], float scale, float* scores) {
  HWY_UNROLL(8)
  for (int v = 0; v < 4; ++v) {
    _mm512_storeu_ps(scores + v * 16, _mm512_mul_ps(_mm512_cvtepi32_ps(sum[v]), _mm512_set1_ps(scale)));
  }
}

template <int kRows>
HWY_INLINE void ScoreRows(const PageBytes& keys, const IntegerQuery* queries, float block_scale, int head_dim,
                          float* scores) {
  __m512i sum[kRows][4];
  const int8_t* codes[kRows];
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    codes[r] = queries[r].codes;
    HWY_UNROLL(8)
    for (int v = 0; v < 4; ++v) sum[r][v] = _mm512_set1_epi32(-128 * queries[r].sum);
  }
  AddDots(keys.bytes, codes, head_dim, sum);
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    StoreScores(sum[r], queries[r].scale * block_scale, scores + r * kPageTokens);
  }
}

// Keys that all rows of a page share. Score computes the scores of some rows.
template <int kBits>
class PageKeys {
 public:
  HWY_INLINE PageKeys(const uint8_t* codes, const FlashqScales& scales, int head_dim, const uint8_t* next)
      : block_scale_(scales.block), head_dim_(head_dim) {
    RebuildKeys<kBits>(codes, scales, head_dim, next, keys_);
  }
  template <int kRows>
  HWY_INLINE void Score(const IntegerQuery* queries, float* scores) const {
    ScoreRows<kRows>(keys_, queries, block_scale_, head_dim_, scores);
  }
  HWY_INLINE void ScoreByAmx(const void* prepared, int num_rows, float* scores) const {
    const size_t query_bytes = IntegerQueryBytes(QueryForm::kCodes, head_dim_);
    const auto done = [&](int r, const int32_t* sums) THRONG_INLINE_ATTR {
      const IntegerQuery query = ViewIntegerQuery(QueryForm::kCodes, prepared, head_dim_, r);
      const __m512i bias = _mm512_set1_epi32(-128 * query.sum);
      __m512i sum[4];
      HWY_UNROLL(4)
      for (int v = 0; v < 4; ++v) sum[v] = _mm512_add_epi32(_mm512_load_si512(sums + 16 * v), bias);
      StoreScores(sum, query.scale * block_scale_, scores + r * kPageTokens);
    };
    ForAmxScores(keys_.bytes, prepared, query_bytes, head_dim_, num_rows, done);
  }

 private:
  PageBytes keys_;
  const float block_scale_;
  const int head_dim_;
};

#elif THRONG_AVX2

// The codes of channels 8 j to 8 j + 3, or 8 j + 4 to 8 j + 7, of 8 tokens from t.
template <int kBits, bool kSecond>
HWY_INLINE __m256i KeyCodes(const uint8_t* codes, int j, int t) {
  const hn::ScalableTag<int32_t> di;
  constexpr int kShift = kSecond ? kBits : 0;
  constexpr int kLine = kPageTokens * kBits / 4;  // tokens of a line of quads
  const size_t at = static_cast<size_t>(j) * kLine + t % kLine;
  const auto bytes = hn::LoadU(di, reinterpret_cast<const int32_t*>(codes + 4 * at));
  return (t < kLine ? Codes<kBits, kShift>(di, bytes) : Codes<kBits, kShift + 4>(di, bytes)).raw;
}

template <int kBits, int kRows>
HWY_INLINE void ScoreTile(const uint8_t* codes, const FoldedQuery* queries, int head_dim, int t,
                          const uint8_t* next, float* scores) {
  constexpr int kGroups = DigitSums::kSteps / 2;
  constexpr int kGroupBytes = 8 * kPageTokens * kBits / 8;
  DigitSums sums[kRows];
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) sums[r].Clear();
  const auto add = [&](auto second, int j) THRONG_ATTR {
    const __m256i key = KeyCodes<kBits, second()>(codes, j, t);
    const int c = 8 * j + (second() ? 4 : 0);
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      sums[r].Add(key, _mm256_set1_epi32(FourBytes(queries[r].high + c)),
                  _mm256_set1_epi32(FourBytes(queries[r].low + c)));
    }
  };
  for (int first = 0; first < head_dim / 8; first += kGroups) {
    for (int j = first; j < HWY_MIN(head_dim / 8, first + kGroups); ++j) {
      for (int b = 0; t == 0 && b < kGroupBytes; b += 64) __builtin_prefetch(next + j * kGroupBytes + b);
      add(std::false_type(), j);
      add(std::true_type(), j);
    }
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) sums[r].Flush();
  }
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    const __m256i dot = _mm256_add_epi32(sums[r].Total(), _mm256_set1_epi32(queries[r].bias));
    _mm256_storeu_ps(scores + r * kPageTokens + t,
                     _mm256_mul_ps(_mm256_cvtepi32_ps(dot), _mm256_set1_ps(queries[r].scale)));
  }
}

template <int kBits>
class PageKeys {
 public:
  HWY_INLINE PageKeys(const uint8_t* codes, const FlashqScales& scales, int head_dim, const uint8_t* next)
      : codes_(codes), scales_(scales), head_dim_(head_dim), next_(next) {}
  template <int kRows>
  HWY_INLINE void Score(const IntegerQuery* queries, float* scores) const {
    FoldedQuery folded[kRows];
    for (int r = 0; r < kRows; ++r) FoldQuery(queries[r], scales_, head_dim_, folded[r]);
    for (int t = 0; t < kPageTokens; t += 8) {
      ScoreTile<kBits, kRows>(codes_, folded, head_dim_, t, next_, scores);
    }
  }

 private:
  const uint8_t* codes_;
  const FlashqScales scales_;
  const int head_dim_;
  const uint8_t* next_;
};

#else

template <int kBits>
class PageKeys {
 public:
  PageKeys(const uint8_t* codes, const FlashqScales& scales, int head_dim, const uint8_t*)
      : codes_(codes), scales_(scales), head_dim_(head_dim) {}
  template <int kRows>
  void Score(const IntegerQuery* queries, float* scores) const {
    for (int r = 0; r < kRows; ++r) {
      int32_t dot[kPageTokens] = {};
      for (int c = 0; c < head_dim_; ++c) AddChannel(c, queries[r].codes[c], dot);
      for (int t = 0; t < kPageTokens; ++t) {
        scores[r * kPageTokens + t] = static_cast<float>(dot[t]) * (queries[r].scale * scales_.block);
      }
    }
  }

 private:
  void AddChannel(int c, int32_t query, int32_t* dot) const {
    constexpr int kLine = kPageTokens * kBits / 4;
    const uint8_t* from = codes_ + static_cast<size_t>(c / 8) * kLine * 4 + c % 4;
    for (int t = 0; t < kPageTokens; ++t) {
      const int shift = c / 4 % 2 * kBits + t / kLine * 4;
      const int code = from[4 * (t % kLine)] >> shift & ((1 << kBits) - 1);
      dot[t] += query * (code * scales_.scale[c] + scales_.zero[c]);
    }
  }

  const uint8_t* codes_;
  const FlashqScales scales_;
  const int head_dim_;
};

#endif

template <int kBits>
HWY_INLINE void ScoreFlashq(const uint8_t* keys, const void* prepared, int head_dim, int num_rows,
                            float* scores) {
  const FlashqScales scales = ViewScales(keys, kBits, head_dim);
  // The values follow the keys in a block; anywhere else, fetching would only cost time.
  const uint8_t* next = keys + RoundUp64(kPageTokens * head_dim * kBits / 8 + 2 * head_dim + 4);
  const PageKeys<kBits> page(keys, scales, head_dim, next);
#if THRONG_VNNI
  if (UsesAmx(head_dim, num_rows)) return page.ScoreByAmx(prepared, num_rows, scores);
#endif
  ForRows(num_rows, [&](auto rows, int r) THRONG_INLINE_ATTR {
    IntegerQuery queries[rows()];
    for (int j = 0; j < rows(); ++j) {
      queries[j] = ViewIntegerQuery(QueryForm::kCodes, prepared, head_dim, r + j);
    }
    page.template Score<rows()>(queries, scores + r * kPageTokens);
  });
}

#if THRONG_VNNI

// values: codes as bytes, [16, d, 4].
template <int kBits>
HWY_INLINE void UnpackValues(const uint8_t* codes, int head_dim, PageBytes& values) {
  constexpr int kPerByte = 8 / kBits;
  const hn::ScalableTag<int32_t> di;
  const size_t line = static_cast<size_t>(head_dim) * 4;  // bytes of a quad of tokens
  for (int quad = 0; quad < kPageTokens / 4; quad += kPerByte, codes += line) {
    for (size_t i = 0; i < line; i += 64) {
      const auto bytes = hn::LoadU(di, reinterpret_cast<const int32_t*>(codes + i));
      const auto store = [&](auto part) THRONG_ATTR {
        _mm512_store_si512(values.bytes + (quad + part()) * line + i,
                           Codes<kBits, part() * kBits>(di, bytes).raw);
      };
      store(std::integral_constant<int, 0>());
      store(std::integral_constant<int, 1>());
      if constexpr (kPerByte == 4) {
        store(std::integral_constant<int, 2>());
        store(std::integral_constant<int, 3>());
      }
    }
  }
}

// Adds the panel's rows to 64 channels of out from c on.
HWY_INLINE void AddPanel(const int32_t* sums, const FlashqScales& scales, const FlashqProbabilities* rows,
                         const float* rescale, int count, int head_dim, int c, float* out) {
  const hn::ScalableTag<int32_t> di;
  const ChannelScales<decltype(di)> channels[4] = {
      {di, scales, c}, {di, scales, c + 16}, {di, scales, c + 32}, {di, scales, c + 48}};
  for (int r = 0; r < count; ++r) {
    float* to = out + static_cast<size_t>(r) * head_dim + c;
    HWY_UNROLL(4)
    for (int v = 0; v < 4; ++v) {
      channels[v].AddTo(hn::Load(di, sums + r * kPanelColumns + 16 * v), rows[r], rescale[r], to + 16 * v);
    }
  }
}

template <int kBits>
void MixByAmx(const uint8_t* codes, const FlashqScales& scales, const float* probabilities,
              const float* rescale, int head_dim, int num_rows, float* out) {
  const TileScope scope;
  PageBytes values;
  UnpackValues<kBits>(codes, head_dim, values);
  alignas(64) int32_t sums[kPanelRows * kPanelColumns];
  FlashqProbabilities rows[kPanelRows];
  for (int first = 0; first < num_rows; first += kPanelRows) {
    const int count = HWY_MIN(kPanelRows, num_rows - first);
    for (int j = 0; j < count; ++j)
      QuantizeProbabilities(probabilities + (first + j) * kPageTokens, scales.block, rows[j]);
    const PanelRows panel{rows[0].weights, sizeof(FlashqProbabilities), TilesOf(count)};
    for (int c = 0; c < head_dim; c += kPanelColumns) {
      MultiplyValues(panel, values.bytes + 4 * c, static_cast<size_t>(head_dim) * 4, kPageTokens, sums);
      AddPanel(sums, scales, rows, rescale + first, count, head_dim, c,
               out + static_cast<size_t>(first) * head_dim);
    }
  }
}

#endif  // THRONG_VNNI

template <int kBits>
HWY_INLINE void MixFlashq(const uint8_t* values, const float* probabilities, const float* rescale,
                          int head_dim, int num_rows, float* out) {
  const FlashqScales scales = ViewScales(values, kBits, head_dim);
#if THRONG_VNNI
  if (UsesAmx(head_dim, num_rows)) {
    return MixByAmx<kBits>(values, scales, probabilities, rescale, head_dim, num_rows, out);
  }
#endif
  // Quantises some rows ahead, which hides the latency of their sums.
  constexpr int kBatch = 16;
  FlashqProbabilities rows[kBatch];
  for (int first = 0; first < num_rows; first += kBatch) {
    const int count = HWY_MIN(kBatch, num_rows - first);
    for (int j = 0; j < count; ++j)
      QuantizeProbabilities(probabilities + (first + j) * kPageTokens, scales.block, rows[j]);
    ForRows(count, [&](auto num, int j) THRONG_INLINE_ATTR {
      MixRows<kBits, num()>(values, scales, rows + j, rescale + first + j, head_dim,
                            out + static_cast<size_t>(first + j) * head_dim);
    });
  }
}

void ScoreFlashq4(const uint8_t* keys, const void* prepared, int head_dim, int num_rows, float* scores) {
  ScoreFlashq<4>(keys, prepared, head_dim, num_rows, scores);
}
void ScoreFlashq2(const uint8_t* keys, const void* prepared, int head_dim, int num_rows, float* scores) {
  ScoreFlashq<2>(keys, prepared, head_dim, num_rows, scores);
}
void MixFlashq4(const uint8_t* values, const float* probabilities, const float* rescale, int head_dim,
                int num_rows, float* out) {
  MixFlashq<4>(values, probabilities, rescale, head_dim, num_rows, out);
}
void MixFlashq2(const uint8_t* values, const float* probabilities, const float* rescale, int head_dim,
                int num_rows, float* out) {
  MixFlashq<2>(values, probabilities, rescale, head_dim, num_rows, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_FLASHQ_INL_H_
