#include "model/row_ops.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/row_ops.cc"
// The order matters:
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using VF = hn::Vec<DF>;

// out[i] = function(a[i], b[i]). The last, partial vector goes through a buffer, so that every element sees
// the same instructions.
template <class Function>
HWY_INLINE void Map(const float* a, const float* b, size_t n, float* out, Function function) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(function(hn::LoadU(df, a + i), hn::LoadU(df, b + i)), df, out + i);
  }
  if (i == n) return;
  HWY_ALIGN float part_a[hn::MaxLanes(DF())] = {};
  HWY_ALIGN float part_b[hn::MaxLanes(DF())] = {};
  std::copy(a + i, a + n, part_a);
  std::copy(b + i, b + n, part_b);
  hn::Store(function(hn::Load(df, part_a), hn::Load(df, part_b)), df, part_a);
  std::copy(part_a, part_a + (n - i), out + i);
}

struct Sum {
  HWY_INLINE VF operator()(VF x, VF y) const { return hn::Add(x, y); }
};

struct Times {
  HWY_INLINE VF operator()(VF x, VF y) const { return hn::Mul(x, y); }
};

struct ScaledSum {
  VF factor;
  HWY_INLINE VF operator()(VF x, VF y) const { return hn::MulAdd(y, factor, x); }
};

struct ScaledBy {
  VF factor;
  HWY_INLINE VF operator()(VF x, VF /*unused*/) const { return hn::Mul(x, factor); }
};

// 1 / (1 + exp(-x))
HWY_INLINE VF Divisor(VF x) {
  const DF df;
  const VF e = hn::Exp(df, hn::Neg(hn::Max(hn::Min(x, hn::Set(df, 80.0f)), hn::Set(df, -80.0f))));
  return hn::Add(hn::Set(df, 1.0f), e);
}

struct CappedBy {
  VF cap;
  HWY_INLINE VF operator()(VF x, VF /*unused*/) const {
    const DF df;
    // Bounded where tanh is 1 in floats.
    const VF bound = hn::Set(df, 20.0f);
    return hn::Mul(cap, hn::Tanh(df, hn::Max(hn::Min(hn::Div(x, cap), bound), hn::Neg(bound))));
  }
};

struct TimesSigmoidOf {
  HWY_INLINE VF operator()(VF x, VF gate) const { return hn::Div(x, Divisor(gate)); }
};

struct Silu {
  HWY_INLINE VF operator()(VF x) const { return hn::Div(x, Divisor(x)); }
};

struct GeluTanh {
  HWY_INLINE VF operator()(VF x) const {
    const DF df;
    const VF cubic = hn::MulAdd(hn::Mul(hn::Set(df, 0.044715f), hn::Mul(x, x)), x, x);
    // Bounded where tanh is 1 in floats.
    const VF bound = hn::Set(df, 20.0f);
    const VF y = hn::Max(hn::Min(hn::Mul(hn::Set(df, 0.79788456f), cubic), bound), hn::Neg(bound));
    const VF half = hn::Mul(hn::Set(df, 0.5f), x);
    return hn::MulAdd(half, hn::Tanh(df, y), half);
  }
};

// Rounded to the 11 bits of half precision (Veltkamp's splitting), which small numbers have here too.
HWY_INLINE VF InHalf(VF x) {
  const VF scaled = hn::Mul(x, hn::Set(DF(), 8193.0f));
  return hn::Sub(scaled, hn::Sub(scaled, x));
}

struct GeluTanhInHalves {
  HWY_INLINE VF operator()(VF x) const {
    const DF df;
    const VF ten = hn::Set(df, 10.0f);
    const VF inner = InHalf(GeluTanh()(InHalf(x)));
    return hn::IfThenElse(hn::Lt(hn::Abs(x), ten), inner, hn::Max(x, hn::Zero(df)));
  }
};

struct ReluSquared {
  HWY_INLINE VF operator()(VF x) const {
    const VF positive = hn::Max(x, hn::Zero(DF()));
    return hn::Mul(positive, positive);
  }
};

template <class Function>
struct Gated {
  HWY_INLINE VF operator()(VF x, VF up) const { return hn::Mul(Function()(x), up); }
};

template <class Function>
struct Alone {
  HWY_INLINE VF operator()(VF x, VF /*unused*/) const { return Function()(x); }
};

