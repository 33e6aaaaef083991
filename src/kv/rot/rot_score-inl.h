// Scores of the codecs rot4, rot3 and rot2, and the reader of their half floats.
#if defined(THRONG_KV_ROT_ROT_SCORE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_ROT_ROT_SCORE_INL_H_
#undef THRONG_KV_ROT_ROT_SCORE_INL_H_
#else
#define THRONG_KV_ROT_ROT_SCORE_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "hwy/highway.h"
#include "kv/amx-inl.h"
#include "kv/codec.h"
#include "kv/integer_query.h"
#include "kv/integer_rows-inl.h"
#include "kv/tiles-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using hwy::float16_t;

template <class DF>
HWY_INLINE hn::Vec<DF> LoadHalf(DF df, const uint8_t* p) {
  return hn::PromoteTo(df, hn::LoadU(hn::Rebind<float16_t, DF>(), reinterpret_cast<const float16_t*>(p)));
}

// Scores of as many tokens as a vector of 32-bit lanes holds, from their integer sums.
template <int kBits, class DI>
HWY_INLINE void StoreScores(DI di, hn::Vec<DI> dot, const uint8_t* scales, const IntegerQuery& query,
                            size_t t, float* scores) {
  const hn::Rebind<float, DI> df;
  const auto centred = hn::Sub(hn::Add(dot, dot), hn::Set(di, ((1 << kBits) - 1) * query.sum));
  const auto steps = hn::Mul(hn::ConvertTo(df, centred), LoadHalf(df, scales + 2 * t));
  const auto middle =
      hn::Mul(hn::Set(df, static_cast<float>(query.sum)), LoadHalf(df, scales + 2 * (kPageTokens + t)));
  hn::StoreU(hn::Mul(hn::Add(steps, middle), hn::Set(df, query.scale)), df, scores + t);
}

#if THRONG_VNNI

// The third bits of dimensions 8 g + 4 kHalf + i, from a byte for each token: bit 2 of byte i.
template <int kHalf>
HWY_INLINE __m512i ThirdBits(__m512i planes) {
  const auto take = [&](__m512i shifted, int mask)
                        THRONG_ATTR { return _mm512_and_si512(shifted, _mm512_set1_epi32(mask)); };
  const __m512i p = _mm512_srli_epi32(planes, 2 * kHalf);
  const __m512i even =
      _mm512_or_si512(take(_mm512_slli_epi32(p, 2), 4), take(_mm512_slli_epi32(p, 17), 4 << 16));
  const __m512i odd =
      _mm512_or_si512(take(_mm512_slli_epi32(p, 6), 4 << 8), take(_mm512_slli_epi32(p, 21), 4 << 24));
  return _mm512_or_si512(even, odd);
}

// Codes of 16 tokens from t on, dimensions 8 g to 8 g + 7: four to a lane of 32 bits.
template <int kBits>
HWY_INLINE void UnpackKeys(const uint8_t* keys, int head_dim, int g, int t, PageBytes& page) {
  const auto words = [&](int row) THRONG_ATTR {
    const uint8_t* from = keys + 2 * (row * kPageTokens + t);
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  };
  const auto store = [&](int half, __m512i codes) THRONG_ATTR {
    _mm512_store_si512(page.bytes + ((2 * g + half) * kPageTokens + t) * 4, codes);
  };
  if constexpr (kBits == 4) {
    const __m512i mask = _mm512_set1_epi8(15);
    HWY_UNROLL(2)
    for (int half = 0; half < 2; ++half) {
      const __m512i w = words(2 * g + half);
      store(half, _mm512_and_si512(_mm512_or_si512(w, _mm512_slli_epi32(w, 12)), mask));
    }
    return;
  }
  const __m512i mask = _mm512_set1_epi8(3);
  const __m512i w = words(g);
  const __m512i spread = _mm512_or_si512(w, _mm512_slli_epi32(w, 14));
  __m512i first = _mm512_and_si512(spread, mask);
  __m512i second = _mm512_and_si512(_mm512_srli_epi32(spread, 4), mask);
  if constexpr (kBits == 3) {
    const uint8_t* plane = keys + static_cast<size_t>(kPageTokens) * head_dim / 4 + g * kPageTokens + t;
    const __m512i planes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(plane)));
    first = _mm512_or_si512(first, ThirdBits<0>(planes));
    second = _mm512_or_si512(second, ThirdBits<1>(planes));
  }
  store(0, first);
  store(1, second);
}

