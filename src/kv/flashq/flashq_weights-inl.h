// Integer weights for packed codes: queries with a page's scales folded in, probabilities of 8 bits, and sums
// of their products. flashq-inl.h shares these parts between its targets.
#if defined(THRONG_KV_FLASHQ_WEIGHTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_FLASHQ_WEIGHTS_INL_H_
#undef THRONG_KV_FLASHQ_WEIGHTS_INL_H_
#else
#define THRONG_KV_FLASHQ_WEIGHTS_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"
#include "kv/codec.h"
#include "kv/finite.h"
#include "kv/integer_query.h"
#include "kv/integer_rows-inl.h"

THRONG_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A view of the scales and zero points that follow the codes of a block.
struct FlashqScales {
  const uint8_t* scale;  // s2 [d]
  const int8_t* zero;    // z [d]
  float block;           // s1
};

HWY_INLINE FlashqScales ViewScales(const uint8_t* encoded, int bits, int head_dim) {
  const size_t d = static_cast<size_t>(head_dim);
  FlashqScales view;
  view.scale = encoded + kPageTokens * d * bits / 8;
  view.zero = reinterpret_cast<const int8_t*>(view.scale + d);
  std::memcpy(&view.block, view.scale + 2 * d, sizeof(view.block));
  return view;
}

// A row's probabilities of a page: w = round(255 p / max p), so that p is about scale * w.
struct FlashqProbabilities {
  alignas(64) uint8_t weights[kPageTokens];
  float sum;    // sum of w
  float scale;  // includes the page's s1
};

#if THRONG_VNNI

HWY_INLINE void QuantizeProbabilities(const float* p, float block_scale, FlashqProbabilities& out) {
  __m512 in[4];
  HWY_UNROLL(4)
  for (int v = 0; v < 4; ++v) in[v] = _mm512_loadu_ps(p + 16 * v);
  const __m512 largest = _mm512_max_ps(_mm512_max_ps(in[0], in[1]), _mm512_max_ps(in[2], in[3]));
  const float top = _mm512_reduce_max_ps(largest);
  const __m512 inverse = _mm512_set1_ps(top > kLeastScale ? 255.0f / top : 0.0f);
  __m512i w[4];
  HWY_UNROLL(4)
  for (int v = 0; v < 4; ++v) w[v] = _mm512_cvtps_epi32(_mm512_mul_ps(in[v], inverse));
  // Packed within blocks of 128 bits, then put in order.
  const __m512i packed = _mm512_packus_epi16(_mm512_packs_epi32(w[0], w[1]), _mm512_packs_epi32(w[2], w[3]));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i weights = _mm512_permutexvar_epi32(order, packed);
  _mm512_store_si512(out.weights, weights);
  const __m512i fours = AddFours(_mm512_setzero_si512(), weights, _mm512_set1_epi8(1));
  out.sum = static_cast<float>(_mm512_reduce_add_epi32(fours));
  out.scale = top > kLeastScale ? top * (block_scale / 255.0f) : 0.0f;
}

#else

HWY_INLINE void QuantizeProbabilities(const float* p, float block_scale, FlashqProbabilities& out) {
  const hn::CappedTag<float, 8> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<uint8_t, decltype(df)> db;
  const size_t N = hn::Lanes(df);
  auto largest = hn::Zero(df);
  for (size_t t = 0; t < kPageTokens; t += N) largest = hn::Max(largest, hn::LoadU(df, p + t));
  const float top = hn::GetLane(hn::MaxOfLanes(df, largest));
  const auto inverse = hn::Set(df, top > kLeastScale ? 255.0f / top : 0.0f);
  auto sum = hn::Zero(di);
  for (size_t t = 0; t < kPageTokens; t += N) {
    const auto w = hn::NearestInt(hn::Mul(hn::LoadU(df, p + t), inverse));
    sum = hn::Add(sum, w);
    hn::StoreU(hn::DemoteTo(db, w), db, out.weights + t);
  }
  out.sum = static_cast<float>(hn::GetLane(hn::SumOfLanes(di, sum)));
  out.scale = top > kLeastScale ? top * (block_scale / 255.0f) : 0.0f;
}

#endif

#if THRONG_AVX2

