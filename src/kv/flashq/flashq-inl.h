// Kernels of the codecs flashq4 and flashq2: products of packed codes with weights of two 8-bit digits.
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
#include "kv/codec.h"
#include "kv/flashq/flashq_digits-inl.h"

// Highway's AVX-512 target with VNNI leaves out the flag for it.
#if THRONG_FLASHQ_VNNI
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if THRONG_FLASHQ_SIMD

// The codes at bits [kShift, kShift + kBits) of every byte.
template <int kBits, int kShift, class DI>
HWY_INLINE hn::Vec<hn::Repartition<uint8_t, DI>> Codes(DI, hn::Vec<DI> bytes) {
  const hn::Repartition<uint8_t, DI> du;
  const hn::Repartition<uint16_t, DI> dw;
  auto wide = hn::BitCast(dw, bytes);
  if constexpr (kShift > 0) wide = hn::ShiftRight<kShift>(wide);
  return hn::BitCast(du, hn::And(wide, hn::Set(dw, kBits == 4 ? 0x0f0f : 0x0303)));
}

// The codes of channels 8j to 8j + 3, or 8j + 4 to 8j + 7, of N tokens from t.
template <int kBits, bool kSecond, class DI>
HWY_INLINE hn::Vec<hn::Repartition<uint8_t, DI>> KeyCodes(DI di, const uint8_t* codes, int j, int t) {
  constexpr int kShift = kSecond ? kBits : 0;
  const auto load = [&](size_t at)
                        HWY_ATTR { return hn::LoadU(di, reinterpret_cast<const int32_t*>(codes + 4 * at)); };
  constexpr int kHalf = kPageTokens / 2;
  if constexpr (kBits == 4) {
    return Codes<4, kShift>(di, load(static_cast<size_t>(j) * kPageTokens + t));
  } else {
    const auto bytes = load(static_cast<size_t>(j) * kHalf + t % kHalf);
    return t < kHalf ? Codes<2, kShift>(di, bytes) : Codes<2, kShift + 4>(di, bytes);
  }
}

// scores[r, t..t + kVecs N) for kRows rows. next: what is fetched meanwhile, as many bytes as there are
// codes; or null.
template <int kBits, int kRows, int kVecs, class DI>
HWY_INLINE void ScoreTile(DI di, const uint8_t* codes, const FlashqQuery* queries, int head_dim, int t,
                          const uint8_t* next, float* scores) {
  const hn::Rebind<float, DI> df;
  const int N = static_cast<int>(hn::Lanes(di));
  DigitSums<DI> sums[kRows][kVecs];
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) sums[r][v].Clear(di);
  }
  const auto add = [&](auto second, int j) HWY_ATTR {
    hn::Vec<hn::Repartition<uint8_t, DI>> key[kVecs];
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) key[v] = KeyCodes<kBits, second()>(di, codes, j, t + v * N);
    const int c = 8 * j + (second() ? 4 : 0);
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      const auto high = hn::Set(di, FourWeights(queries[r].high + c));
      const auto low = hn::Set(di, FourWeights(queries[r].low + c));
      HWY_UNROLL(8)
      for (int v = 0; v < kVecs; ++v) sums[r][v].Add(key[v], high, low);
    }
  };
  const auto flush = [&]() HWY_ATTR {
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(8)
      for (int v = 0; v < kVecs; ++v) sums[r][v].Flush(di);
    }
  };
  constexpr int kGroups = DigitSums<DI>::kSteps / 2;
  constexpr int kGroupBytes = 8 * kPageTokens * kBits / 8;
  for (int first = 0; first < head_dim / 8; first += kGroups) {
    const int end = HWY_MIN(head_dim / 8, first + kGroups);
    for (int j = first; j < end; ++j) {
      if (next != nullptr) {
        for (int b = 0; b < kGroupBytes; b += 64) __builtin_prefetch(next + j * kGroupBytes + b);
      }
      add(std::false_type(), j);
      add(std::true_type(), j);
    }
    flush();
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    const auto bias = hn::Set(di, queries[r].bias);
    const auto scale = hn::Set(df, queries[r].scale);
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) {
      const auto dot = hn::Add(sums[r][v].Total(di), bias);
      hn::StoreU(hn::Mul(hn::ConvertTo(df, dot), scale), df, scores + r * kPageTokens + t + v * N);
    }
  }
}

template <int kBits, int kRows>
HWY_INLINE void ScoreRows(const uint8_t* codes, const FlashqQuery* queries, int head_dim, const uint8_t* next,
                          float* scores) {
  const hn::ScalableTag<int32_t> di;
  constexpr int kN = static_cast<int>(hn::MaxLanes(di));
  constexpr int kVecs = kN >= 16 ? 2 : 1;
  for (int t = 0; t < kPageTokens; t += kVecs * kN) {
    ScoreTile<kBits, kRows, kVecs>(di, codes, queries, head_dim, t, t == 0 ? next : nullptr, scores);
  }
}

