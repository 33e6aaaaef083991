// Weights of two 8-bit digits, and sums of their products with packed codes: the parts of flashq-inl.h.
#if defined(THRONG_KV_FLASHQ_DIGITS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_FLASHQ_DIGITS_INL_H_
#undef THRONG_KV_FLASHQ_DIGITS_INL_H_
#else
#define THRONG_KV_FLASHQ_DIGITS_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"
#include "kv/codec.h"

#undef THRONG_FLASHQ_VNNI
#undef THRONG_FLASHQ_SIMD
#if HWY_TARGET == HWY_AVX3_DL
#define THRONG_FLASHQ_VNNI 1
#else
#define THRONG_FLASHQ_VNNI 0
#endif
#if HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_AVX2
#define THRONG_FLASHQ_SIMD 1
#else
#define THRONG_FLASHQ_SIMD 0
#endif

// Highway's AVX-512 target with VNNI leaves out the flag for it.
#if THRONG_FLASHQ_VNNI
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What follows the codes of a block.
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

// Weights 128 high + low of one row: q s2 per channel (Score), or w per token (Mix).
template <int kSize>
struct FlashqWeights {
  alignas(64) int8_t high[kSize];
  alignas(64) int8_t low[kSize];
  int32_t bias;  // Score: sum of q z; Mix: sum of w
  float scale;
};
using FlashqQuery = FlashqWeights<kMaxHeadDim>;
using FlashqProbabilities = FlashqWeights<kPageTokens>;

// Folds a page's channel scales into channels [i, i + N) of the query.
template <class DW, class VD>
HWY_INLINE VD FoldChannels(DW dw, const int8_t* codes, const FlashqScales& scales, int i, FlashqQuery& query,
                           VD bias) {
  const hn::Rebind<int8_t, DW> db;
  const hn::Rebind<uint8_t, DW> du;
  const hn::RepartitionToWide<DW> di;
  const auto q = hn::PromoteTo(dw, hn::LoadU(db, codes + i));
  const auto folded = hn::Mul(q, hn::PromoteTo(dw, hn::LoadU(du, scales.scale + i)));
  const auto high = hn::ShiftRight<7>(hn::Add(folded, hn::Set(dw, 64)));
  const auto low = hn::Sub(folded, hn::ShiftLeft<7>(high));
  hn::StoreU(hn::DemoteTo(db, high), db, query.high + i);
  hn::StoreU(hn::DemoteTo(db, low), db, query.low + i);
  auto odd = hn::Zero(di);
  bias = hn::ReorderWidenMulAccumulate(di, q, hn::PromoteTo(dw, hn::LoadU(db, scales.zero + i)), bias, odd);
  return hn::Add(bias, odd);
}

void FoldQuery(const int8_t* codes, const FlashqScales& scales, int head_dim, FlashqQuery& query) {
  const hn::CappedTag<int16_t, 32> dw;
  const hn::CappedTag<int16_t, 8> dw8;
  const hn::RepartitionToWide<decltype(dw)> di;
  const hn::RepartitionToWide<decltype(dw8)> di8;
  const int N = static_cast<int>(hn::Lanes(dw));
  auto bias = hn::Zero(di);
  auto bias8 = hn::Zero(di8);
  int i = 0;
  for (; i + N <= head_dim; i += N) bias = FoldChannels(dw, codes, scales, i, query, bias);
  for (; i < head_dim; i += 8) bias8 = FoldChannels(dw8, codes, scales, i, query, bias8);
  query.bias = hn::GetLane(hn::SumOfLanes(di, bias)) + hn::GetLane(hn::SumOfLanes(di8, bias8));
  float scale;
  std::memcpy(&scale, codes + head_dim, sizeof(scale));
  query.scale = scale * scales.block;
}

