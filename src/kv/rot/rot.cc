#include "kv/rot/rot.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "base/check.h"
#include "base/half.h"
#include "base/rng.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/rot/rot.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kv/integer_rows-inl.h"
#include "kv/rot/hadamard-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using hwy::float16_t;

// A prepared row: pairs of q as int8, each twice: int32 [d / 2]; q [d]; then scale (f32) and the sum of q
// (i32).
struct QueryView {
  const uint8_t* pairs;
  const int8_t* codes;
  float scale;
  int32_t sum;
};

HWY_INLINE QueryView ViewQuery(const void* prepared, int head_dim, size_t row_bytes, int row) {
  const uint8_t* p = static_cast<const uint8_t*>(prepared) + static_cast<size_t>(row) * row_bytes;
  QueryView view;
  view.pairs = p;
  view.codes = reinterpret_cast<const int8_t*>(p) + 2 * head_dim;
  std::memcpy(&view.scale, p + 3 * head_dim, 4);
  std::memcpy(&view.sum, p + 3 * head_dim + 4, 4);
  return view;
}

template <class DF>
HWY_INLINE hn::Vec<DF> LoadHalf(DF df, const uint8_t* p) {
  return hn::PromoteTo(df, hn::LoadU(hn::Rebind<float16_t, DF>(), reinterpret_cast<const float16_t*>(p)));
}

