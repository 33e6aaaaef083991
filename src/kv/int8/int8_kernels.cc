#include "kv/int8/int8_kernels.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/int8/int8_kernels.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kv/amx-inl.h"
#include "kv/finite-inl.h"
#include "kv/integer_query.h"
#include "kv/integer_rows-inl.h"
#include "kv/tiles-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Undoes the offset of the stored keys.
HWY_INLINE int32_t Bias(const IntegerQuery& query) { return -128 * query.sum; }

// scores = dot * key scale * query scale, for the N tokens from t.
template <class DI>
HWY_INLINE void StoreScores(DI di, hn::Vec<DI> dot, const float* key_scales, float query_scale, size_t t,
                            float* scores) {
  const hn::Rebind<float, DI> df;
  const auto scaled = hn::Mul(hn::ConvertTo(df, dot), hn::LoadU(df, key_scales + t));
  hn::StoreU(hn::Mul(scaled, hn::Set(df, query_scale)), df, scores + t);
}

// Fetches as many bytes of the values as one step of 4 dimensions reads of the keys, if this is the first
// tile of a page. The values follow the keys in a block; anywhere else, fetching would only cost time.
HWY_INLINE void PrefetchValues(const uint8_t* keys, int head_dim, int i) {
  const uint8_t* values = keys + static_cast<size_t>(kPageTokens) * (head_dim + sizeof(float) + i);
  for (int j = 0; j < 4 * kPageTokens; j += 64) __builtin_prefetch(values + j);
}

#if THRONG_VNNI

// All 64 tokens of kRows rows: four vectors of 16 tokens, four dimensions per step.
template <int kRows, bool kPrefetch>
HWY_INLINE void ScoreTile(const uint8_t* keys, const float* key_scales, const IntegerQuery* queries,
                          int head_dim, float* scores) {
  const hn::ScalableTag<int32_t> di;
  if (kPrefetch) {
    for (int i = 0; i < head_dim; i += 4) PrefetchValues(keys, head_dim, i);
  }
  __m512i sum[kRows][4];
  const int8_t* codes[kRows];
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    codes[r] = queries[r].codes;
    HWY_UNROLL(8)
    for (int v = 0; v < 4; ++v) sum[r][v] = _mm512_set1_epi32(Bias(queries[r]));
  }
  AddDots(keys, codes, head_dim, sum);
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < 4; ++v) {
      StoreScores(di, hn::Vec<decltype(di)>{sum[r][v]}, key_scales, queries[r].scale, v * 16,
                  scores + r * kPageTokens);
    }
  }
}

#elif THRONG_AVX2

// Per step 4 dimensions of 4 tokens: widened to 16 bits, because vpmaddubsw would saturate; two lanes per
// token.
template <int kRows, bool kPrefetch>
HWY_INLINE void ScoreTile(const uint8_t* keys, const float* key_scales, const IntegerQuery* queries,
                          int head_dim, float* scores) {
  const hn::ScalableTag<int32_t> di;
  for (int t = 0; t < kPageTokens; t += 8) {
    __m256i sum[kRows][2];
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    for (int i = 0; i < head_dim; i += 4) {
      if (kPrefetch && t == 0) PrefetchValues(keys, head_dim, i);
      const uint8_t* from = keys + static_cast<size_t>(i) * kPageTokens + t * 4;
      const __m256i key0 = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
      const __m256i key1 = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 16)));
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        int64_t four;
        std::memcpy(&four, queries[r].pairs + 2 * i, sizeof(four));
        const __m256i query = _mm256_set1_epi64x(four);
        sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(key0, query));
        sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(key1, query));
      }
    }
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      // Tokens 0 1 4 5 | 2 3 6 7, put in order.
      const __m256i pairs = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sum[r][0], sum[r][1]), 0xd8);
      const __m256i dot = _mm256_add_epi32(pairs, _mm256_set1_epi32(Bias(queries[r])));
      StoreScores(di, hn::Vec<decltype(di)>{dot}, key_scales, queries[r].scale, t, scores + r * kPageTokens);
    }
  }
}

#else

