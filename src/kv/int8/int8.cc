#include "kv/int8/int8.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/int8/int8.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kv/finite.h"
#include "kv/integer_rows-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A prepared row: q as int16 [d], q as int8 [d], then scale (f32) and bias (i32), padded to 64 bytes.
// bias = -128 sum_i q[i] undoes the offset of the stored keys.
struct QueryView {
  const int16_t* wide;
  const int8_t* narrow;
  float scale;
  int32_t bias;
};

HWY_INLINE QueryView ViewQuery(const void* prepared, int head_dim, size_t row_bytes, int row) {
  const uint8_t* p = static_cast<const uint8_t*>(prepared) + static_cast<size_t>(row) * row_bytes;
  QueryView view;
  view.wide = reinterpret_cast<const int16_t*>(p);
  view.narrow = reinterpret_cast<const int8_t*>(p) + 2 * head_dim;
  std::memcpy(&view.scale, p + 3 * head_dim, 4);
  std::memcpy(&view.bias, p + 3 * head_dim + 4, 4);
  return view;
}

// scores = dot * key scale * query scale, for the N tokens from t.
template <class DI>
HWY_INLINE void StoreScores(DI di, hn::Vec<DI> dot, const float* key_scales, float query_scale, size_t t,
                            float* scores) {
  const hn::Rebind<float, DI> df;
  const auto scaled = hn::Mul(hn::ConvertTo(df, dot), hn::LoadU(df, key_scales + t));
  hn::StoreU(hn::Mul(scaled, hn::Set(df, query_scale)), df, scores + t);
}

// Fetches as much of the values as is read of the keys in one step of 4 dimensions, if this is the first tile
// of a page. They follow the keys in a block; were they elsewhere, nothing but time would be lost.
HWY_INLINE void PrefetchValues(const uint8_t* keys, int head_dim, int i) {
  const uint8_t* values = keys + static_cast<size_t>(kPageTokens) * (head_dim + sizeof(float) + i);
  for (int j = 0; j < 4 * kPageTokens; j += 64) __builtin_prefetch(values + j);
}

#if THRONG_VNNI

// All 64 tokens of kRows rows: four vectors of 16 tokens, four dimensions per step.
template <int kRows, bool kPrefetch>
HWY_INLINE void ScoreTile(const uint8_t* keys, const float* key_scales, const QueryView* queries,
                          int head_dim, float* scores) {
  const hn::ScalableTag<int32_t> di;
  if (kPrefetch) {
    for (int i = 0; i < head_dim; i += 4) PrefetchValues(keys, head_dim, i);
  }
  __m512i sum[kRows][4];
  const int8_t* codes[kRows];
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    codes[r] = queries[r].narrow;
    HWY_UNROLL(8)
    for (int v = 0; v < 4; ++v) sum[r][v] = _mm512_set1_epi32(queries[r].bias);
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
HWY_INLINE void ScoreTile(const uint8_t* keys, const float* key_scales, const QueryView* queries,
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
        std::memcpy(&four, queries[r].wide + i, sizeof(four));
        const __m256i query = _mm256_set1_epi64x(four);
        sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(key0, query));
        sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(key1, query));
      }
    }
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      // Tokens 0 1 4 5 | 2 3 6 7, put in order.
      const __m256i pairs = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sum[r][0], sum[r][1]), 0xd8);
      const __m256i dot = _mm256_add_epi32(pairs, _mm256_set1_epi32(queries[r].bias));
      StoreScores(di, hn::Vec<decltype(di)>{dot}, key_scales, queries[r].scale, t, scores + r * kPageTokens);
    }
  }
}

#else

template <int kRows, bool kPrefetch>
HWY_INLINE void ScoreTile(const uint8_t* keys, const float* key_scales, const QueryView* queries,
                          int head_dim, float* scores) {
  for (int r = 0; r < kRows; ++r) {
    int32_t dot[kPageTokens];
    for (int32_t& x : dot) x = queries[r].bias;
    for (int i = 0; i < head_dim; i += 4) {
      const uint8_t* key = keys + static_cast<size_t>(i) * kPageTokens;
      for (int t = 0; t < kPageTokens; ++t) {
        for (int j = 0; j < 4; ++j) dot[t] += key[t * 4 + j] * queries[r].wide[i + j];
      }
    }
    for (int t = 0; t < kPageTokens; ++t) {
      scores[r * kPageTokens + t] = static_cast<float>(dot[t]) * key_scales[t] * queries[r].scale;
    }
  }
}

#endif