template <int kBits, int kRows>
HWY_INLINE void ScoreTile(const PageBytes& page, const uint8_t* scales, int head_dim,
                          const IntegerQuery* queries, float* scores) {
  const hn::ScalableTag<int32_t> di;
  __m512i sum[kRows][4];
  const int8_t* codes[kRows];
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    codes[r] = queries[r].codes;
    HWY_UNROLL(4)
    for (int v = 0; v < 4; ++v) sum[r][v] = _mm512_setzero_si512();
  }
  AddDots(page.bytes, codes, head_dim, sum);
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(4)
    for (int v = 0; v < 4; ++v) {
      StoreScores<kBits>(di, hn::Vec<decltype(di)>{sum[r][v]}, scales, queries[r], 16 * v,
                         scores + r * kPageTokens);
    }
  }
}

template <int kBits>
HWY_INLINE void ScoreRows(const uint8_t* keys, const void* prepared, int head_dim, int num_rows,
                          float* scores) {
  const uint8_t* scales = keys + static_cast<size_t>(kPageTokens) * head_dim * kBits / 8;
  PageBytes page;
  for (int g = 0; g < head_dim / 8; ++g) {
    // The values follow the keys in a block; anywhere else, fetching would only cost time.
    for (int j = 0; j < kBits; ++j) __builtin_prefetch(scales + 256 + (g * kBits + j) * 64);
    for (int t = 0; t < kPageTokens; t += 16) UnpackKeys<kBits>(keys, head_dim, g, t, page);
  }
  if (UsesAmx(head_dim, num_rows)) {
    const hn::ScalableTag<int32_t> di;
    const auto done = [&](int r, const int32_t* sums) THRONG_INLINE_ATTR {
      const IntegerQuery query = ViewIntegerQuery(QueryForm::kCodesAndPairs, prepared, head_dim, r);
      HWY_UNROLL(4)
      for (int t = 0; t < kPageTokens; t += 16) {
        StoreScores<kBits>(di, hn::Load(di, sums + t), scales, query, t, scores + r * kPageTokens);
      }
    };
    return ForAmxScores(page.bytes, prepared, IntegerQueryBytes(QueryForm::kCodesAndPairs, head_dim),
                        head_dim, num_rows, done);
  }
  ForRows(num_rows, [&](auto rows, int r) THRONG_INLINE_ATTR {
    IntegerQuery queries[rows()];
    for (int j = 0; j < rows(); ++j) {
      queries[j] = ViewIntegerQuery(QueryForm::kCodesAndPairs, prepared, head_dim, r + j);
    }
    ScoreTile<kBits, rows()>(page, scales, head_dim, queries, scores + r * kPageTokens);
  });
}

#else

// In each lane, the product of the low bytes plus that of the high bytes: codes unsigned, q signed.
template <class DW>
HWY_INLINE hn::Vec<DW> MulPairs(DW dw, hn::Vec<DW> codes, hn::Vec<DW> q) {
#if THRONG_AVX2
  if constexpr (hn::MaxLanes(dw) == 16) {
    return hn::Vec<DW>{_mm256_maddubs_epi16(codes.raw, q.raw)};
  }
#endif
  const auto low = hn::Mul(hn::And(codes, hn::Set(dw, 0xff)), hn::ShiftRight<8>(hn::ShiftLeft<8>(q)));
  return hn::Add(low, hn::Mul(hn::ShiftRight<8>(codes), hn::ShiftRight<8>(q)));
}

// Codes of the tokens from t on, as bytes: dimensions 8 g + 2 j and 8 g + 2 j + 1 in lane t of out[j].
template <int kBits, class DW>
HWY_INLINE void LoadKeys(DW dw, const uint8_t* keys, int head_dim, size_t g, size_t t, hn::Vec<DW>* out) {
  const hn::RebindToUnsigned<DW> du;
  const auto words = [&](size_t row) THRONG_ATTR {
    return hn::LoadU(du, reinterpret_cast<const uint16_t*>(keys) + row * kPageTokens + t);
  };
  if constexpr (kBits == 4) {
    const auto mask = hn::Set(du, 0x0f0f);
    const auto w0 = words(2 * g);
    const auto w1 = words(2 * g + 1);
    out[0] = hn::BitCast(dw, hn::And(w0, mask));
    out[1] = hn::BitCast(dw, hn::And(hn::ShiftRight<4>(w0), mask));
    out[2] = hn::BitCast(dw, hn::And(w1, mask));
    out[3] = hn::BitCast(dw, hn::And(hn::ShiftRight<4>(w1), mask));
  } else {
    const auto mask = hn::Set(du, 0x0303);
    const auto w = words(g);
    hn::Vec<decltype(du)> u[4] = {hn::And(w, mask), hn::And(hn::ShiftRight<2>(w), mask),
                                  hn::And(hn::ShiftRight<4>(w), mask), hn::And(hn::ShiftRight<6>(w), mask)};
    if constexpr (kBits == 3) {
      const uint8_t* plane = keys + static_cast<size_t>(kPageTokens) * head_dim / 4;
      const auto bits = hn::PromoteTo(du, hn::LoadU(hn::Rebind<uint8_t, DW>(), plane + g * kPageTokens + t));
      // Bit 2 + j of the low byte and of the high byte.
      const auto high = hn::Or(hn::ShiftLeft<2>(bits), hn::ShiftLeft<6>(bits));
      const auto bit = hn::Set(du, 0x0404);
      u[0] = hn::Or(u[0], hn::And(high, bit));
      u[1] = hn::Or(u[1], hn::And(hn::ShiftRight<1>(high), bit));
      u[2] = hn::Or(u[2], hn::And(hn::ShiftRight<2>(high), bit));
      u[3] = hn::Or(u[3], hn::And(hn::ShiftRight<3>(high), bit));
    }
    for (int j = 0; j < 4; ++j) out[j] = hn::BitCast(dw, u[j]);
  }
}