template <int kRows, bool kPrefetch>
HWY_INLINE void ScoreTile(const uint8_t* keys, const float* key_scales, const IntegerQuery* queries,
                          int head_dim, float* scores) {
  for (int r = 0; r < kRows; ++r) {
    int32_t dot[kPageTokens];
    for (int32_t& x : dot) x = Bias(queries[r]);
    for (int i = 0; i < head_dim; i += 4) {
      const uint8_t* key = keys + static_cast<size_t>(i) * kPageTokens;
      for (int t = 0; t < kPageTokens; ++t) {
        for (int j = 0; j < 4; ++j) dot[t] += key[t * 4 + j] * queries[r].codes[i + j];
      }
    }
    for (int t = 0; t < kPageTokens; ++t) {
      scores[r * kPageTokens + t] = static_cast<float>(dot[t]) * key_scales[t] * queries[r].scale;
    }
  }
}

#endif

#if THRONG_VNNI

void ScoreByAmx(const uint8_t* keys, const float* key_scales, const void* prepared, int head_dim,
                int num_rows, float* scores) {
  const hn::ScalableTag<int32_t> di;
  const size_t query_bytes = IntegerQueryBytes(QueryForm::kCodesAndPairs, head_dim);
  const auto done = [&](int r, const int32_t* sums) THRONG_INLINE_ATTR {
    const IntegerQuery query = ViewIntegerQuery(QueryForm::kCodesAndPairs, prepared, head_dim, r);
    const auto bias = hn::Set(di, Bias(query));
    HWY_UNROLL(4)
    for (int t = 0; t < kPageTokens; t += 16) {
      StoreScores(di, hn::Add(hn::Load(di, sums + t), bias), key_scales, query.scale, t,
                  scores + r * kPageTokens);
    }
  };
  ForAmxScores(keys, prepared, query_bytes, head_dim, num_rows, done);
}

#endif

void ScoreTarget(const uint8_t* keys, const float* key_scales, const void* prepared, int head_dim,
                 int num_rows, float* scores) {
#if THRONG_VNNI
  if (UsesAmx(head_dim, num_rows)) {
    for (int i = 0; i < head_dim; i += 4) PrefetchValues(keys, head_dim, i);
    return ScoreByAmx(keys, key_scales, prepared, head_dim, num_rows, scores);
  }
#endif
  ForRows(num_rows, [&](auto rows, int r) THRONG_INLINE_ATTR {
    IntegerQuery queries[rows()];
    for (int j = 0; j < rows(); ++j) {
      queries[j] = ViewIntegerQuery(QueryForm::kCodesAndPairs, prepared, head_dim, r + j);
    }
    float* to = scores + r * kPageTokens;
    r == 0 ? ScoreTile<rows(), true>(keys, key_scales, queries, head_dim, to)
           : ScoreTile<rows(), false>(keys, key_scales, queries, head_dim, to);
  });
}

// Integer sums for dimensions [c, c + kVecs N): a lane of 32 bits per dimension, two tokens per step.
template <int kRows, int kVecs, class DI>
HWY_INLINE void MixTile(DI di, const int8_t* values, const int16_t (*weights)[kPageTokens],
                        const float* units, const float* rescale, int head_dim, size_t c, float* out) {
  const hn::Repartition<int16_t, DI> dw;
  const hn::Rebind<int8_t, decltype(dw)> db;
  const hn::Rebind<float, DI> df;
  const size_t N = hn::Lanes(di);
  hn::Vec<DI> sum[kRows][kVecs];
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::Zero(di);
  }
  for (int t = 0; t < kPageTokens; t += 2) {
    hn::Vec<decltype(dw)> value[kVecs];
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) {
      const int8_t* from = values + static_cast<size_t>(t) * head_dim + 2 * (c + v * N);
      value[v] = hn::PromoteTo(dw, hn::LoadU(db, from));
    }
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      const auto pair = hn::BitCast(dw, hn::Set(di, FourBytes(weights[r] + t)));
      HWY_UNROLL(8)
      for (int v = 0; v < kVecs; ++v) sum[r][v] = AddPairs(di, pair, value[v], sum[r][v]);
    }
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    const auto unit = hn::Set(df, units[r]);
    const auto scale = hn::Set(df, rescale[r]);
    HWY_UNROLL(8)
    for (int v = 0; v < kVecs; ++v) {
      float* to = out + static_cast<size_t>(r) * head_dim + c + v * N;
      const auto added = hn::Mul(hn::ConvertTo(df, sum[r][v]), unit);
      hn::StoreU(hn::MulAdd(hn::LoadU(df, to), scale, added), df, to);
    }
  }
}

// One row's weights; returns their unit.
HWY_INLINE float QuantizeRow(const float* probabilities, const float* value_scales, int16_t* weights) {
  const auto product = [&](auto df, size_t t) THRONG_ATTR {
    return hn::Mul(hn::LoadU(df, probabilities + t), hn::LoadU(df, value_scales + t));
  };
  return QuantizeWeights(product, weights).unit;
}