struct ClampedSwiglu {
  HWY_INLINE VF operator()(VF x, VF up) const {
    const DF df;
    const VF limit = hn::Set(df, 7.0f);
    const VF gate = hn::Min(x, limit);
    const VF silu = hn::Div(gate, Divisor(hn::Mul(hn::Set(df, 1.702f), gate)));
    const VF linear = hn::Max(hn::Min(up, limit), hn::Neg(limit));
    return hn::Mul(silu, hn::Add(linear, hn::Set(df, 1.0f)));
  }
};

void RmsNormRow(const float* x, const float* weight, float epsilon, size_t n, float* out) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  VF squares = hn::Zero(df);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VF v = hn::LoadU(df, x + i);
    squares = hn::MulAdd(v, v, squares);
  }
  float sum = hn::GetLane(hn::SumOfLanes(df, squares));
  for (; i < n; ++i) sum += x[i] * x[i];
  const float inverse = 1.0f / std::sqrt(sum / static_cast<float>(n) + epsilon);
  Map(x, x, n, out, ScaledBy{hn::Set(df, inverse)});
  if (weight != nullptr) Map(out, weight, n, out, Times());
}

// Sum over all elements, in the order of RmsNormRow.
template <class Function>
HWY_INLINE float SumOf(const float* x, size_t n, Function function) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  VF sums = hn::Zero(df);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) sums = hn::Add(sums, function(hn::LoadU(df, x + i)));
  float sum = hn::GetLane(hn::SumOfLanes(df, sums));
  for (; i < n; ++i) sum += hn::GetLane(function(hn::Set(df, x[i])));
  return sum;
}

struct Identity {
  HWY_INLINE VF operator()(VF x) const { return x; }
};

struct SquareOfDifference {
  VF mean;
  HWY_INLINE VF operator()(VF x) const {
    const VF difference = hn::Sub(x, mean);
    return hn::Mul(difference, difference);
  }
};

struct Minus {
  VF mean;
  HWY_INLINE VF operator()(VF x, VF /*unused*/) const { return hn::Sub(x, mean); }
};

struct Above {
  VF cutoff;
  HWY_INLINE VF operator()(VF x, VF /*unused*/) const { return hn::Max(hn::Sub(x, cutoff), hn::Zero(DF())); }
};

void LayerNormRow(const float* x, const float* weight, const float* bias, float epsilon, size_t n,
                  float* out) {
  const DF df;
  const auto count = static_cast<float>(n);
  const VF mean = hn::Set(df, SumOf(x, n, Identity()) / count);
  const float variance = SumOf(x, n, SquareOfDifference{mean}) / count;
  Map(x, x, n, out, Minus{mean});
  Map(out, out, n, out, ScaledBy{hn::Set(df, 1.0f / std::sqrt(variance + epsilon))});
  if (weight != nullptr) Map(out, weight, n, out, Times());
  if (bias != nullptr) Map(out, bias, n, out, Sum());
}

float LengthOfRow(const float* x, size_t n) {
  return std::sqrt(SumOf(x, n, SquareOfDifference{hn::Zero(DF())}));
}

void KeepOutliersOfRow(float* x, float deviations, size_t n) {
  const DF df;
  const float mean = SumOf(x, n, Identity()) / static_cast<float>(n);
  const float variance =
      SumOf(x, n, SquareOfDifference{hn::Set(df, mean)}) / static_cast<float>(std::max<size_t>(n, 2) - 1);
  Map(x, x, n, x, Above{hn::Set(df, mean + deviations * std::sqrt(variance))});
}

void AddRow(float* x, const float* y, size_t n) { Map(x, y, n, x, Sum()); }
void AddScaledRow(float* x, const float* y, float factor, size_t n) {
  Map(x, y, n, x, ScaledSum{hn::Set(DF(), factor)});
}
void MultiplyRow(float* x, const float* y, size_t n) { Map(x, y, n, x, Times()); }
void ScaleRow(float* x, float factor, size_t n) { Map(x, x, n, x, ScaledBy{hn::Set(DF(), factor)}); }
void SoftCapRow(float* x, float cap, size_t n) { Map(x, x, n, x, CappedBy{hn::Set(DF(), cap)}); }
void TimesSigmoidRow(float* x, const float* gate, size_t n) { Map(x, gate, n, x, TimesSigmoidOf()); }