// out[r, c..c + kVecs N) for kRows rows.
template <int kBits, int kRows, int kVecs, class DI>
HWY_INLINE void MixTile(DI di, const uint8_t* codes, const FlashqScales& scales,
                        const FlashqProbabilities* weights, const float* rescale, int head_dim, int c,
                        float* out) {
  const hn::Rebind<float, DI> df;
  const hn::Rebind<uint8_t, DI> du;
  const hn::Rebind<int8_t, DI> db;
  const int N = static_cast<int>(hn::Lanes(di));
  constexpr int kPerByte = 8 / kBits;
  DigitSums<DI> sums[kRows][kVecs];
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
    const auto add = [&](auto i) HWY_ATTR {
      hn::Vec<hn::Repartition<uint8_t, DI>> value[kVecs];
      HWY_UNROLL(8)
      for (int v = 0; v < kVecs; ++v) value[v] = Codes<kBits, i() * kBits>(di, bytes[v]);
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        const auto high = hn::Set(di, FourWeights(weights[r].high + 4 * (quad + i())));
        const auto low = hn::Set(di, FourWeights(weights[r].low + 4 * (quad + i())));
        HWY_UNROLL(8)
        for (int v = 0; v < kVecs; ++v) sums[r][v].Add(value[v], high, low);
      }
    };
    add(std::integral_constant<int, 0>());
    add(std::integral_constant<int, 1>());
    if constexpr (kPerByte == 4) {
      add(std::integral_constant<int, 2>());
      add(std::integral_constant<int, 3>());
    }
    if ((quad + kPerByte) % HWY_MIN(kQuads, DigitSums<DI>::kSteps) != 0) continue;
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(8)
      for (int v = 0; v < kVecs; ++v) sums[r][v].Flush(di);
    }
  }
  HWY_UNROLL(8)
  for (int v = 0; v < kVecs; ++v) {
    const auto scale = hn::PromoteTo(di, hn::LoadU(du, scales.scale + c + v * N));
    const auto zero = hn::PromoteTo(di, hn::LoadU(db, scales.zero + c + v * N));
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      const auto sum =
          hn::Add(hn::Mul(sums[r][v].Total(di), scale), hn::Mul(zero, hn::Set(di, weights[r].bias)));
      const auto added = hn::Mul(hn::ConvertTo(df, sum), hn::Set(df, weights[r].scale));
      float* to = out + static_cast<size_t>(r) * head_dim + c + v * N;
      hn::StoreU(hn::MulAdd(hn::LoadU(df, to), hn::Set(df, rescale[r]), added), df, to);
    }
  }
}

template <int kBits, int kRows>
HWY_INLINE void MixRows(const uint8_t* codes, const FlashqScales& scales, const FlashqProbabilities* weights,
                        const float* rescale, int head_dim, float* out) {
  const hn::ScalableTag<int32_t> di;
  constexpr int kN = static_cast<int>(hn::MaxLanes(di));
  constexpr int kVecs = kN >= 16 ? 2 : 1;
  const auto tile = [&](auto d, auto vecs, int c) HWY_ATTR {
    MixTile<kBits, kRows, vecs()>(d, codes, scales, weights, rescale, head_dim, c, out);
  };
  int c = 0;
  for (; c + kVecs * kN <= head_dim; c += kVecs * kN) tile(di, std::integral_constant<int, kVecs>(), c);
  for (; c + kN <= head_dim; c += kN) tile(di, std::integral_constant<int, 1>(), c);
  if (c < head_dim) tile(hn::CappedTag<int32_t, 8>(), std::integral_constant<int, 1>(), c);
}

#if THRONG_FLASHQ_VNNI

// With this many rows it pays to rebuild the keys once: then a row takes one product instead of two.
constexpr int kRowsToRebuild = 12;

// q1' + 128 as unsigned bytes, [d / 4, 64, 4].
struct RebuiltKeys {
  alignas(64) uint8_t bytes[kPageTokens * kMaxHeadDim];
};

// (code s2 + z + 128) mod 256 in every byte; scales hold s2 for even and odd bytes, in 16 bits each.
template <class VU>
HWY_INLINE VU RebuildBytes(VU codes, __m512i even, __m512i odd, __m512i offset) {
  const __m512i low = _mm512_mullo_epi16(_mm512_and_si512(codes.raw, _mm512_set1_epi16(0xff)), even);
  const __m512i high = _mm512_mullo_epi16(_mm512_srli_epi16(codes.raw, 8), odd);
  return VU{_mm512_add_epi8(_mm512_or_si512(low, _mm512_slli_epi16(high, 8)), offset)};
}