template <int kRows>
HWY_INLINE void MixRows(const int8_t* values, const float* value_scales, const float* probabilities,
                        const float* rescale, int head_dim, float* out) {
  constexpr int kVecs = hn::MaxLanes(hn::CappedTag<int32_t, 16>()) >= 16 ? 4 : 2;
  HWY_ALIGN int16_t weights[kRows][kPageTokens];
  float units[kRows];
  for (int r = 0; r < kRows; ++r) {
    units[r] = QuantizeRow(probabilities + r * kPageTokens, value_scales, weights[r]);
  }
  ForDimensions<kVecs, int32_t>(head_dim, [&](auto di, auto vecs, size_t c) THRONG_INLINE_ATTR {
    MixTile<kRows, vecs()>(di, values, weights, units, rescale, head_dim, c, out);
  });
}

float QuantizeTarget(const float* row, int head_dim, float bound, int8_t* codes) {
  const hn::CappedTag<float, 8> df;
  const hn::Rebind<int8_t, decltype(df)> db;
  const size_t N = hn::Lanes(df);
  const size_t d = static_cast<size_t>(head_dim);
  const auto load = [&](size_t i) THRONG_ATTR { return FiniteLanes(df, hn::LoadU(df, row + i), bound); };
  auto largest = hn::Zero(df);
  for (size_t i = 0; i < d; i += N) largest = hn::Max(largest, hn::Abs(load(i)));
  const float top = hn::GetLane(hn::MaxOfLanes(df, largest));
  if (!(top > kLeastScale)) {
    std::memset(codes, 0, d);
    return 0.0f;
  }
  const auto inverse = hn::Set(df, 127.0f / top);
  for (size_t i = 0; i < d; i += N) {
    hn::StoreU(hn::DemoteTo(db, hn::NearestInt(hn::Mul(load(i), inverse))), db, codes + i);
  }
  return top / 127.0f;
}

void QuantizeByTarget(const float* row, int head_dim, float scale, int range, int8_t* codes) {
  const hn::CappedTag<float, 8> df;
  const hn::Rebind<int8_t, decltype(df)> db;
  const auto inverse = hn::Set(df, 1.0f / scale);
  const auto limit = hn::Set(df, static_cast<float>(range));
  for (size_t i = 0; i < static_cast<size_t>(head_dim); i += hn::Lanes(df)) {
    const auto x = hn::LoadU(df, row + i);
    const auto steps = hn::Mul(hn::IfThenElseZero(hn::Eq(x, x), x), inverse);
    const auto bounded = hn::Max(hn::Min(steps, limit), hn::Neg(limit));
    hn::StoreU(hn::DemoteTo(db, hn::NearestInt(bounded)), db, codes + i);
  }
}

#if THRONG_VNNI

// to: [16, d, 4], four tokens together, where the page has two.
HWY_INLINE void QuadsOfValues(const int8_t* values, int head_dim, PageBytes& to) {
  const size_t pair = static_cast<size_t>(head_dim) * 2;  // bytes of two tokens
  uint8_t* out = to.bytes;
  for (int t = 0; t < kPageTokens; t += 4, values += 2 * pair) {
    for (size_t i = 0; i < pair; i += 32, out += 64) {
      const auto load = [&](const int8_t* from) THRONG_ATTR {
        return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
      };
      _mm512_store_si512(out,
                         _mm512_or_si512(load(values + i), _mm512_slli_epi32(load(values + pair + i), 16)));
    }
  }
}

void MixByAmx(const int8_t* encoded, const float* value_scales, const float* probabilities,
              const float* rescale, int head_dim, int num_rows, float* out) {
  const hn::ScalableTag<int32_t> di;
  const hn::ScalableTag<float> df;
  const TileScope scope;
  PageBytes values;
  QuadsOfValues(encoded, head_dim, values);
  PanelWeights weights;
  PanelSums sums;
  float units[kPanelRows];
  for (int first = 0; first < num_rows; first += kPanelRows) {
    const int count = HWY_MIN(kPanelRows, num_rows - first);
    for (int r = 0; r < count; ++r) {
      HWY_ALIGN int16_t row[kPageTokens];
      units[r] = QuantizeRow(probabilities + (first + r) * kPageTokens, value_scales, row);
      weights.Set(r, row);
    }
    for (int c = 0; c < head_dim; c += kPanelColumns) {
      sums.Multiply(weights, count, values.bytes + 4 * c, head_dim);
      for (int r = 0; r < count; ++r) {
        const auto unit = hn::Set(df, units[r]);
        const auto scale = hn::Set(df, rescale[first + r]);
        float* to = out + static_cast<size_t>(first + r) * head_dim + c;
        HWY_UNROLL(4)
        for (int v = 0; v < kPanelColumns; v += 16) {
          const auto added = hn::Mul(hn::ConvertTo(df, sums.Load(di, r, v)), unit);
          hn::StoreU(hn::MulAdd(hn::LoadU(df, to + v), scale, added), df, to + v);
        }
      }
    }
  }
}

