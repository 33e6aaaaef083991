#include "model/recurrence.h"

#include <algorithm>
#include <cmath>
#include <vector>

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

float Dot(const float* a, const float* b, size_t n) {
  const DF df;
  VF sums = hn::Zero(df);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sums = hn::MulAdd(hn::LoadU(df, a + i), hn::LoadU(df, b + i), sums);
  float sum = hn::GetLane(hn::SumOfLanes(df, sums));
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// Rows of a group that are in registers while tokens pass.
constexpr size_t kHeldRows = kLanes == 16 ? 8 : kLanes == 8 ? 2 : 1;
// Tokens that pass at once: what they add and read takes 16 KiB.
constexpr size_t kTokensAtOnce = 64;

// Calls pass(tokens, first, group, columns) for each group of columns and each run of tokens: `columns` says
// where their values and results are, through buffers if the group is partial.
struct Columns {
  alignas(64) float values[kTokensAtOnce][kStateColumns];
  alignas(64) float out[kTokensAtOnce][kStateColumns];
};

template <class Token, class Pass>
HWY_INLINE void ForGroups(const StateShape& shape, std::span<const Token> tokens, float* state, Pass pass) {
  Columns columns;
  for (size_t first = 0; first < shape.values; first += kStateColumns, state += shape.keys * kStateColumns) {
    const size_t count = std::min(kStateColumns, shape.values - first);
    for (size_t begin = 0; begin < tokens.size(); begin += kTokensAtOnce) {
      const auto some = tokens.subspan(begin, std::min(kTokensAtOnce, tokens.size() - begin));
      for (size_t t = 0; t < some.size(); ++t) {
        std::copy_n(some[t].value + first, count, columns.values[t]);
        std::fill(columns.values[t] + count, columns.values[t] + kStateColumns, 0.0f);
      }
      pass(some, begin, state, columns);
      for (size_t t = 0; t < some.size(); ++t) std::copy_n(columns.out[t], count, some[t].out + first);
    }
  }
}

// Columns of key state and query state.
struct Reads {
  VF of_key[kSums][kVectors];
  VF of_query[kSums][kVectors];

  HWY_INLINE Reads() {
    for (size_t c = 0; c < kSums; ++c) {
      for (size_t v = 0; v < kVectors; ++v) of_key[c][v] = of_query[c][v] = hn::Zero(DF());
    }
  }
  HWY_INLINE void Add(size_t sum, size_t v, VF state, VF key, VF query) {
    of_key[sum][v] = hn::MulAdd(state, key, of_key[sum][v]);
    of_query[sum][v] = hn::MulAdd(state, query, of_query[sum][v]);
  }
  HWY_INLINE void Finish() {
    for (size_t c = 1; c < kSums; ++c) {
      for (size_t v = 0; v < kVectors; ++v) {
        of_key[0][v] = hn::Add(of_key[0][v], of_key[c][v]);
        of_query[0][v] = hn::Add(of_query[0][v], of_query[c][v]);
      }
    }
  }
};

// Calls row(i, sum) for each row of a group: in which of the sums its products go depends on the row alone.
template <class Row>
HWY_INLINE void ForRowsOfGroup(size_t keys, Row row) {
  size_t i = 0;
  for (; i + kSums <= keys; i += kSums) {
#pragma GCC unroll 4
    for (size_t c = 0; c < kSums; ++c) row(i + c, c);
  }
  for (; i < keys; ++i) row(i, 0);
}

void DeltaStepsOf(const StateShape& shape, std::span<const DeltaToken> tokens, float* state) {
  const size_t keys = shape.keys;
  std::vector<float> products(tokens.size());
  for (size_t t = 0; t < tokens.size(); ++t) products[t] = Dot(tokens[t].query, tokens[t].key, keys);
  const auto pass = [&](std::span<const DeltaToken> some, size_t begin, float* group,
                        Columns& columns) HWY_ATTR {
    const DF df;
    // query (decay state + key^T delta) = decay (query state) + (query key) delta, so one pass over the group
    // finds what both the delta and the result need; and it changes the group for the token before.
    Reads reads;
    ForRowsOfGroup(keys, [&](size_t i, size_t sum) HWY_ATTR {
      const VF k = hn::Set(df, some[0].key[i]);
      const VF q = hn::Set(df, some[0].query[i]);
#pragma GCC unroll 8
      for (size_t v = 0; v < kVectors; ++v) {
        reads.Add(sum, v, hn::LoadU(df, group + i * kStateColumns + v * kLanes), k, q);
      }
    });
    for (size_t t = 0; t < some.size(); ++t) {
      const VF decay = hn::Set(df, some[t].decay);
      const VF product = hn::Set(df, products[begin + t]);
      reads.Finish();
      VF delta[kVectors];
      for (size_t v = 0; v < kVectors; ++v) {
        const VF value = hn::Load(df, columns.values[t] + v * kLanes);
        const VF missing = hn::Sub(value, hn::Mul(decay, reads.of_key[0][v]));
        delta[v] = hn::Mul(hn::Set(df, some[t].beta), missing);
        hn::Store(hn::MulAdd(product, delta[v], hn::Mul(decay, reads.of_query[0][v])), df,
                  columns.out[t] + v * kLanes);
      }
      const float* key = some[t].key;
      const auto update = [&](size_t i, size_t v) HWY_ATTR {
        float* at = group + i * kStateColumns + v * kLanes;
        const VF s = hn::MulAdd(hn::Set(df, key[i]), delta[v], hn::Mul(decay, hn::LoadU(df, at)));
        hn::StoreU(s, df, at);
        return s;
      };
      if (t + 1 == some.size()) {
        ForRowsOfGroup(keys, [&](size_t i, size_t) HWY_ATTR {
#pragma GCC unroll 8
          for (size_t v = 0; v < kVectors; ++v) update(i, v);
        });
        return;
      }
      const float* next_key = some[t + 1].key;
      const float* next_query = some[t + 1].query;
      reads = Reads();
      ForRowsOfGroup(keys, [&](size_t i, size_t sum) HWY_ATTR {
        const VF k = hn::Set(df, next_key[i]);
        const VF q = hn::Set(df, next_query[i]);
#pragma GCC unroll 8
        for (size_t v = 0; v < kVectors; ++v) reads.Add(sum, v, update(i, v), k, q);
      });
    }
  };
  ForGroups(shape, tokens, state, pass);
}

// Rows [0, kRows) of a group see all tokens before others do: a result is a sum over rows, one after the
// other.
template <size_t kRows>
HWY_INLINE void DecayRows(std::span<const DecayToken> tokens, size_t row, float* group, Columns& columns) {
  const DF df;
  VF state[kRows][kVectors];
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) {
    for (size_t v = 0; v < kVectors; ++v) state[i][v] = hn::LoadU(df, group + i * kStateColumns + v * kLanes);
  }
  for (size_t t = 0; t < tokens.size(); ++t) {
    const VF decay = hn::Set(df, tokens[t].decay);
    const float* key = tokens[t].key + row;
    const float* query = tokens[t].query + row;
#pragma GCC unroll 8
    for (size_t v = 0; v < kVectors; ++v) {
      const VF added = hn::Load(df, columns.values[t] + v * kLanes);
      VF read = hn::Load(df, columns.out[t] + v * kLanes);
#pragma GCC unroll 8
      for (size_t i = 0; i < kRows; ++i) {
        state[i][v] = hn::MulAdd(hn::Set(df, key[i]), added, hn::Mul(decay, state[i][v]));
        read = hn::MulAdd(hn::Set(df, query[i]), state[i][v], read);
      }
      hn::Store(read, df, columns.out[t] + v * kLanes);
    }
  }
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) {
    for (size_t v = 0; v < kVectors; ++v) hn::StoreU(state[i][v], df, group + i * kStateColumns + v * kLanes);
  }
}

void DecayStepsOf(const StateShape& shape, std::span<const DecayToken> tokens, float* state) {
  const size_t keys = shape.keys;
  const auto pass = [keys](std::span<const DecayToken> some, size_t, float* group, Columns& columns)
                        HWY_ATTR {
                          const DF df;
                          for (size_t t = 0; t < some.size(); ++t) {
                            for (size_t i = 0; i < kStateColumns; i += kLanes) {
                              const VF x = hn::Load(df, columns.values[t] + i);
                              hn::Store(hn::Mul(hn::Set(df, some[t].weight), x), df, columns.values[t] + i);
                              hn::Store(hn::Mul(hn::Set(df, some[t].skip), x), df, columns.out[t] + i);
                            }
                          }
                          size_t row = 0;
                          for (; row + kHeldRows <= keys; row += kHeldRows) {
                            DecayRows<kHeldRows>(some, row, group + row * kStateColumns, columns);
                          }
                          for (; row < keys; ++row)
                            DecayRows<1>(some, row, group + row * kStateColumns, columns);
                        };
  ForGroups(shape, tokens, state, pass);
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