template <int kBits>
void RebuildKeys(const uint8_t* codes, const FlashqScales& scales, int head_dim, RebuiltKeys& keys) {
  const hn::ScalableTag<int32_t> di;
  const hn::Repartition<uint8_t, decltype(di)> du;
  const auto quad = [&](auto second, int j) HWY_ATTR {
    const int c = 8 * j + (second() ? 4 : 0);
    const __m512i scale = _mm512_set1_epi32(FourWeights(reinterpret_cast<const int8_t*>(scales.scale) + c));
    const __m512i even = _mm512_and_si512(scale, _mm512_set1_epi16(0xff));
    const __m512i odd = _mm512_srli_epi16(scale, 8);
    const __m512i zero = _mm512_set1_epi32(FourWeights(scales.zero + c));
    const __m512i offset = _mm512_add_epi8(zero, _mm512_set1_epi8(static_cast<char>(128)));
    for (int t = 0; t < kPageTokens; t += 16) {
      const auto rebuilt = RebuildBytes(KeyCodes<kBits, second()>(di, codes, j, t), even, odd, offset);
      hn::StoreU(rebuilt, du, keys.bytes + (c / 4 * kPageTokens + t) * 4);
    }
  };
  for (int j = 0; j < head_dim / 8; ++j) {
    quad(std::false_type(), j);
    quad(std::true_type(), j);
  }
}

template <int kRows>
HWY_INLINE void ScoreRebuilt(const RebuiltKeys& keys, const int8_t* prepared, size_t row_bytes,
                             float block_scale, int head_dim, float* scores) {
  const hn::ScalableTag<int32_t> di;
  const hn::ScalableTag<float> df;
  __m512i sum[kRows][4];
  __m512i codes[kRows];  // of the query, summed to undo the offset of 128
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    codes[r] = _mm512_setzero_si512();
    HWY_UNROLL(8)
    for (int v = 0; v < 4; ++v) sum[r][v] = _mm512_setzero_si512();
  }
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(128));
  for (int c = 0; c < head_dim; c += 4) {
    __m512i key[4];
    HWY_UNROLL(8)
    for (int v = 0; v < 4; ++v) key[v] = _mm512_load_si512(keys.bytes + (c / 4 * kPageTokens + v * 16) * 4);
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      const __m512i query = _mm512_set1_epi32(FourWeights(prepared + r * row_bytes + c));
      codes[r] = _mm512_dpbusd_epi32(codes[r], offset, query);
      HWY_UNROLL(8)
      for (int v = 0; v < 4; ++v) sum[r][v] = _mm512_dpbusd_epi32(sum[r][v], key[v], query);
    }
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    float scale;
    std::memcpy(&scale, prepared + r * row_bytes + head_dim, sizeof(scale));
    HWY_UNROLL(8)
    for (int v = 0; v < 4; ++v) {
      const hn::Vec<decltype(di)> dot{_mm512_sub_epi32(sum[r][v], codes[r])};
      hn::StoreU(hn::Mul(hn::ConvertTo(df, dot), hn::Set(df, scale * block_scale)), df,
                 scores + r * kPageTokens + v * 16);
    }
  }
}

// As ScoreFlashq, to the bit: both are exact sums of the same products, scaled alike.
template <int kBits>
HWY_INLINE void ScoreManyRows(const uint8_t* codes, const FlashqScales& scales, const int8_t* prepared,
                              size_t row_bytes, int head_dim, int num_rows, float* scores) {
  RebuiltKeys keys;
  RebuildKeys<kBits>(codes, scales, head_dim, keys);
  int r = 0;
  for (; r + 4 <= num_rows; r += 4) {
    ScoreRebuilt<4>(keys, prepared + r * row_bytes, row_bytes, scales.block, head_dim,
                    scores + r * kPageTokens);
  }
  for (; r < num_rows; ++r) {
    ScoreRebuilt<1>(keys, prepared + r * row_bytes, row_bytes, scales.block, head_dim,
                    scores + r * kPageTokens);
  }
}

#endif  // THRONG_FLASHQ_VNNI

#else  // targets whose products of 8 bits are no faster than plain loops