#endif

void MixTarget(const uint8_t* encoded, const float* value_scales, const float* probabilities,
               const float* rescale, int head_dim, int num_rows, float* out) {
  const int8_t* values = reinterpret_cast<const int8_t*>(encoded);
#if THRONG_VNNI
  if (UsesAmx(head_dim, num_rows)) {
    return MixByAmx(values, value_scales, probabilities, rescale, head_dim, num_rows, out);
  }
#endif
  ForRows(num_rows, [&](auto rows, int r) THRONG_INLINE_ATTR {
    MixRows<rows()>(values, value_scales, probabilities + r * kPageTokens, rescale + r, head_dim,
                    out + r * head_dim);
  });
}

// The first value_dim elements of keys, [d / 4, 64, 4], as values, [32, value_dim, 2].
HWY_INLINE void TransposeKeys(const uint8_t* keys, int value_dim, uint8_t* values) {
  const hn::CappedTag<uint8_t, 16> du;
  const hn::Half<decltype(du)> half;
  // Four tokens of four elements: pairs of the first two tokens, then of the others.
  HWY_ALIGN static constexpr uint8_t kPlaces[16] = {0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15};
  const auto places = hn::Load(du, kPlaces);
  const size_t pair = static_cast<size_t>(value_dim) * 2;
  for (int i = 0; i < value_dim; i += 4) {
    for (int t = 0; t < kPageTokens; t += 4) {
      const auto stored = hn::LoadU(du, keys + static_cast<size_t>(i) * kPageTokens + t * 4);
      const auto codes = hn::TableLookupBytes(hn::Xor(stored, hn::Set(du, 0x80)), places);
      uint8_t* to = values + t / 2 * pair + 2 * i;
      hn::StoreU(hn::LowerHalf(half, codes), half, to);
      hn::StoreU(hn::UpperHalf(half, codes), half, to + pair);
    }
  }
}

void MixKeysTarget(const uint8_t* keys, const float* key_scales, const float* probabilities,
                   const float* rescale, int value_dim, int num_rows, float* out) {
  alignas(64) uint8_t values[kPageTokens * kMaxHeadDim];
  TransposeKeys(keys, value_dim, values);
  MixTarget(values, key_scales, probabilities, rescale, value_dim, num_rows, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::kv {

HWY_EXPORT(ScoreTarget);
HWY_EXPORT(MixTarget);
HWY_EXPORT(MixKeysTarget);
HWY_EXPORT(QuantizeTarget);
HWY_EXPORT(QuantizeByTarget);

void ScoreInt8(const uint8_t* keys, const float* key_scales, const void* prepared, int head_dim, int num_rows,
               float* scores) {
  HWY_DYNAMIC_DISPATCH(ScoreTarget)(keys, key_scales, prepared, head_dim, num_rows, scores);
}

void MixInt8(const uint8_t* values, const float* value_scales, const float* probabilities,
             const float* rescale, int head_dim, int num_rows, float* out) {
  HWY_DYNAMIC_DISPATCH(MixTarget)(values, value_scales, probabilities, rescale, head_dim, num_rows, out);
}

void MixInt8Keys(const uint8_t* keys, const float* key_scales, const float* probabilities,
                 const float* rescale, int value_dim, int num_rows, float* out) {
  HWY_DYNAMIC_DISPATCH(MixKeysTarget)(keys, key_scales, probabilities, rescale, value_dim, num_rows, out);
}

float QuantizeInt8(const float* row, int head_dim, float bound, int8_t* codes) {
  return HWY_DYNAMIC_DISPATCH(QuantizeTarget)(row, head_dim, bound, codes);
}

void QuantizeInt8By(const float* row, int head_dim, float scale, int range, int8_t* codes) {
  HWY_DYNAMIC_DISPATCH(QuantizeByTarget)(row, head_dim, scale, range, codes);
}

}  // namespace throng::kv
#endif  // HWY_ONCE
