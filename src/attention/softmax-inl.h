// The online softmax of one page: 64 scores of a row become probabilities relative to the row's running
// maximum.
#if defined(THRONG_ATTENTION_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_ATTENTION_SOFTMAX_INL_H_
#undef THRONG_ATTENTION_SOFTMAX_INL_H_
#else
#define THRONG_ATTENTION_SOFTMAX_INL_H_
#endif

#include "attention/sas.h"
#include "hwy/highway.h"
#include "kv/codec.h"

HWY_BEFORE_NAMESPACE();
namespace throng::attention {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// e^x for x <= 0, within 2 units in the last place; exactly 0 below -87, where results would become denormal.
// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial, whose first missing term is r^8 / 8! <
// 6e-9.
template <class DF>
HWY_INLINE hn::Vec<DF> ExpNegative(DF df, hn::Vec<DF> x) {
  const hn::RebindToSigned<DF> di;
  const auto lowest = hn::Set(df, -87.0f);
  const auto vanishes = hn::Lt(x, lowest);
  x = hn::Max(x, lowest);
  const auto n = hn::Round(hn::Mul(x, hn::Set(df, 1.44269504f)));
  // ln 2 in two parts, the first with few bits, so that n times it is exact.
  auto r = hn::NegMulAdd(n, hn::Set(df, 0x1.62ep-1f), x);
  r = hn::NegMulAdd(n, hn::Set(df, 0x1.0bfbe8p-15f), r);
  auto e = hn::Set(df, 1.0f / 5040);
  e = hn::MulAdd(e, r, hn::Set(df, 1.0f / 720));
  e = hn::MulAdd(e, r, hn::Set(df, 1.0f / 120));
  e = hn::MulAdd(e, r, hn::Set(df, 1.0f / 24));
  e = hn::MulAdd(e, r, hn::Set(df, 1.0f / 6));
  e = hn::MulAdd(e, r, hn::Set(df, 0.5f));
  e = hn::MulAdd(e, r, hn::Set(df, 1.0f));
  e = hn::MulAdd(e, r, hn::Set(df, 1.0f));
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::IfThenZeroElse(vanishes, hn::Mul(e, hn::BitCast(df, exponent)));
}

struct ExactExponential {
  template <class DF>
  HWY_INLINE hn::Vec<DF> operator()(DF df, hn::Vec<DF> x, hn::Vec<DF>) const {
    return ExpNegative(df, x);
  }
};

HWY_ALIGN constexpr float kOnes[4] = {1.0f, 0.36787944f, 0.13533528f, 0.04978707f};
HWY_ALIGN constexpr float kFours[4] = {1.0f, 0.01831564f, 3.3546263e-4f, 6.1442124e-6f};

// For vectors that hold all products of the two tables.
struct Powers {
  constexpr Powers() {
    for (int k = 0; k < 16; ++k) e[k] = kOnes[k % 4] * kFours[k / 4];
  }
  HWY_ALIGN float e[16] = {};
};
constexpr Powers kPowers;

// SAS(-x), see sas.h. e^-k for k < 16 is the product of two tables of four, which fit the vectors of every
// target; the product's error of 1e-7 is negligible beside the cubic's 1e-3.
struct SasExponential {
  template <class DF>
  HWY_INLINE hn::Vec<DF> operator()(DF df, hn::Vec<DF> x, hn::Vec<DF> threshold) const {
    const hn::RebindToSigned<DF> di;
    const auto down = hn::Neg(x);
    const auto vanishes = hn::Gt(down, threshold);  // false for NaN, which stays NaN
    const auto whole = hn::ConvertTo(di, hn::Min(down, hn::Set(df, kLargestSasThreshold)));
    const auto f = hn::Sub(down, hn::ConvertTo(df, whole));
    auto e = hn::MulAdd(hn::Set(df, kSasCubic[0]), f, hn::Set(df, kSasCubic[1]));
    e = hn::MulAdd(e, f, hn::Set(df, kSasCubic[2]));
    e = hn::MulAdd(e, f, hn::Set(df, kSasCubic[3]));
    return hn::IfThenZeroElse(vanishes, hn::Mul(e, Power(df, whole)));
  }

 private:
  // e^-k for 0 <= k < 16; meaningless for other k.
  template <class DF, class VI>
  static HWY_INLINE hn::Vec<DF> Power(DF df, VI k) {
    const hn::RebindToSigned<DF> di;
    if constexpr (hn::MaxLanes(df) == 16) {
      const auto at = hn::IndicesFromVec(df, hn::And(k, hn::Set(di, 15)));
      return hn::TableLookupLanes(hn::Load(df, kPowers.e), at);
    } else {
      const auto three = hn::Set(di, 3);
      const auto ones =
          hn::TableLookupLanes(hn::LoadDup128(df, kOnes), hn::IndicesFromVec(df, hn::And(k, three)));
      const auto fours = hn::TableLookupLanes(hn::LoadDup128(df, kFours),
                                              hn::IndicesFromVec(df, hn::And(hn::ShiftRight<2>(k), three)));
      return hn::Mul(ones, fours);
    }
  }
};

template <class DF>
HWY_INLINE float Largest(DF df, const float* row) {
  constexpr size_t kN = hn::MaxLanes(df);
  auto top = hn::LoadU(df, row);
  HWY_UNROLL(8)
  for (size_t t = kN; t < kv::kPageTokens; t += kN) top = hn::Max(top, hn::LoadU(df, row + t));
  return hn::GetLane(hn::MaxOfLanes(df, top));
}

// Turns a row's scores into e^(score - max) and returns their sum. Adds lanes 0-7 of even and of odd groups
// of 8 separately, in order, so vectors of 8 and of 16 give the same sum.
template <class DF, class Exponential>
HWY_INLINE float ExponentialRow(DF df, const Exponential& exponential, float max, float threshold,
                                float* row) {
  const hn::CappedTag<float, 8> d8;
  constexpr size_t kN = hn::MaxLanes(df);
  constexpr size_t kGroups = kN >= 16 ? 1 : 2;
  static_assert(kN == 16 || kN == 8 || kN == 4);
  const auto shift = hn::Set(df, max);
  const auto limit = hn::Set(df, threshold);
  hn::Vec<DF> total[kGroups];
  HWY_UNROLL(2)
  for (size_t g = 0; g < kGroups; ++g) total[g] = hn::Zero(df);
  HWY_UNROLL(4)
  for (size_t t = 0; t < kv::kPageTokens; t += kGroups * kN) {
    HWY_UNROLL(2)
    for (size_t g = 0; g < kGroups; ++g) {
      const auto p = exponential(df, hn::Sub(hn::LoadU(df, row + t + g * kN), shift), limit);
      hn::StoreU(p, df, row + t + g * kN);
      total[g] = hn::Add(total[g], p);
    }
  }
  hn::Vec<decltype(d8)> both;
  if constexpr (kGroups == 1) {
    both = hn::Add(hn::LowerHalf(d8, total[0]), hn::UpperHalf(d8, total[0]));
  } else {
    both = hn::Add(total[0], total[1]);
  }
  return hn::GetLane(hn::SumOfLanes(d8, both));
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::attention
HWY_AFTER_NAMESPACE();

#endif  // THRONG_ATTENTION_SOFTMAX_INL_H_