// Scores of as many tokens as a vector of 32-bit lanes holds, from their integer sums.
template <int kBits, class DI>
HWY_INLINE void StoreScores(DI di, hn::Vec<DI> dot, const uint8_t* scales, const QueryView& query, size_t t,
                            float* scores) {
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
                        HWY_ATTR { return _mm512_and_si512(shifted, _mm512_set1_epi32(mask)); };
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
  const auto words = [&](int row) HWY_ATTR {
    const uint8_t* from = keys + 2 * (row * kPageTokens + t);
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  };
  const auto store = [&](int half, __m512i codes) HWY_ATTR {
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
                          const QueryView* queries, float* scores) {
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
HWY_INLINE void ScoreRows(const uint8_t* keys, const void* prepared, size_t row_bytes, int head_dim,
                          int num_rows, float* scores) {
  const uint8_t* scales = keys + static_cast<size_t>(kPageTokens) * head_dim * kBits / 8;
  PageBytes page;
  for (int g = 0; g < head_dim / 8; ++g) {
    // The values follow the keys in a block; were they elsewhere, nothing but time would be lost.
    for (int j = 0; j < kBits; ++j) __builtin_prefetch(scales + 256 + (g * kBits + j) * 64);
    for (int t = 0; t < kPageTokens; t += 16) UnpackKeys<kBits>(keys, head_dim, g, t, page);
  }
  QueryView queries[4];
  int r = 0;
  for (; r + 4 <= num_rows; r += 4) {
    for (int j = 0; j < 4; ++j) queries[j] = ViewQuery(prepared, head_dim, row_bytes, r + j);
    ScoreTile<kBits, 4>(page, scales, head_dim, queries, scores + r * kPageTokens);
  }
  for (; r < num_rows; ++r) {
    queries[0] = ViewQuery(prepared, head_dim, row_bytes, r);
    ScoreTile<kBits, 1>(page, scales, head_dim, queries, scores + r * kPageTokens);
  }
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
  const auto words = [&](size_t row) HWY_ATTR {
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
HWY_INLINE void ScoreTile(const uint8_t* keys, int head_dim, const QueryView* queries, float* scores) {
  // How many times 8 products a sum of 16 bits holds: 4 steps 2 L 127 n < 2^15.
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
          // The values follow the keys in a block; were they elsewhere, nothing but time would be lost.
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
HWY_INLINE void ScoreRows(const uint8_t* keys, const void* prepared, size_t row_bytes, int head_dim,
                          int num_rows, float* scores) {
  int r = 0;
  for (; r + 4 <= num_rows; r += 4) {
    QueryView queries[4];
    for (int j = 0; j < 4; ++j) queries[j] = ViewQuery(prepared, head_dim, row_bytes, r + j);
    float* to = scores + r * kPageTokens;
    r == 0 ? ScoreTile<kBits, 4, true>(keys, head_dim, queries, to)
           : ScoreTile<kBits, 4, false>(keys, head_dim, queries, to);
  }
  for (; r < num_rows; ++r) {
    const QueryView query = ViewQuery(prepared, head_dim, row_bytes, r);
    ScoreTile<kBits, 1, true>(keys, head_dim, &query, scores + r * kPageTokens);
  }
}

#endif  // THRONG_VNNI

void ScoreRot(int bits, const uint8_t* keys, const void* prepared, size_t row_bytes, int head_dim,
              int num_rows, float* scores) {
  const auto rows = bits == 4 ? ScoreRows<4> : bits == 3 ? ScoreRows<3> : ScoreRows<2>;
  rows(keys, prepared, row_bytes, head_dim, num_rows, scores);
}

// What the tokens' probabilities become for one row: weights[t] = round(p[t] h[t] / unit), 0..32767.
struct Weights {
  HWY_ALIGN int16_t weights[kPageTokens];
  int32_t sum = 0;
  float unit = 0.0f;    // the largest p h / 32767
  float middle = 0.0f;  // sum of p[t] m[t]
};

HWY_INLINE void QuantizeWeights(const float* probabilities, const uint8_t* scales, Weights& out) {
  const hn::CappedTag<float, 8> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<int16_t, decltype(df)> dw;
  const size_t N = hn::Lanes(df);
  HWY_ALIGN float products[kPageTokens];
  auto largest = hn::Zero(df);
  auto middle = hn::Zero(df);
  for (size_t t = 0; t < kPageTokens; t += N) {
    const auto p = hn::LoadU(df, probabilities + t);
    const auto product = hn::Mul(p, LoadHalf(df, scales + 2 * t));
    hn::Store(product, df, products + t);
    largest = hn::Max(largest, product);
    middle = hn::MulAdd(p, LoadHalf(df, scales + 2 * (kPageTokens + t)), middle);
  }
  out.middle = hn::GetLane(hn::SumOfLanes(df, middle));
  const float top = hn::GetLane(hn::MaxOfLanes(df, largest));
  // Below this the quotient overflows; such weights count as 0.
  if (!(top > 1e-30f)) {
    std::memset(out.weights, 0, sizeof(out.weights));
    return;
  }
  const auto inverse = hn::Set(df, 32767.0f / top);
  auto sum = hn::Zero(di);
  for (size_t t = 0; t < kPageTokens; t += N) {
    const auto w = hn::Min(hn::NearestInt(hn::Mul(hn::Load(df, products + t), inverse)), hn::Set(di, 32767));
    sum = hn::Add(sum, w);
    hn::StoreU(hn::DemoteTo(dw, w), dw, out.weights + t);
  }
  out.sum = hn::GetLane(hn::SumOfLanes(di, sum));
  out.unit = top / 32767.0f;
}

// sum + weights times the field kField of the words: codes of two tokens for each lane of 32 bits.
template <int kShift, int kMask, int kRows, int kVecs, class DU, class DI>
HWY_INLINE void AddField(DU du, DI di, const hn::Vec<DU>* words, const hn::Vec<DU>* top,
                         const Weights* weights, int pair, hn::Vec<DI> (&sum)[kRows][kVecs]) {
  const hn::RebindToSigned<DU> dw;
  hn::Vec<decltype(dw)> codes[kVecs];
  HWY_UNROLL(4)
  for (int v = 0; v < kVecs; ++v) {
    const auto field = hn::And(hn::ShiftRight<kShift>(words[v]), hn::Set(du, kMask));
    codes[v] = hn::BitCast(dw, hn::Or(field, top[v]));
  }
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    const auto w = hn::BitCast(dw, hn::Set(di, FourBytes(weights[r].weights + 2 * pair)));
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = AddPairs(di, w, codes[v], sum[r][v]);
  }
}

// Integer sums of the dimensions from c on, one per lane of 32 bits, over all tokens.
template <int kBits, int kRows, int kVecs, class DI>
HWY_INLINE void SumCodes(DI di, const uint8_t* values, int head_dim, size_t c, const Weights* weights,
                         hn::Vec<DI> (&sum)[kRows][kVecs]) {
  const hn::Repartition<uint16_t, DI> du;
  using VU = hn::Vec<decltype(du)>;
  const size_t N = hn::Lanes(di);
  const auto load = [&](size_t row, VU* to) HWY_ATTR {
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) {
      to[v] = hn::LoadU(du, reinterpret_cast<const uint16_t*>(values) + row * 2 * head_dim + 2 * (c + v * N));
    }
  };
  VU w[kVecs], top[kVecs], bit[kVecs];
  HWY_UNROLL(4)
  for (int v = 0; v < kVecs; ++v) bit[v] = hn::Zero(du);
  if constexpr (kBits == 4) {
    for (int g = 0; g < 8; ++g) {
      load(g, w);
      AddField<0, 15, kRows, kVecs>(du, di, w, bit, weights, 4 * g, sum);
      AddField<4, 15, kRows, kVecs>(du, di, w, bit, weights, 4 * g + 1, sum);
      AddField<8, 15, kRows, kVecs>(du, di, w, bit, weights, 4 * g + 2, sum);
      AddField<12, 15, kRows, kVecs>(du, di, w, bit, weights, 4 * g + 3, sum);
    }
    return;
  }
  for (int g = 0; g < 4; ++g) {
    load(g, w);
    // The third bits of this group are the low or the high byte of their word.
    if constexpr (kBits == 3) {
      load(4 + g / 2, top);
      HWY_UNROLL(4)
      for (int v = 0; v < kVecs; ++v)
        top[v] = hn::ShiftLeft<2>(g % 2 == 1 ? hn::ShiftRight<8>(top[v]) : top[v]);
    }
    const auto add = [&](auto field) HWY_ATTR {
      if constexpr (kBits == 3) {
        HWY_UNROLL(4)
        for (int v = 0; v < kVecs; ++v) {
          bit[v] = hn::And(top[v], hn::Set(du, 4));
          top[v] = hn::ShiftRight<1>(top[v]);
        }
      }
      AddField<2 * field(), 3, kRows, kVecs>(du, di, w, bit, weights, 8 * g + field(), sum);
    };
    add(std::integral_constant<int, 0>());
    add(std::integral_constant<int, 1>());
    add(std::integral_constant<int, 2>());
    add(std::integral_constant<int, 3>());
    add(std::integral_constant<int, 4>());
    add(std::integral_constant<int, 5>());
    add(std::integral_constant<int, 6>());
    add(std::integral_constant<int, 7>());
  }
}

template <int kBits, int kRows, int kVecs, class DI>
HWY_INLINE void MixTile(DI di, const uint8_t* values, int head_dim, size_t c, const Weights* weights,
                        float (*rotated)[kMaxHeadDim]) {
  const hn::Rebind<float, DI> df;
  hn::Vec<DI> sum[kRows][kVecs];
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::Zero(di);
  }
  SumCodes<kBits, kRows, kVecs>(di, values, head_dim, c, weights, sum);
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    const auto offset = hn::Set(di, ((1 << kBits) - 1) * weights[r].sum);
    HWY_UNROLL(4)
    for (int v = 0; v < kVecs; ++v) {
      const auto centred = hn::Sub(hn::Add(sum[r][v], sum[r][v]), offset);
      const auto scaled = hn::Mul(hn::ConvertTo(df, centred), hn::Set(df, weights[r].unit));
      hn::StoreU(hn::Add(scaled, hn::Set(df, weights[r].middle)), df, rotated[r] + c + v * hn::Lanes(di));
    }
  }
}

// back: [d], what an element is multiplied with after the transform.
template <int kBits, int kRows>
HWY_INLINE void MixTileRows(const uint8_t* values, const float* probabilities, const float* rescale,
                            const float* back, int head_dim, float* out) {
  const hn::CappedTag<int32_t, 16> di;
  const size_t d = static_cast<size_t>(head_dim);
  const uint8_t* scales = values + kPageTokens * d * kBits / 8;
  Weights weights[kRows];
  HWY_ALIGN float rotated[kRows][kMaxHeadDim];
  for (int r = 0; r < kRows; ++r) QuantizeWeights(probabilities + r * kPageTokens, scales, weights[r]);
  constexpr size_t kN = hn::MaxLanes(di);
  constexpr int kVecs = kN >= 16 ? 4 : 2;
  size_t c = 0;
  for (; c + kVecs * kN <= d; c += kVecs * kN) {
    MixTile<kBits, kRows, kVecs>(di, values, head_dim, c, weights, rotated);
  }
  for (; c + kN <= d; c += kN) MixTile<kBits, kRows, 1>(di, values, head_dim, c, weights, rotated);
  if (c < d) MixTile<kBits, kRows, 1>(hn::CappedTag<int32_t, 8>(), values, head_dim, c, weights, rotated);

  const hn::CappedTag<float, 8> df;
  for (int r = 0; r < kRows; ++r) {
    HadamardBlocks(rotated[r], d);
    const auto scale = hn::Set(df, rescale[r]);
    for (size_t i = 0; i < d; i += hn::Lanes(df)) {
      float* to = out + static_cast<size_t>(r) * d + i;
      const auto added = hn::Mul(hn::Load(df, rotated[r] + i), hn::LoadU(df, back + i));
      hn::StoreU(hn::MulAdd(hn::LoadU(df, to), scale, added), df, to);
    }
  }
}

template <int kBits>
HWY_INLINE void MixRows(const uint8_t* values, const float* probabilities, const float* rescale,
                        const float* back, int head_dim, int num_rows, float* out) {
  int r = 0;
  for (; r + 4 <= num_rows; r += 4) {
    MixTileRows<kBits, 4>(values, probabilities + r * kPageTokens, rescale + r, back, head_dim,
                          out + r * head_dim);
  }
  for (; r < num_rows; ++r) {
    MixTileRows<kBits, 1>(values, probabilities + r * kPageTokens, rescale + r, back, head_dim,
                          out + r * head_dim);
  }
}

void MixRot(int bits, const uint8_t* values, const float* probabilities, const float* rescale,
            const float* back, int head_dim, int num_rows, float* out) {
  const auto rows = bits == 4 ? MixRows<4> : bits == 3 ? MixRows<3> : MixRows<2>;
  rows(values, probabilities, rescale, back, head_dim, num_rows, out);
}

// factors: [d], applied before the transform.
void RotateRow(const float* row, const float* factors, int head_dim, float* out) {
  const hn::CappedTag<float, 8> df;
  const auto limit = hn::Set(df, 65504.0f);
  for (size_t i = 0; i < static_cast<size_t>(head_dim); i += hn::Lanes(df)) {
    auto x = hn::LoadU(df, row + i);
    x = hn::Max(hn::Min(hn::IfThenElseZero(hn::Eq(x, x), x), limit), hn::Neg(limit));
    hn::StoreU(hn::Mul(x, hn::LoadU(df, factors + i)), df, out + i);
  }
  HadamardBlocks(out, static_cast<size_t>(head_dim));
}

// Codes of a row for a half step and a midpoint, and their squared error. Products are not fused and lanes
// are four on every target, so that all targets choose the same step.
HWY_INLINE float QuantizeWith(const float* row, int head_dim, int levels, float half_step, float middle,
                              int32_t* codes) {
  const hn::CappedTag<float, 4> df;
  const hn::RebindToSigned<decltype(df)> di;
  const auto inverse = hn::Set(df, half_step > 0.0f ? 0.5f / half_step : 0.0f);
  const auto offset = hn::Set(df, 0.5f * static_cast<float>(levels));
  const auto top = hn::Set(df, static_cast<float>(levels));
  const auto step = hn::Set(df, half_step);
  const auto mid = hn::Set(df, middle);
  auto error = hn::Zero(df);
  for (size_t i = 0; i < static_cast<size_t>(head_dim); i += hn::Lanes(df)) {
    const auto x = hn::Sub(hn::LoadU(df, row + i), mid);
    const auto place = hn::Add(hn::Mul(x, inverse), offset);
    const auto code = hn::NearestInt(hn::Min(hn::Max(place, hn::Zero(df)), top));
    hn::StoreU(code, di, codes + i);
    const auto value = hn::Mul(hn::Sub(hn::ConvertTo(df, hn::Add(code, code)), top), step);
    const auto miss = hn::Sub(x, value);
    error = hn::Add(error, hn::Mul(miss, miss));
  }
  return hn::GetLane(hn::SumOfLanes(df, error));
}

// Chooses the share of the row's range that the codes cover.
void QuantizeToBits(const float* row, int head_dim, int bits, uint8_t* codes, uint16_t* half_step,
                    uint16_t* middle) {
  constexpr float kShares[] = {1.0f, 0.92f, 0.84f, 0.76f, 0.68f, 0.6f, 0.52f};
  const int levels = (1 << bits) - 1;
  const auto [low, high] = std::minmax_element(row, row + head_dim);
  *middle = FloatToHalf(0.5f * (*low + *high));
  const float mid = HalfToFloat(*middle);
  const float reach = std::max(*high - mid, mid - *low);
  *half_step = FloatToHalf(reach / static_cast<float>(levels));
  int32_t found[2][kMaxHeadDim];
  float least = QuantizeWith(row, head_dim, levels, HalfToFloat(*half_step), mid, found[0]);
  int best = 0;
  for (size_t s = 1; s < std::size(kShares); ++s) {
    const uint16_t bits16 = FloatToHalf(reach * kShares[s] / static_cast<float>(levels));
    const float error = QuantizeWith(row, head_dim, levels, HalfToFloat(bits16), mid, found[1 - best]);
    if (!(error < least)) continue;
    least = error;
    *half_step = bits16;
    best = 1 - best;
  }
  for (int i = 0; i < head_dim; ++i) codes[i] = static_cast<uint8_t>(found[best][i]);
}

float QuantizeQuery(const float* row, int head_dim, int8_t* codes) {
  return QuantizeRow(row, head_dim, hwy::HighestValue<float>(), codes);
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::kv {
namespace {

HWY_EXPORT(ScoreRot);
HWY_EXPORT(MixRot);
HWY_EXPORT(RotateRow);
HWY_EXPORT(QuantizeToBits);
HWY_EXPORT(QuantizeQuery);

// Where a code lies: `bits` bits at `shift` of the byte at `byte`; and a third bit elsewhere.
struct Place {
  size_t byte;
  int shift;
};

Place PlaceKey(int bits, int head_dim, int t, int i) {
  if (bits == 1) {
    const size_t plane = static_cast<size_t>(kPageTokens) * head_dim / 4;
    return {plane + static_cast<size_t>(i / 8) * kPageTokens + t, i % 8 / 2 + i % 2 * 4};
  }
  const int per_word = 16 / bits;
  const size_t word = static_cast<size_t>(i / per_word) * kPageTokens + t;
  return {2 * word + i % 2, i % per_word / 2 * bits};
}

Place PlaceValue(int bits, int head_dim, int t, int i) {
  const int per_word = 16 / bits;
  const size_t plane = bits == 1 ? static_cast<size_t>(kPageTokens) * head_dim / 4 : 0;
  const int pair = t / 2;
  const size_t word = (static_cast<size_t>(pair / per_word) * head_dim + i) * 2 + t % 2;
  const int shift = pair % per_word * bits;
  return {plane + 2 * word + shift / 8, shift % 8};
}

class Rot : public Codec {
 public:
  Rot(int bits, int head_dim) : bits_(bits), head_dim_(head_dim) {
    THRONG_CHECK(bits >= 2 && bits <= 4);
    CounterRng signs(0x726f74);  // any constant will do, but it can never change: pages are kept on disk
    int rest = head_dim;
    int i = 0;
    for (int block = 1 << 16; rest > 0; block /= 2) {
      if ((rest & block) == 0) continue;
      for (int j = 0; j < block; ++j, ++i) {
        const double sign = signs.NextBelow(2) == 0 ? 1.0 : -1.0;
        forward_[i] = static_cast<float>(sign / std::sqrt(static_cast<double>(block) * head_dim));
        back_[i] = static_cast<float>(sign * std::sqrt(static_cast<double>(head_dim) / block));
      }
      rest -= block;
    }
  }

  std::string Name() const override { return "rot" + std::to_string(bits_); }
  ByteCounts Count(Part) const override {
    return {.codes = static_cast<size_t>(kPageTokens) * head_dim_ * bits_ / 8,
            .scales = 2 * kPageTokens * sizeof(uint16_t)};
  }

  void Encode(Part part, const float* block, uint8_t* encoded) const override {
    const size_t code_bytes = Count(part).codes;
    std::memset(encoded, 0, code_bytes);
    alignas(64) float rotated[kMaxHeadDim];
    uint8_t codes[kMaxHeadDim];
    uint16_t scales[2][kPageTokens];
    for (int t = 0; t < kPageTokens; ++t) {
      HWY_DYNAMIC_DISPATCH(RotateRow)(block + t * head_dim_, forward_, head_dim_, rotated);
      HWY_DYNAMIC_DISPATCH(QuantizeToBits)(rotated, head_dim_, bits_, codes, &scales[0][t], &scales[1][t]);
      for (int i = 0; i < head_dim_; ++i) Put(part, t, i, codes[i], encoded);
    }
    std::memcpy(encoded + code_bytes, scales, sizeof(scales));
  }

  void Decode(Part part, const uint8_t* encoded, float* block) const override {
    uint16_t scales[2][kPageTokens];
    std::memcpy(scales, encoded + Count(part).codes, sizeof(scales));
    alignas(64) float ones[kMaxHeadDim];
    alignas(64) float rotated[kMaxHeadDim];
    std::fill(ones, ones + head_dim_, 1.0f);
    const int levels = (1 << bits_) - 1;
    for (int t = 0; t < kPageTokens; ++t) {
      float* row = block + static_cast<size_t>(t) * head_dim_;
      for (int i = 0; i < head_dim_; ++i) {
        const auto odd = static_cast<float>(2 * Get(part, t, i, encoded) - levels);
        row[i] = odd * HalfToFloat(scales[0][t]) + HalfToFloat(scales[1][t]);
      }
      HWY_DYNAMIC_DISPATCH(RotateRow)(row, ones, head_dim_, rotated);
      for (int i = 0; i < head_dim_; ++i) row[i] = rotated[i] * back_[i];
    }
  }

  size_t QueryBytes() const override { return (3 * static_cast<size_t>(head_dim_) + 8 + 63) / 64 * 64; }
  void PrepareQuery(const float* query, void* prepared) const override {
    auto* bytes = static_cast<uint8_t*>(prepared);
    alignas(64) float rotated[kMaxHeadDim];
    int8_t codes[kMaxHeadDim];
    HWY_DYNAMIC_DISPATCH(RotateRow)(query, back_, head_dim_, rotated);
    const float scale = HWY_DYNAMIC_DISPATCH(QuantizeQuery)(rotated, head_dim_, codes);
    int32_t sum = 0;
    for (int i = 0; i < head_dim_; i += 2) {
      sum += codes[i] + codes[i + 1];
      std::memcpy(bytes + 2 * i, codes + i, 2);
      std::memcpy(bytes + 2 * i + 2, codes + i, 2);
    }
    std::memcpy(bytes + 2 * head_dim_, codes, head_dim_);
    std::memcpy(bytes + 3 * head_dim_, &scale, 4);
    std::memcpy(bytes + 3 * head_dim_ + 4, &sum, 4);
  }

  void Score(const uint8_t* keys, const void* prepared, int num_rows, float* scores) const override {
    HWY_DYNAMIC_DISPATCH(ScoreRot)(bits_, keys, prepared, QueryBytes(), head_dim_, num_rows, scores);
  }
  void Mix(const uint8_t* values, const float* probabilities, const float* rescale, int num_rows,
           float* out) const override {
    HWY_DYNAMIC_DISPATCH(MixRot)
    (bits_, values, probabilities, rescale, back_, head_dim_, num_rows, out);
  }

 private:
  // The low bits of 3-bit codes are stored as 2-bit codes are, the third ones in a plane of their own.
  int LowBits() const { return bits_ == 3 ? 2 : bits_; }
  Place Find(Part part, int bits, int t, int i) const {
    return part == Part::kKeys ? PlaceKey(bits, head_dim_, t, i) : PlaceValue(bits, head_dim_, t, i);
  }
  void Put(Part part, int t, int i, int code, uint8_t* encoded) const {
    const Place low = Find(part, LowBits(), t, i);
    encoded[low.byte] |= static_cast<uint8_t>((code & ((1 << LowBits()) - 1)) << low.shift);
    if (bits_ != 3) return;
    const Place high = Find(part, 1, t, i);
    encoded[high.byte] |= static_cast<uint8_t>((code >> 2) << high.shift);
  }
  int Get(Part part, int t, int i, const uint8_t* encoded) const {
    const Place low = Find(part, LowBits(), t, i);
    const int code = (encoded[low.byte] >> low.shift) & ((1 << LowBits()) - 1);
    if (bits_ != 3) return code;
    const Place high = Find(part, 1, t, i);
    return code | ((encoded[high.byte] >> high.shift) & 1) << 2;
  }

  const int bits_;
  const int head_dim_;
  alignas(64) float forward_[kMaxHeadDim] = {};  // before the transform of keys and values
  alignas(64) float back_[kMaxHeadDim] = {};     // after it on the way back, and before that of queries
};

}  // namespace

std::shared_ptr<const Codec> MakeRot(int bits, int head_dim) { return std::make_shared<Rot>(bits, head_dim); }

}  // namespace throng::kv
#endif  // HWY_ONCE