// q s2 of a page's channels as 128 high + low, with the bias from the zero points.
struct FoldedQuery {
  alignas(64) int8_t high[kMaxHeadDim];
  alignas(64) int8_t low[kMaxHeadDim];
  int32_t bias;  // sum of q z
  float scale;
};

HWY_INLINE void FoldQuery(const IntegerQuery& query, const FlashqScales& scales, int head_dim,
                          FoldedQuery& out) {
  const hn::CappedTag<int16_t, 8> dw;
  const hn::Rebind<int8_t, decltype(dw)> db;
  const hn::Rebind<uint8_t, decltype(dw)> du;
  const hn::RepartitionToWide<decltype(dw)> di;
  auto bias = hn::Zero(di);
  auto odd = hn::Zero(di);
  for (int i = 0; i < head_dim; i += 8) {
    const auto q = hn::PromoteTo(dw, hn::LoadU(db, query.codes + i));
    const auto folded = hn::Mul(q, hn::PromoteTo(dw, hn::LoadU(du, scales.scale + i)));
    const auto high = hn::ShiftRight<7>(hn::Add(folded, hn::Set(dw, 64)));
    const auto low = hn::Sub(folded, hn::ShiftLeft<7>(high));
    hn::StoreU(hn::DemoteTo(db, high), db, out.high + i);
    hn::StoreU(hn::DemoteTo(db, low), db, out.low + i);
    bias = hn::ReorderWidenMulAccumulate(di, q, hn::PromoteTo(dw, hn::LoadU(db, scales.zero + i)), bias, odd);
  }
  out.bias = hn::GetLane(hn::SumOfLanes(di, hn::Add(bias, odd)));
  out.scale = query.scale * scales.block;
}

// Sums of products of codes and folded queries, four per lane of 32 bits. A step adds at most 2 * 15 * 127 to
// a sum of 16 bits.
class DigitSums {
 public:
  static constexpr int kSteps = 8;  // between two calls of Flush
  HWY_INLINE void Clear() { high_ = low_ = total_ = _mm256_setzero_si256(); }
  HWY_INLINE void Add(__m256i codes, __m256i high, __m256i low) {
    high_ = _mm256_add_epi16(high_, _mm256_maddubs_epi16(codes, high));
    low_ = _mm256_add_epi16(low_, _mm256_maddubs_epi16(codes, low));
  }
  HWY_INLINE void Flush() {
    total_ = _mm256_add_epi32(total_, _mm256_madd_epi16(high_, _mm256_set1_epi16(128)));
    total_ = _mm256_add_epi32(total_, _mm256_madd_epi16(low_, _mm256_set1_epi16(1)));
    high_ = low_ = _mm256_setzero_si256();
  }
  HWY_INLINE __m256i Total() const { return total_; }

 private:
  __m256i high_, low_, total_;
};

#endif  // THRONG_AVX2

#if THRONG_VNNI || THRONG_AVX2

// Sums of products of weights and codes, four per lane of 32 bits.
template <class DI>
class WeightSums {
 public:
  using V = hn::Vec<DI>;

#if THRONG_VNNI
  static constexpr int kSteps = 1 << 20;  // between two calls of Flush
  HWY_INLINE void Clear(DI di) { total_ = hn::Zero(di); }
  HWY_INLINE void Add(V weights, V codes) { total_.raw = AddFours(total_.raw, weights.raw, codes.raw); }
  HWY_INLINE void Flush() {}
#else
  // A step adds at most 2 * 255 * 15 to a sum of 16 bits.
  static constexpr int kSteps = 4;
  HWY_INLINE void Clear(DI di) { part_ = total_ = hn::Zero(di); }
  HWY_INLINE void Add(V weights, V codes) {
    part_.raw = _mm256_add_epi16(part_.raw, _mm256_maddubs_epi16(weights.raw, codes.raw));
  }
  HWY_INLINE void Flush() {
    total_.raw = _mm256_add_epi32(total_.raw, _mm256_madd_epi16(part_.raw, _mm256_set1_epi16(1)));
    part_.raw = _mm256_setzero_si256();
  }
#endif
  HWY_INLINE V Total() const { return total_; }

 private:
#if !THRONG_VNNI
  V part_;
#endif
  V total_;
};

#endif  // THRONG_VNNI || THRONG_AVX2

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_FLASHQ_WEIGHTS_INL_H_
