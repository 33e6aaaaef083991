#include "attention/softmax.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "attention/softmax.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h, which includes it once per target.
#include "attention/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::attention {
namespace HWY_NAMESPACE {

void SoftmaxPageImpl(const Visible* visible, int num_rows, const float* thresholds, float* scores, float* max,
                     float* sum, float* rescale) {
  const hn::CappedTag<float, 16> df;
  for (int r = 0; r < num_rows; ++r) {
    float* row = scores + r * kv::kPageTokens;
    const auto [begin, end] = visible[r];
    if (begin >= end) {
      std::fill(row, row + kv::kPageTokens, 0.0f);
      rescale[r] = 1.0f;
      continue;
    }
    std::fill(row, row + begin, -std::numeric_limits<float>::infinity());
    std::fill(row + end, row + kv::kPageTokens, -std::numeric_limits<float>::infinity());
    rescale[r] = thresholds == nullptr ? SoftmaxRow(df, ExactExponential(), row, max[r], sum[r])
                                       : SoftmaxRow(df, SasExponential(thresholds[r]), row, max[r], sum[r]);
  }
}

void ScaleRowImpl(const float* in, int size, float factor, float* out) {
  const hn::CappedTag<float, 8> df;
  const auto by = hn::Set(df, factor);
  for (int i = 0; i < size; i += static_cast<int>(hn::Lanes(df))) {
    hn::StoreU(hn::Add(hn::Mul(hn::LoadU(df, in + i), by), hn::Zero(df)), df, out + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::attention
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::attention {

HWY_EXPORT(SoftmaxPageImpl);
HWY_EXPORT(ScaleRowImpl);

void SoftmaxPage(const Visible* visible, int num_rows, const float* thresholds, float* scores, float* max,
                 float* sum, float* rescale) {
  HWY_DYNAMIC_DISPATCH(SoftmaxPageImpl)(visible, num_rows, thresholds, scores, max, sum, rescale);
}

void ScaleRow(const float* in, int size, float factor, float* out) {
  HWY_DYNAMIC_DISPATCH(ScaleRowImpl)(in, size, factor, out);
}

}  // namespace throng::attention
#endif  // HWY_ONCE
