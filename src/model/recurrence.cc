#include "model/recurrence.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/recurrence.cc"
// The order matters:
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace throng::model {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using VF = hn::Vec<DF>;

constexpr size_t kLanes = hn::MaxLanes(DF());
constexpr size_t kVectors = kStateColumns / kLanes;  // in a row of a group

// Calls step(value, state, out) for each group of columns. The last one goes through buffers if it is partial.
template <class Step>
HWY_INLINE void ForGroups(const StateShape& shape, const float* value, float* state, float* out, Step step) {
  for (size_t first = 0; first < shape.values; first += kStateColumns, state += shape.keys * kStateColumns) {
    const size_t count = std::min(kStateColumns, shape.values - first);
    if (count == kStateColumns) {
      step(value + first, state, out + first);
      continue;
    }
    HWY_ALIGN float part[kStateColumns] = {};
    HWY_ALIGN float part_of_out[kStateColumns];
    std::copy_n(value + first, count, part);
    step(part, state, part_of_out);
    std::copy_n(part_of_out, count, out + first);
  }
}

float Dot(const float* a, const float* b, size_t n) {
  const DF df;
  VF sums = hn::Zero(df);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sums = hn::MulAdd(hn::LoadU(df, a + i), hn::LoadU(df, b + i), sums);
  float sum = hn::GetLane(hn::SumOfLanes(df, sums));
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

void DeltaStepOf(const StateShape& shape, float decay, float beta, const float* query, const float* key,
                 const float* value, float* state, float* out) {
  const DF df;
  const VF decays = hn::Set(df, decay);
  const VF betas = hn::Set(df, beta);
  // query (decay state + key^T delta) = decay (query state) + (query key) delta, so one pass over the state
  // finds what both the delta and the result need; the second finds the group in the nearest cache.
  const VF products = hn::Set(df, Dot(query, key, shape.keys));
  ForGroups(shape, value, state, out, [&](const float* value_part, float* group, float* out_part) {
    VF of_key[kVectors];
    VF of_query[kVectors];
    for (size_t v = 0; v < kVectors; ++v) of_key[v] = of_query[v] = hn::Zero(df);
    const float* row = group;
    for (size_t i = 0; i < shape.keys; ++i, row += kStateColumns) {
      const VF k = hn::Set(df, key[i]);
      const VF q = hn::Set(df, query[i]);
      for (size_t v = 0; v < kVectors; ++v) {
        const VF s = hn::LoadU(df, row + v * kLanes);
        of_key[v] = hn::MulAdd(s, k, of_key[v]);
        of_query[v] = hn::MulAdd(s, q, of_query[v]);
      }
    }
    VF delta[kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      const VF wanted = hn::LoadU(df, value_part + v * kLanes);
      delta[v] = hn::Mul(betas, hn::Sub(wanted, hn::Mul(decays, of_key[v])));
      hn::StoreU(hn::MulAdd(products, delta[v], hn::Mul(decays, of_query[v])), df, out_part + v * kLanes);
    }
    float* changed = group;
    for (size_t i = 0; i < shape.keys; ++i, changed += kStateColumns) {
      const VF k = hn::Set(df, key[i]);
      for (size_t v = 0; v < kVectors; ++v) {
        const VF s = hn::Mul(decays, hn::LoadU(df, changed + v * kLanes));
        hn::StoreU(hn::MulAdd(k, delta[v], s), df, changed + v * kLanes);
      }
    }
  });
}

void DecayStepOf(const StateShape& shape, float decay, float weight, float skip, const float* query,
                 const float* key, const float* value, float* state, float* out) {
  const DF df;
  const VF decays = hn::Set(df, decay);
  ForGroups(shape, value, state, out, [&](const float* value_part, float* group, float* out_part) {
    VF added[kVectors];
    VF read[kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      const VF x = hn::LoadU(df, value_part + v * kLanes);
      added[v] = hn::Mul(hn::Set(df, weight), x);
      read[v] = hn::Mul(hn::Set(df, skip), x);
    }
    for (size_t i = 0; i < shape.keys; ++i, group += kStateColumns) {
      const VF k = hn::Set(df, key[i]);
      const VF q = hn::Set(df, query[i]);
      for (size_t v = 0; v < kVectors; ++v) {
        const VF s = hn::MulAdd(k, added[v], hn::Mul(decays, hn::LoadU(df, group + v * kLanes)));
        hn::StoreU(s, df, group + v * kLanes);
        read[v] = hn::MulAdd(q, s, read[v]);
      }
    }
    for (size_t v = 0; v < kVectors; ++v) hn::StoreU(read[v], df, out_part + v * kLanes);
  });
}

// count: elements there, at most kLanes are loaded; the others are 0.
HWY_INLINE VF LoadSome(const float* x, size_t count) {
  const DF df;
  if (count >= kLanes) return hn::LoadU(df, x);
  HWY_ALIGN float part[kLanes] = {};
  std::copy_n(x, count, part);
  return hn::Load(df, part);
}

void ConvolveOf(std::span<const float* const> inputs, const float* weights, const float* bias, size_t n,
                float* out) {
  const DF df;
  for (size_t i = 0; i < n; i += kLanes) {
    const size_t left = n - i;
    VF sum = bias == nullptr ? hn::Zero(df) : LoadSome(bias + i, left);
    for (size_t t = 0; t < inputs.size(); ++t) {
      sum = hn::MulAdd(LoadSome(weights + t * n + i, left), LoadSome(inputs[t] + i, left), sum);
    }
    if (left >= kLanes) {
      hn::StoreU(sum, df, out + i);
    } else {
      HWY_ALIGN float part[kLanes];
      hn::Store(sum, df, part);
      std::copy_n(part, left, out + i);
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace throng::model
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::model {

HWY_EXPORT(DeltaStepOf);
HWY_EXPORT(DecayStepOf);
HWY_EXPORT(ConvolveOf);

void DeltaStep(const StateShape& shape, float decay, float beta, const float* query, const float* key,
               const float* value, float* state, float* out) {
  HWY_DYNAMIC_DISPATCH(DeltaStepOf)(shape, decay, beta, query, key, value, state, out);
}

void DecayStep(const StateShape& shape, float decay, float weight, float skip, const float* query,
               const float* key, const float* value, float* state, float* out) {
  HWY_DYNAMIC_DISPATCH(DecayStepOf)(shape, decay, weight, skip, query, key, value, state, out);
}

void Convolve(std::span<const float* const> inputs, const float* weights, const float* bias, size_t n,
              float* out) {
  HWY_DYNAMIC_DISPATCH(ConvolveOf)(inputs, weights, bias, n, out);
}

float Softplus(float x) {
  // exp overflows far above; log(1 + exp(x)) is x in floats from here on.
  return x > 20.0f ? x : std::log1p(std::exp(x));
}

}  // namespace throng::model
#endif  // HWY_ONCE