template <int kBits, int kRows, bool kPrefetch>
HWY_INLINE void ScoreTile(const uint8_t* keys, int head_dim, const IntegerQuery* queries, float* scores) {
  // A 16-bit sum holds this many times 8 products: 4 steps 2 L 127 n < 2^15.
  constexpr size_t kFlush = kBits == 4 ? 2 : kBits == 3 ? 4 : 8;
  const hn::CappedTag<int16_t, 32> dw;
  const hn::RepartitionToWide<decltype(dw)> di;
  const size_t N = hn::Lanes(dw);
  const size_t groups = static_cast<size_t>(head_dim) / 8;
  const size_t code_bytes = static_cast<size_t>(kPageTokens) * head_dim * kBits / 8;
  const uint8_t* scales = keys + code_bytes;
  for (size_t t = 0; t < kPageTokens; t += N) {
    hn::Vec<decltype(di)> low[kRows], high[kRows];
    for (int r = 0; r < kRows; ++r) low[r] = high[r] = hn::Zero(di);
    for (size_t first = 0; first < groups; first += kFlush) {
      hn::Vec<decltype(dw)> sum[kRows];
      for (int r = 0; r < kRows; ++r) sum[r] = hn::Zero(dw);
      for (size_t g = first; g < std::min(groups, first + kFlush); ++g) {
        if (kPrefetch && t == 0) {
          // The values follow the keys in a block; anywhere else, fetching would only cost time.
          for (int j = 0; j < kBits; ++j) __builtin_prefetch(scales + 256 + (g * kBits + j) * 64);
        }
        hn::Vec<decltype(dw)> codes[4];
        LoadKeys<kBits>(dw, keys, head_dim, g, t, codes);
        for (int j = 0; j < 4; ++j) {
          for (int r = 0; r < kRows; ++r) {
            const auto q = hn::BitCast(dw, hn::Set(di, FourBytes(queries[r].pairs + (g * 4 + j) * 4)));
            sum[r] = hn::Add(sum[r], MulPairs(dw, codes[j], q));
          }
        }
      }
      for (int r = 0; r < kRows; ++r) {
        low[r] = hn::Add(low[r], hn::PromoteTo(di, hn::LowerHalf(sum[r])));
        high[r] = hn::Add(high[r], hn::PromoteTo(di, hn::UpperHalf(hn::Half<decltype(dw)>(), sum[r])));
      }
    }
    for (int r = 0; r < kRows; ++r) {
      float* to = scores + r * kPageTokens;
      StoreScores<kBits>(di, low[r], scales, queries[r], t, to);
      StoreScores<kBits>(di, high[r], scales, queries[r], t + N / 2, to);
    }
  }
}

template <int kBits>
HWY_INLINE void ScoreRows(const uint8_t* keys, const void* prepared, int head_dim, int num_rows,
                          float* scores) {
  ForRows(num_rows, [&](auto rows, int r) THRONG_INLINE_ATTR {
    IntegerQuery queries[rows()];
    for (int j = 0; j < rows(); ++j) {
      queries[j] = ViewIntegerQuery(QueryForm::kCodesAndPairs, prepared, head_dim, r + j);
    }
    float* to = scores + r * kPageTokens;
    if constexpr (rows() == 1) {
      ScoreTile<kBits, 1, true>(keys, head_dim, queries, to);
    } else {
      r == 0 ? ScoreTile<kBits, rows(), true>(keys, head_dim, queries, to)
             : ScoreTile<kBits, rows(), false>(keys, head_dim, queries, to);
    }
  });
}

#endif  // THRONG_VNNI

void ScoreRot(int bits, const uint8_t* keys, const void* prepared, int head_dim, int num_rows,
              float* scores) {
  const auto rows = bits == 4 ? ScoreRows<4> : bits == 3 ? ScoreRows<3> : ScoreRows<2>;
  rows(keys, prepared, head_dim, num_rows, scores);
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_ROT_ROT_SCORE_INL_H_