template <int kBits, int kRows>
void ScoreRows(const uint8_t* codes, const FlashqQuery* queries, int head_dim, const uint8_t*,
               float* scores) {
  for (int r = 0; r < kRows; ++r) {
    int32_t dot[kPageTokens];
    for (int32_t& x : dot) x = queries[r].bias;
    for (int c = 0; c < head_dim; ++c) {
      const int32_t weight = 128 * queries[r].high[c] + queries[r].low[c];
      constexpr int kRow = kBits == 4 ? kPageTokens : kPageTokens / 2;
      const uint8_t* from = codes + static_cast<size_t>(c / 8) * kRow * 4 + c % 4;
      const int shift = c / 4 % 2 * kBits;
      for (int t = 0; t < kPageTokens; ++t)
        dot[t] += weight * (from[4 * (t % kRow)] >> (shift + t / kRow * 4) & ((1 << kBits) - 1));
    }
    for (int t = 0; t < kPageTokens; ++t)
      scores[r * kPageTokens + t] = static_cast<float>(dot[t]) * queries[r].scale;
  }
}

template <int kBits, int kRows>
void MixRows(const uint8_t* codes, const FlashqScales& scales, const FlashqProbabilities* weights,
             const float* rescale, int head_dim, float* out) {
  constexpr int kPerByte = 8 / kBits;
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < head_dim; ++c) {
      int32_t sum = 0;
      for (int t = 0; t < kPageTokens; ++t) {
        const int quad = t / 4;
        const uint8_t byte = codes[(static_cast<size_t>(quad / kPerByte) * head_dim + c) * 4 + t % 4];
        sum += (128 * weights[r].high[t] + weights[r].low[t]) *
               (byte >> quad % kPerByte * kBits & ((1 << kBits) - 1));
      }
      sum = sum * scales.scale[c] + scales.zero[c] * weights[r].bias;
      float& to = out[static_cast<size_t>(r) * head_dim + c];
      to = to * rescale[r] + static_cast<float>(sum) * weights[r].scale;
    }
  }
}

#endif

template <int kBits>
HWY_INLINE void ScoreFlashq(const uint8_t* keys, const void* prepared, size_t row_bytes, int head_dim,
                            int num_rows, float* scores) {
  const FlashqScales scales = ViewScales(keys, kBits, head_dim);
  // The values follow the keys in a block; were they elsewhere, nothing but time would be lost.
  const uint8_t* next = keys + (kPageTokens * head_dim * kBits / 8 + 2 * head_dim + 4 + 63) / 64 * 64;
#if THRONG_FLASHQ_VNNI
  if (num_rows >= kRowsToRebuild) {
    ScoreManyRows<kBits>(keys, scales, static_cast<const int8_t*>(prepared), row_bytes, head_dim, num_rows,
                         scores);
    return;
  }
#endif
  FlashqQuery queries[4];
  const auto fold = [&](int r, FlashqQuery& query) HWY_ATTR {
    FoldQuery(static_cast<const int8_t*>(prepared) + r * row_bytes, scales, head_dim, query);
  };
  int r = 0;
  for (; r + 4 <= num_rows; r += 4) {
    for (int j = 0; j < 4; ++j) fold(r + j, queries[j]);
    ScoreRows<kBits, 4>(keys, queries, head_dim, r == 0 ? next : nullptr, scores + r * kPageTokens);
  }
  for (; r < num_rows; ++r) {
    fold(r, queries[0]);
    ScoreRows<kBits, 1>(keys, queries, head_dim, r == 0 ? next : nullptr, scores + r * kPageTokens);
  }
}

template <int kBits>
HWY_INLINE void MixFlashq(const uint8_t* values, const float* probabilities, const float* rescale,
                          int head_dim, int num_rows, float* out) {
  const FlashqScales scales = ViewScales(values, kBits, head_dim);
  FlashqProbabilities weights[4];
  int r = 0;
  for (; r + 4 <= num_rows; r += 4) {
    for (int j = 0; j < 4; ++j)
      QuantizeProbabilities(probabilities + (r + j) * kPageTokens, scales.block, weights[j]);
    MixRows<kBits, 4>(values, scales, weights, rescale + r, head_dim,
                      out + static_cast<size_t>(r) * head_dim);
  }
  for (; r < num_rows; ++r) {
    QuantizeProbabilities(probabilities + r * kPageTokens, scales.block, weights[0]);
    MixRows<kBits, 1>(values, scales, weights, rescale + r, head_dim,
                      out + static_cast<size_t>(r) * head_dim);
  }
}

void ScoreFlashq4(const uint8_t* keys, const void* prepared, size_t row_bytes, int head_dim, int num_rows,
                  float* scores) {
  ScoreFlashq<4>(keys, prepared, row_bytes, head_dim, num_rows, scores);
}
void ScoreFlashq2(const uint8_t* keys, const void* prepared, size_t row_bytes, int head_dim, int num_rows,
                  float* scores) {
  ScoreFlashq<2>(keys, prepared, row_bytes, head_dim, num_rows, scores);
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
