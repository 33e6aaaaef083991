// Shared kernels of the codecs with integer products: weights of 15 bits, and sums of products of codes.
#if defined(THRONG_KV_INTEGER_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_INTEGER_ROWS_INL_H_
#undef THRONG_KV_INTEGER_ROWS_INL_H_
#else
#define THRONG_KV_INTEGER_ROWS_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"
#include "kv/codec.h"
#include "kv/finite.h"
#include "kv/vnni-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// sum + two products of 16-bit weights and values, in each 32-bit lane.
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

// A page's weights are integers times `unit`.
struct WeightUnit {
  float unit;
  int32_t sum;  // of the integers
};

// weights[t] = round(product / unit), 0..32767, unit = the largest product / 32767. product(df, t): the
// products of probabilities and scales of the tokens from t on, not negative.
template <class Product>
HWY_INLINE WeightUnit QuantizeWeights(const Product& product, int16_t* weights) {
  const hn::CappedTag<float, 16> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<int16_t, decltype(df)> dw;
  constexpr size_t kN = hn::MaxLanes(df);
  constexpr size_t kVecs = kPageTokens / kN;
  hn::Vec<decltype(df)> products[kVecs];
  auto largest = hn::Zero(df);
  HWY_UNROLL(16)
  for (size_t v = 0; v < kVecs; ++v) {
    products[v] = product(df, v * kN);
    largest = hn::Max(largest, products[v]);
  }
  const float top = hn::GetLane(hn::MaxOfLanes(df, largest));
  if (!(top > kLeastScale)) {
    std::memset(weights, 0, kPageTokens * sizeof(int16_t));
    return {0.0f, 0};
  }
  const auto inverse = hn::Set(df, 32767.0f / top);
  const auto limit = hn::Set(di, 32767);
  auto sum = hn::Zero(di);
  HWY_UNROLL(16)
  for (size_t v = 0; v < kVecs; ++v) {
    const auto w = hn::Min(hn::NearestInt(hn::Mul(products[v], inverse)), limit);
    sum = hn::Add(sum, w);
    hn::StoreU(hn::DemoteTo(dw, w), dw, weights + v * kN);
  }
  return {top / 32767.0f, hn::GetLane(hn::SumOfLanes(di, sum))};
}

#if THRONG_VNNI

// A page's codes, unpacked to one unsigned byte each: [d / 4, 64, 4].
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
