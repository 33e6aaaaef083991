// The online softmax of one page: 64 scores of a row become probabilities relative to the row's running
// maximum.
#if defined(THRONG_ATTENTION_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_ATTENTION_SOFTMAX_INL_H_
#undef THRONG_ATTENTION_SOFTMAX_INL_H_
#else
#define THRONG_ATTENTION_SOFTMAX_INL_H_
#endif

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

// max and sum are the row's running maximum (-inf at first) and sum; returns what its output must be
// multiplied by. Vectors of 8 on every newer target, so that these all add in the same order.
HWY_INLINE float SoftmaxRow(float* scores, float& max, float& sum) {
  const hn::CappedTag<float, 8> df;
  const size_t N = hn::Lanes(df);
  auto top = hn::LoadU(df, scores);
  for (size_t t = N; t < kv::kPageTokens; t += N) top = hn::Max(top, hn::LoadU(df, scores + t));
  const float new_max = HWY_MAX(max, hn::GetLane(hn::MaxOfLanes(df, top)));
  const float rescale = hn::GetLane(ExpNegative(df, hn::Set(df, max - new_max)));
  const auto shift = hn::Set(df, new_max);
  auto total0 = hn::Zero(df);
  auto total1 = hn::Zero(df);
  for (size_t t = 0; t < kv::kPageTokens; t += 2 * N) {
    const auto p0 = ExpNegative(df, hn::Sub(hn::LoadU(df, scores + t), shift));
    const auto p1 = ExpNegative(df, hn::Sub(hn::LoadU(df, scores + t + N), shift));
    hn::StoreU(p0, df, scores + t);
    hn::StoreU(p1, df, scores + t + N);
    total0 = hn::Add(total0, p0);
    total1 = hn::Add(total1, p1);
  }
  max = new_max;
  const float added = hn::GetLane(hn::SumOfLanes(df, hn::Add(total0, total1)));
  sum = sum * rescale + added;
  return rescale;
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::attention
HWY_AFTER_NAMESPACE();

#endif  // THRONG_ATTENTION_SOFTMAX_INL_H_
