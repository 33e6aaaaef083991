#include "model/row_ops.h"

#include <algorithm>
#include <cmath>

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

struct ScaledBy {
  VF factor;
  HWY_INLINE VF operator()(VF x, VF /*unused*/) const { return hn::Mul(x, factor); }
};

// x / (1 + exp(-x)) * up
struct SiluTimes {
  HWY_INLINE VF operator()(VF x, VF up) const {
    const DF df;
    const VF e = hn::Exp(df, hn::Neg(hn::Max(hn::Min(x, hn::Set(df, 80.0f)), hn::Set(df, -80.0f))));
    return hn::Mul(hn::Div(x, hn::Add(hn::Set(df, 1.0f), e)), up);
  }
};

// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) * up
struct GeluTimes {
  HWY_INLINE VF operator()(VF x, VF up) const {
    const DF df;
    const VF cubic = hn::MulAdd(hn::Mul(hn::Set(df, 0.044715f), hn::Mul(x, x)), x, x);
    // Bounded where tanh is 1 in floats.
    const VF bound = hn::Set(df, 20.0f);
    const VF y = hn::Max(hn::Min(hn::Mul(hn::Set(df, 0.79788456f), cubic), bound), hn::Neg(bound));
    const VF half = hn::Mul(hn::Set(df, 0.5f), x);
    return hn::Mul(hn::MulAdd(half, hn::Tanh(df, y), half), up);
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
  Map(out, weight, n, out, Times());
}

void AddRow(float* x, const float* y, size_t n) { Map(x, y, n, x, Sum()); }
void ScaleRow(float* x, float factor, size_t n) { Map(x, x, n, x, ScaledBy{hn::Set(DF(), factor)}); }
void GateSiluRow(float* gate, const float* up, size_t n) { Map(gate, up, n, gate, SiluTimes()); }
void GateGeluRow(float* gate, const float* up, size_t n) { Map(gate, up, n, gate, GeluTimes()); }

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::model {

HWY_EXPORT(RmsNormRow);
HWY_EXPORT(AddRow);
HWY_EXPORT(ScaleRow);
HWY_EXPORT(GateSiluRow);
HWY_EXPORT(GateGeluRow);

void RmsNorm(const float* x, const float* weight, float epsilon, size_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(RmsNormRow)(x, weight, epsilon, n, out);
}
void AddTo(float* x, const float* y, size_t n) { HWY_DYNAMIC_DISPATCH(AddRow)(x, y, n); }
void Scale(float* x, float factor, size_t n) { HWY_DYNAMIC_DISPATCH(ScaleRow)(x, factor, n); }
void GateSilu(float* gate, const float* up, size_t n) { HWY_DYNAMIC_DISPATCH(GateSiluRow)(gate, up, n); }
void GateGelu(float* gate, const float* up, size_t n) { HWY_DYNAMIC_DISPATCH(GateGeluRow)(gate, up, n); }

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
