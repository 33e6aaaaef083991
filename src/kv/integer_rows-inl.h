// What the codecs with integer products share: rows of queries as INT8, and sums of products of codes.
#if defined(THRONG_KV_INTEGER_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_INTEGER_ROWS_INL_H_
#undef THRONG_KV_INTEGER_ROWS_INL_H_
#else
#define THRONG_KV_INTEGER_ROWS_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"
#include "kv/codec.h"
#include "kv/vnni-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

HWY_INLINE int32_t FourBytes(const void* p) {
  int32_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return bits;
}

// codes[i] = round(row[i] / scale), in [-127, 127]; returns the scale. NaN counts as 0, and values are
// clamped to +-bound. head_dim: a multiple of 8.
HWY_INLINE float QuantizeRow(const float* row, int head_dim, float bound, int8_t* codes) {
  const hn::CappedTag<float, 8> df;
  const hn::Rebind<int8_t, decltype(df)> db;
  const size_t N = hn::Lanes(df);
  const size_t d = static_cast<size_t>(head_dim);
  const auto limit = hn::Set(df, bound);
  const auto load = [&](size_t i) THRONG_ATTR {
    const auto x = hn::LoadU(df, row + i);
    return hn::Max(hn::Min(hn::IfThenElseZero(hn::Eq(x, x), x), limit), hn::Neg(limit));
  };
  auto largest = hn::Zero(df);
  for (size_t i = 0; i < d; i += N) largest = hn::Max(largest, hn::Abs(load(i)));
  const float top = hn::GetLane(hn::MaxOfLanes(df, largest));
  // Below this the quotient overflows; such rows count as 0.
  if (!(top > 1e-30f)) {
    std::memset(codes, 0, d);
    return 0.0f;
  }
  const auto inverse = hn::Set(df, 127.0f / top);
  for (size_t i = 0; i < d; i += N) {
    hn::StoreU(hn::DemoteTo(db, hn::NearestInt(hn::Mul(load(i), inverse))), db, codes + i);
  }
  return top / 127.0f;
}

// sum + a pair of products of 16-bit weights and values, in each lane of 32 bits.
template <class DI, class VW>
HWY_INLINE hn::Vec<DI> AddPairs(DI di, VW weights, VW values, hn::Vec<DI> sum) {
#if THRONG_VNNI
  if constexpr (hn::MaxLanes(di) >= 8) {
    return hn::Vec<DI>{AddTwos(sum.raw, weights.raw, values.raw)};
  }
#endif
  auto unused = hn::Zero(di);
  return hn::ReorderWidenMulAccumulate(di, weights, values, sum, unused);
}

#if THRONG_VNNI

// Of a page, unpacked: one unsigned byte for each code, [d / 4, 64, 4].
struct PageBytes {
  alignas(64) uint8_t bytes[kPageTokens * kMaxHeadDim];
};

// sum[r][v] += query r . keys of tokens [16 v, 16 v + 16). keys: [d / 4, 64, 4]; queries: [kRows], of INT8.
template <int kRows>
HWY_INLINE void AddDots(const uint8_t* keys, const int8_t* const* queries, int head_dim,
                        __m512i (&sum)[kRows][4]) {
  for (int c = 0; c < head_dim; c += 4) {
    __m512i key[4];
    HWY_UNROLL(8)
    for (int v = 0; v < 4; ++v) key[v] = _mm512_loadu_si512(keys + c * kPageTokens + v * 64);
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      const __m512i query = _mm512_set1_epi32(FourBytes(queries[r] + c));
      HWY_UNROLL(8)
      for (int v = 0; v < 4; ++v) sum[r][v] = AddFours(sum[r][v], key[v], query);
    }
  }
}

#endif  // THRONG_VNNI

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_INTEGER_ROWS_INL_H_