// w = round(p 16383 / max p) as two digits of 7 bits.
void QuantizeProbabilities(const float* p, float block_scale, FlashqProbabilities& weights) {
  const hn::CappedTag<float, 16> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<int8_t, decltype(df)> db;
  constexpr size_t kN = hn::MaxLanes(df);
  auto largest = hn::Zero(df);
  for (size_t t = 0; t < kPageTokens; t += kN) largest = hn::Max(largest, hn::LoadU(df, p + t));
  const float top = hn::GetLane(hn::MaxOfLanes(df, largest));
  // Below this the quotient overflows; such rows count as 0.
  const bool vanishes = !(top > 1e-30f);
  const auto inverse = hn::Set(df, vanishes ? 0.0f : 16383.0f / top);
  const auto limit = hn::Set(di, 16383);
  auto sum = hn::Zero(di);
  for (size_t t = 0; t < kPageTokens; t += kN) {
    const auto rounded = hn::NearestInt(hn::Mul(hn::LoadU(df, p + t), inverse));
    const auto w = hn::Max(hn::Min(rounded, limit), hn::Zero(di));
    sum = hn::Add(sum, w);
    hn::StoreU(hn::DemoteTo(db, hn::ShiftRight<7>(w)), db, weights.high + t);
    hn::StoreU(hn::DemoteTo(db, hn::And(w, hn::Set(di, 127))), db, weights.low + t);
  }
  weights.bias = hn::GetLane(hn::SumOfLanes(di, sum));
  weights.scale = vanishes ? 0.0f : top / 16383.0f * block_scale;
}

#if THRONG_FLASHQ_SIMD

HWY_INLINE int32_t FourWeights(const int8_t* p) {
  int32_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return bits;
}

// Sums of products of unsigned codes and the two digits of weights, four per lane of 32 bits.
template <class DI>
class DigitSums {
 public:
  using V = hn::Vec<DI>;
  using VU = hn::Vec<hn::Repartition<uint8_t, DI>>;

#if THRONG_FLASHQ_VNNI
  // Steps between two calls of Flush.
  static constexpr int kSteps = 1 << 20;
  HWY_INLINE void Clear(DI di) { high_ = low_ = hn::Zero(di); }
  HWY_INLINE void Add(VU codes, V high, V low) {
    high_ = MulAddFours(high_, codes, high);
    low_ = MulAddFours(low_, codes, low);
  }
  HWY_INLINE void Flush(DI) {}
  HWY_INLINE V Total(DI) const { return hn::Add(hn::ShiftLeft<7>(high_), low_); }

 private:
  static HWY_INLINE V MulAddFours(V sum, VU codes, V weights) {
    if constexpr (hn::MaxLanes(DI()) == 16) {
      return V{_mm512_dpbusd_epi32(sum.raw, codes.raw, weights.raw)};
    } else {
      return V{_mm256_dpbusd_epi32(sum.raw, codes.raw, weights.raw)};
    }
  }
  V high_, low_;
#else
  // A step adds at most 2 * 15 * 127 to a sum of 16 bits.
  static constexpr int kSteps = 8;
  HWY_INLINE void Clear(DI di) { high_ = low_ = total_ = hn::Zero(di); }
  HWY_INLINE void Add(VU codes, V high, V low) {
    high_.raw = _mm256_add_epi16(high_.raw, _mm256_maddubs_epi16(codes.raw, high.raw));
    low_.raw = _mm256_add_epi16(low_.raw, _mm256_maddubs_epi16(codes.raw, low.raw));
  }
  HWY_INLINE void Flush(DI di) {
    total_.raw = _mm256_add_epi32(total_.raw, _mm256_madd_epi16(high_.raw, _mm256_set1_epi16(128)));
    total_.raw = _mm256_add_epi32(total_.raw, _mm256_madd_epi16(low_.raw, _mm256_set1_epi16(1)));
    high_ = low_ = hn::Zero(di);
  }
  HWY_INLINE V Total(DI) const { return total_; }

 private:
  V high_, low_, total_;
#endif
};

#endif  // THRONG_FLASHQ_SIMD

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_FLASHQ_DIGITS_INL_H_
