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
// Sums of as many rows each, so that enough additions are under way at a time.
constexpr size_t kSums = kVectors < 4 ? 4 / kVectors : 1;

// Calls step(token, value, group, out) for each group of columns and each token. The last group goes through
// buffers if it is partial.
template <class Token, class Step>
HWY_INLINE void ForGroups(const StateShape& shape, std::span<const Token> tokens, float* state, Step step) {
  for (size_t first = 0; first < shape.values; first += kStateColumns, state += shape.keys * kStateColumns) {
    const size_t count = std::min(kStateColumns, shape.values - first);
    HWY_ALIGN float value[kStateColumns] = {};
    HWY_ALIGN float out[kStateColumns];
    for (const Token& token : tokens) {
      if (count == kStateColumns) {
        step(token, token.value + first, state, token.out + first);
        continue;
      }
      std::copy_n(token.value + first, count, value);
      step(token, value, state, out);
      std::copy_n(out, count, token.out + first);
    }
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

// Columns of key state and query state.
struct Reads {
  VF of_key[kSums][kVectors];
  VF of_query[kSums][kVectors];

  HWY_INLINE void Add(size_t sum, const float* row, float key, float query) {
    const DF df;
    const VF k = hn::Set(df, key);
    const VF q = hn::Set(df, query);
#pragma GCC unroll 8
    for (size_t v = 0; v < kVectors; ++v) {
      const VF s = hn::LoadU(df, row + v * kLanes);
      of_key[sum][v] = hn::MulAdd(s, k, of_key[sum][v]);
      of_query[sum][v] = hn::MulAdd(s, q, of_query[sum][v]);
    }
  }
};

HWY_INLINE Reads ReadGroup(size_t keys, const float* group, const float* key, const float* query) {
  Reads reads;
  for (size_t c = 0; c < kSums; ++c) {
    for (size_t v = 0; v < kVectors; ++v) reads.of_key[c][v] = reads.of_query[c][v] = hn::Zero(DF());
  }
  size_t i = 0;
  for (; i + kSums <= keys; i += kSums) {
#pragma GCC unroll 4
    for (size_t c = 0; c < kSums; ++c)
      reads.Add(c, group + (i + c) * kStateColumns, key[i + c], query[i + c]);
  }
  for (; i < keys; ++i) reads.Add(0, group + i * kStateColumns, key[i], query[i]);
  for (size_t c = 1; c < kSums; ++c) {
    for (size_t v = 0; v < kVectors; ++v) {
      reads.of_key[0][v] = hn::Add(reads.of_key[0][v], reads.of_key[c][v]);
      reads.of_query[0][v] = hn::Add(reads.of_query[0][v], reads.of_query[c][v]);
    }
  }
  return reads;
}

void DeltaStepsOf(const StateShape& shape, std::span<const DeltaToken> tokens, float* state) {
  const size_t keys = shape.keys;
  const auto step = [keys](const DeltaToken& token, const float* value, float* group, float* out) HWY_ATTR {
    const DF df;
    const VF decay = hn::Set(df, token.decay);
    // query (decay state + key^T delta) = decay (query state) + (query key) delta, so one pass over the group
    // finds what both the delta and the result need.
    const VF product = hn::Set(df, Dot(token.query, token.key, keys));
    const Reads reads = ReadGroup(keys, group, token.key, token.query);
    VF delta[kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      const VF missing = hn::Sub(hn::LoadU(df, value + v * kLanes), hn::Mul(decay, reads.of_key[0][v]));
      delta[v] = hn::Mul(hn::Set(df, token.beta), missing);
      hn::StoreU(hn::MulAdd(product, delta[v], hn::Mul(decay, reads.of_query[0][v])), df, out + v * kLanes);
    }
    const float* key = token.key;
    for (size_t i = 0; i < keys; ++i, group += kStateColumns) {
      const VF k = hn::Set(df, key[i]);
#pragma GCC unroll 8
      for (size_t v = 0; v < kVectors; ++v) {
        const VF s = hn::Mul(decay, hn::LoadU(df, group + v * kLanes));
        hn::StoreU(hn::MulAdd(k, delta[v], s), df, group + v * kLanes);
      }
    }
  };
  ForGroups(shape, tokens, state, step);
}

void DecayStepsOf(const StateShape& shape, std::span<const DecayToken> tokens, float* state) {
  const size_t keys = shape.keys;
  const auto step = [keys](const DecayToken& token, const float* value, float* group, float* out) HWY_ATTR {
    const DF df;
    const VF decay = hn::Set(df, token.decay);
    VF added[kVectors];
    VF read[kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      const VF x = hn::LoadU(df, value + v * kLanes);
      added[v] = hn::Mul(hn::Set(df, token.weight), x);
      read[v] = hn::Mul(hn::Set(df, token.skip), x);
    }
    const float* key = token.key;
    const float* query = token.query;
    for (size_t i = 0; i < keys; ++i, group += kStateColumns) {
      const VF k = hn::Set(df, key[i]);
      const VF q = hn::Set(df, query[i]);
#pragma GCC unroll 8
      for (size_t v = 0; v < kVectors; ++v) {
        const VF s = hn::MulAdd(k, added[v], hn::Mul(decay, hn::LoadU(df, group + v * kLanes)));
        hn::StoreU(s, df, group + v * kLanes);
        read[v] = hn::MulAdd(q, s, read[v]);
      }
    }
    for (size_t v = 0; v < kVectors; ++v) hn::StoreU(read[v], df, out + v * kLanes);
  };
  ForGroups(shape, tokens, state, step);
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

HWY_EXPORT(DeltaStepsOf);
HWY_EXPORT(DecayStepsOf);
HWY_EXPORT(ConvolveOf);

void DeltaSteps(const StateShape& shape, std::span<const DeltaToken> tokens, float* state) {
  HWY_DYNAMIC_DISPATCH(DeltaStepsOf)(shape, tokens, state);
}

void DecaySteps(const StateShape& shape, std::span<const DecayToken> tokens, float* state) {
  HWY_DYNAMIC_DISPATCH(DecayStepsOf)(shape, tokens, state);
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
