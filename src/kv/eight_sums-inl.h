// Sums of doubles in one fixed order, whatever the length of vectors.
#if defined(THRONG_KV_EIGHT_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef THRONG_KV_EIGHT_SUMS_INL_H_
#undef THRONG_KV_EIGHT_SUMS_INL_H_
#else
#define THRONG_KV_EIGHT_SUMS_INL_H_
#endif

#include <cstddef>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Lane i of vector v is sum 8 / kVecs v + i.
struct EightSums {
  using DD = hn::CappedTag<double, 8>;
  using V = hn::Vec<DD>;
  static constexpr size_t kVecs = 8 / hn::MaxLanes(DD());
  V sum[kVecs];
  HWY_INLINE void Clear() {
    HWY_UNROLL(4)
    for (size_t v = 0; v < kVecs; ++v) sum[v] = hn::Zero(DD());
  }
  // Adds in a fixed tree: sums 4 apart, then 2, then 1.
  HWY_INLINE double Total() {
    HWY_UNROLL(4)
    for (size_t apart = kVecs / 2; apart > 0; apart /= 2) {
      HWY_UNROLL(4)
      for (size_t v = 0; v < apart; ++v) sum[v] = hn::Add(sum[v], sum[v + apart]);
    }
    return TotalOf(DD(), sum[0]);
  }

 private:
  template <class D>
  static HWY_INLINE double TotalOf(D d, hn::Vec<D> v) {
    if constexpr (hn::MaxLanes(D()) == 2) {
      return hn::GetLane(v) + hn::ExtractLane(v, 1);
    } else {
      const hn::Half<D> half;
      return TotalOf(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#endif  // THRONG_KV_EIGHT_SUMS_INL_H_
