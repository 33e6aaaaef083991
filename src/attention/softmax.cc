#include "attention/softmax.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "attention/softmax.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h, which includes it once per target.
#include "attention/softmax-inl.h"
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::attention {
namespace HWY_NAMESPACE {

// Masks the tokens that a row does not see. Returns true if it sees any.
HWY_INLINE bool Mask(Visible visible, float* row) {
  const auto [begin, end] = visible;
  if (begin == 0 && end == kv::kPageTokens) return true;
  const float hidden = -std::numeric_limits<float>::infinity();
  if (begin < end) {
    std::fill(row, row + begin, hidden);
    std::fill(row + end, row + kv::kPageTokens, hidden);
  }
  return begin < end;
}

// Takes several rows through each step together, which hides the latency of each row's maximum and sum.
template <class Exponential>
HWY_INLINE void SoftmaxRows(const Visible* visible, int num_rows, const float* thresholds, float* scores,
                            float* max, float* sum, float* rescale) {
  constexpr int kRows = 16;
  const Exponential exponential;
  const hn::CappedTag<float, 16> df;
  constexpr int kN = static_cast<int>(hn::MaxLanes(df));
  HWY_ALIGN float limits[kRows] = {}, before[kRows] = {}, after[kRows] = {}, factors[kRows];
  for (int first = 0; first < num_rows; first += kRows) {
    const int count = HWY_MIN(kRows, num_rows - first);
    for (int r = 0; r < count; ++r) {
      float* row = scores + (first + r) * kv::kPageTokens;
      limits[r] = thresholds == nullptr ? 0.0f : thresholds[first + r];
      before[r] = after[r] = max[first + r];
      if (Mask(visible[first + r], row)) after[r] = HWY_MAX(before[r], Largest(df, row));
    }
    for (int r = 0; r < count; r += kN) {
      const auto from = hn::Load(df, before + r);
      const auto to = hn::Load(df, after + r);
      const auto factor = exponential(df, hn::Sub(from, to), hn::Load(df, limits + r));
      hn::Store(hn::IfThenElse(hn::Eq(from, to), hn::Set(df, 1.0f), factor), df, factors + r);
    }
    for (int r = 0; r < count; ++r) {
      float* row = scores + (first + r) * kv::kPageTokens;
      rescale[first + r] = factors[r];
      if (visible[first + r].begin >= visible[first + r].end) {
        std::fill(row, row + kv::kPageTokens, 0.0f);
        continue;
      }
      max[first + r] = after[r];
      sum[first + r] =
          sum[first + r] * factors[r] + ExponentialRow(df, exponential, after[r], limits[r], row);
    }
  }
}

void SoftmaxPageImpl(const Visible* visible, int num_rows, const float* thresholds, float* scores, float* max,
                     float* sum, float* rescale) {
  if (thresholds == nullptr) {
    SoftmaxRows<ExactExponential>(visible, num_rows, thresholds, scores, max, sum, rescale);
  } else {
    SoftmaxRows<SasExponential>(visible, num_rows, thresholds, scores, max, sum, rescale);
  }
}

void CapScoresImpl(float cap, int num_rows, float* scores) {
  const hn::CappedTag<float, 16> df;
  const auto by = hn::Set(df, cap);
  // Bounded where tanh is 1 in floats.
  const auto bound = hn::Set(df, 20.0f);
  for (int i = 0; i < num_rows * kv::kPageTokens; i += static_cast<int>(hn::Lanes(df))) {
    const auto x = hn::Div(hn::Load(df, scores + i), by);
    hn::Store(hn::Mul(by, hn::Tanh(df, hn::Max(hn::Min(x, bound), hn::Neg(bound)))), df, scores + i);
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
HWY_EXPORT(CapScoresImpl);
HWY_EXPORT(ScaleRowImpl);

void SoftmaxPage(const Visible* visible, int num_rows, const float* thresholds, float* scores, float* max,
                 float* sum, float* rescale) {
  HWY_DYNAMIC_DISPATCH(SoftmaxPageImpl)(visible, num_rows, thresholds, scores, max, sum, rescale);
}

void CapScores(float cap, int num_rows, float* scores) {
  HWY_DYNAMIC_DISPATCH(CapScoresImpl)(cap, num_rows, scores);
}

void ScaleRow(const float* in, int size, float factor, float* out) {
  HWY_DYNAMIC_DISPATCH(ScaleRowImpl)(in, size, factor, out);
}

}  // namespace throng::attention
#endif  // HWY_ONCE