void ScoreInt8(const uint8_t* keys, const void* prepared, size_t row_bytes, int head_dim, int num_rows,
               float* scores) {
  const float* key_scales =
      reinterpret_cast<const float*>(keys + static_cast<size_t>(kPageTokens) * head_dim);
  int r = 0;
  for (; r + 4 <= num_rows; r += 4) {
    QueryView queries[4];
    for (int j = 0; j < 4; ++j) queries[j] = ViewQuery(prepared, head_dim, row_bytes, r + j);
    float* to = scores + r * kPageTokens;
    r == 0 ? ScoreTile<4, true>(keys, key_scales, queries, head_dim, to)
           : ScoreTile<4, false>(keys, key_scales, queries, head_dim, to);
  }
  for (; r < num_rows; ++r) {
    const QueryView query = ViewQuery(prepared, head_dim, row_bytes, r);
    float* to = scores + r * kPageTokens;
    r == 0 ? ScoreTile<1, true>(keys, key_scales, &query, head_dim, to)
           : ScoreTile<1, false>(keys, key_scales, &query, head_dim, to);
  }
}

// weights[t] = round(p[t] s[t] / unit), 0..32767; returns unit = max / 32767.
HWY_INLINE float QuantizeWeights(const float* probabilities, const float* value_scales, int16_t* weights) {
  const hn::CappedTag<float, 16> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<int16_t, decltype(df)> dw;
  constexpr size_t kN = hn::MaxLanes(df);
  constexpr size_t kVecs = kPageTokens / kN;
  hn::Vec<decltype(df)> products[kVecs];
  auto largest = hn::Zero(df);
  HWY_UNROLL(16)
  for (size_t v = 0; v < kVecs; ++v) {
    products[v] = hn::Mul(hn::LoadU(df, probabilities + v * kN), hn::LoadU(df, value_scales + v * kN));
    largest = hn::Max(largest, products[v]);
  }
  const float top = hn::GetLane(hn::MaxOfLanes(df, largest));
  // Below this the quotient overflows; such weights count as 0.
  if (!(top > 1e-30f)) {
    std::memset(weights, 0, kPageTokens * sizeof(int16_t));
    return 0.0f;
  }
  const auto inverse = hn::Set(df, 32767.0f / top);
  const auto limit = hn::Set(di, 32767);
  HWY_UNROLL(16)
  for (size_t v = 0; v < kVecs; ++v) {
    const auto w = hn::Min(hn::NearestInt(hn::Mul(products[v], inverse)), limit);
    hn::StoreU(hn::DemoteTo(dw, w), dw, weights + v * kN);
  }
  return top / 32767.0f;
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

template <int kRows>
HWY_INLINE void MixRows(const int8_t* values, const float* value_scales, const float* probabilities,
                        const float* rescale, int head_dim, float* out) {
  const hn::CappedTag<int32_t, 16> di;
  constexpr size_t kN = hn::MaxLanes(di);
  constexpr int kVecs = kN >= 16 ? 4 : 2;
  HWY_ALIGN int16_t weights[kRows][kPageTokens];
  float units[kRows];
  for (int r = 0; r < kRows; ++r) {
    units[r] = QuantizeWeights(probabilities + r * kPageTokens, value_scales, weights[r]);
  }
  const size_t d = static_cast<size_t>(head_dim);
  size_t c = 0;
  for (; c + kVecs * kN <= d; c += kVecs * kN) {
    MixTile<kRows, kVecs>(di, values, weights, units, rescale, head_dim, c, out);
  }
  for (; c + kN <= d; c += kN) MixTile<kRows, 1>(di, values, weights, units, rescale, head_dim, c, out);
  if (c < d) {
    MixTile<kRows, 1>(hn::CappedTag<int32_t, 8>(), values, weights, units, rescale, head_dim, c, out);
  }
}

float QuantizeBoundedRow(const float* row, int head_dim, int8_t* codes) {
  return QuantizeRow(row, head_dim, kLargestElement, codes);
}

void EncodeInt8(bool keys, const float* block, int head_dim, uint8_t* encoded) {
  const size_t d = static_cast<size_t>(head_dim);
  float* scales = reinterpret_cast<float*>(encoded + kPageTokens * d);
  int8_t codes[kMaxHeadDim];
  for (size_t t = 0; t < kPageTokens; ++t) {
    scales[t] = QuantizeBoundedRow(block + t * d, head_dim, codes);
    if (keys) {
      // 4 bytes at once; flipping the top bit adds 128.
      for (size_t i = 0; i < d; i += 4) {
        const uint32_t four = static_cast<uint32_t>(FourBytes(codes + i)) ^ 0x80808080u;
        std::memcpy(encoded + (i / 4 * kPageTokens + t) * 4, &four, sizeof(four));
      }
    } else {
      uint8_t* to = encoded + t / 2 * d * 2 + t % 2;
      for (size_t i = 0; i < d; ++i) to[2 * i] = static_cast<uint8_t>(codes[i]);
    }
  }
}

void MixInt8(const uint8_t* encoded, const float* probabilities, const float* rescale, int head_dim,
             int num_rows, float* out) {
  const int8_t* values = reinterpret_cast<const int8_t*>(encoded);
  const float* value_scales =
      reinterpret_cast<const float*>(encoded + static_cast<size_t>(kPageTokens) * head_dim);
  int r = 0;
  for (; r + 4 <= num_rows; r += 4) {
    MixRows<4>(values, value_scales, probabilities + r * kPageTokens, rescale + r, head_dim,
               out + r * head_dim);
  }
  for (; r < num_rows; ++r) {
    MixRows<1>(values, value_scales, probabilities + r * kPageTokens, rescale + r, head_dim,
               out + r * head_dim);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::kv {
namespace {

HWY_EXPORT(ScoreInt8);
HWY_EXPORT(MixInt8);
HWY_EXPORT(QuantizeBoundedRow);
HWY_EXPORT(EncodeInt8);

class Int8 : public Codec {
 public:
  explicit Int8(int head_dim) : head_dim_(head_dim) {}

  std::string Name() const override { return "int8"; }
  ByteCounts Count(Part) const override {
    return {.codes = static_cast<size_t>(kPageTokens) * head_dim_, .scales = kPageTokens * sizeof(float)};
  }

  void Encode(Part part, const float* block, uint8_t* encoded) const override {
    HWY_DYNAMIC_DISPATCH(EncodeInt8)(part == Part::kKeys, block, head_dim_, encoded);
  }
  void Decode(Part part, const uint8_t* encoded, float* block) const override {
    const float* scales = reinterpret_cast<const float*>(encoded + Count(part).codes);
    for (int t = 0; t < kPageTokens; ++t) {
      for (int i = 0; i < head_dim_; ++i) {
        const auto code = static_cast<int8_t>(encoded[Index(part, t, i)] - Offset(part));
        block[static_cast<size_t>(t) * head_dim_ + i] = static_cast<float>(code) * scales[t];
      }
    }
  }

  size_t QueryBytes() const override { return (3 * static_cast<size_t>(head_dim_) + 8 + 63) / 64 * 64; }
  void PrepareQuery(const float* query, void* prepared) const override {
    auto* bytes = static_cast<uint8_t*>(prepared);
    int8_t codes[kMaxHeadDim];
    int16_t wide[kMaxHeadDim];
    const float scale = HWY_DYNAMIC_DISPATCH(QuantizeBoundedRow)(query, head_dim_, codes);
    int32_t sum = 0;
    for (int i = 0; i < head_dim_; ++i) {
      wide[i] = codes[i];
      sum += codes[i];
    }
    const int32_t bias = -128 * sum;
    std::memcpy(bytes, wide, 2 * head_dim_);
    std::memcpy(bytes + 2 * head_dim_, codes, head_dim_);
    std::memcpy(bytes + 3 * head_dim_, &scale, 4);
    std::memcpy(bytes + 3 * head_dim_ + 4, &bias, 4);
  }

  void Score(const uint8_t* keys, const void* prepared, int num_rows, float* scores) const override {
    HWY_DYNAMIC_DISPATCH(ScoreInt8)(keys, prepared, QueryBytes(), head_dim_, num_rows, scores);
  }
  void Mix(const uint8_t* values, const float* probabilities, const float* rescale, int num_rows,
           float* out) const override {
    HWY_DYNAMIC_DISPATCH(MixInt8)(values, probabilities, rescale, head_dim_, num_rows, out);
  }

 private:
  static int Offset(Part part) { return part == Part::kKeys ? 128 : 0; }
  size_t Index(Part part, int t, int i) const {
    if (part == Part::kKeys) return (static_cast<size_t>(i / 4) * kPageTokens + t) * 4 + i % 4;
    return (static_cast<size_t>(t / 2) * head_dim_ + i) * 2 + t % 2;
  }

  const int head_dim_;
};

}  // namespace

std::shared_ptr<const Codec> MakeInt8(int head_dim) { return std::make_shared<Int8>(head_dim); }

}  // namespace throng::kv
#endif  // HWY_ONCE
