// kv::Finite of every lane of a vector.
#if defined(THRONG_KV_FINITE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_FINITE_INL_H_
#undef THRONG_KV_FINITE_INL_H_
#else
#define THRONG_KV_FINITE_INL_H_
#endif

#include "hwy/highway.h"
#include "kv/finite.h"

HWY_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class DF>
HWY_INLINE hn::Vec<DF> FiniteLanes(DF df, hn::Vec<DF> x, float largest = kLargestElement) {
  const auto limit = hn::Set(df, largest);
  return hn::Max(hn::Min(hn::IfThenElseZero(hn::Eq(x, x), x), limit), hn::Neg(limit));
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_FINITE_INL_H_