void GateRow(Activation activation, float* gate, const float* up, size_t n) {
  switch (activation) {
    case Activation::kSilu:
      return Map(gate, up, n, gate, Gated<Silu>());
    case Activation::kGeluTanh:
      return Map(gate, up, n, gate, Gated<GeluTanh>());
    case Activation::kGeluTanhInHalves:
      return Map(gate, up, n, gate, Gated<GeluTanhInHalves>());
    case Activation::kReluSquared:
      return Map(gate, up, n, gate, Gated<ReluSquared>());
    case Activation::kClampedSwiglu:
      return Map(gate, up, n, gate, ClampedSwiglu());
  }
}

void ActivateRow(Activation activation, float* x, size_t n) {
  switch (activation) {
    case Activation::kSilu:
      return Map(x, x, n, x, Alone<Silu>());
    case Activation::kGeluTanh:
      return Map(x, x, n, x, Alone<GeluTanh>());
    case Activation::kGeluTanhInHalves:
      return Map(x, x, n, x, Alone<GeluTanhInHalves>());
    case Activation::kReluSquared:
      return Map(x, x, n, x, Alone<ReluSquared>());
    case Activation::kClampedSwiglu:
      break;
  }
  THRONG_CHECK(false);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::model {

HWY_EXPORT(RmsNormRow);
HWY_EXPORT(AddRow);
HWY_EXPORT(AddScaledRow);
HWY_EXPORT(MultiplyRow);
HWY_EXPORT(LengthOfRow);
HWY_EXPORT(KeepOutliersOfRow);
HWY_EXPORT(ScaleRow);
HWY_EXPORT(LayerNormRow);
HWY_EXPORT(SoftCapRow);
HWY_EXPORT(TimesSigmoidRow);
HWY_EXPORT(GateRow);
HWY_EXPORT(ActivateRow);

void RmsNorm(const float* x, const float* weight, float epsilon, size_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(RmsNormRow)(x, weight, epsilon, n, out);
}
void AddTo(float* x, const float* y, size_t n) { HWY_DYNAMIC_DISPATCH(AddRow)(x, y, n); }
void AddScaled(float* x, const float* y, float factor, size_t n) {
  HWY_DYNAMIC_DISPATCH(AddScaledRow)(x, y, factor, n);
}
void MultiplyBy(float* x, const float* y, size_t n) { HWY_DYNAMIC_DISPATCH(MultiplyRow)(x, y, n); }
float Length(const float* x, size_t n) { return HWY_DYNAMIC_DISPATCH(LengthOfRow)(x, n); }
void KeepOutliers(float* x, float deviations, size_t n) {
  HWY_DYNAMIC_DISPATCH(KeepOutliersOfRow)(x, deviations, n);
}
void Scale(float* x, float factor, size_t n) { HWY_DYNAMIC_DISPATCH(ScaleRow)(x, factor, n); }
void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon, size_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(LayerNormRow)(x, weight, bias, epsilon, n, out);
}
void SoftCap(float* x, float cap, size_t n) { HWY_DYNAMIC_DISPATCH(SoftCapRow)(x, cap, n); }
void TimesSigmoid(float* x, const float* gate, size_t n) {
  HWY_DYNAMIC_DISPATCH(TimesSigmoidRow)(x, gate, n);
}
void Gate(Activation activation, float* gate, const float* up, size_t n) {
  HWY_DYNAMIC_DISPATCH(GateRow)(activation, gate, up, n);
}
void Activate(Activation activation, float* x, size_t n) {
  HWY_DYNAMIC_DISPATCH(ActivateRow)(activation, x, n);
}

void RotateAdjacent(float* head, const float* cos, const float* sin, size_t n) {
  for (size_t i = 0; i < n / 2; ++i) {
    const float a = head[2 * i];
    const float b = head[2 * i + 1];
    head[2 * i] = a * cos[i] - b * sin[i];
    head[2 * i + 1] = a * sin[i] + b * cos[i];
  }
}

void RotateHalves(float* head, const float* cos, const float* sin, size_t n) {
  float* upper = head + n / 2;
  for (size_t i = 0; i < n / 2; ++i) {
    const float a = head[i];
    const float b = upper[i];
    head[i] = a * cos[i] - b * sin[i];
    upper[i] = a * sin[i] + b * cos[i];
  }
}

}  // namespace throng::model
#endif  // HWY_ONCE
