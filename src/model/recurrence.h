// What tokens do to the state of a recurrent layer's head, and one row of a short convolution. Each function
// is pure, in one fixed order of operations, in which a token's results do not depend on later tokens.
#pragma once

#include <cstddef>
#include <span>

namespace throng::model {

inline constexpr size_t kStateColumns = 32;

// The state of a head maps keys to values: a matrix [keys, values]. Its columns are in groups of 32, each
// [keys, 32]; what the last group has beyond `values` stays 0.
struct StateShape {
  size_t keys, values;

  size_t Floats() const { return keys * ((values + kStateColumns - 1) / kStateColumns * kStateColumns); }
};

// Tokens of one head, in their order. All columns of a state are independent of each other, so each group of
// them sees all tokens before the next group does, and is read from memory once.

// The gated delta rule (arXiv 2412.06464, equation 10):
//   state *= decay;  state += key^T beta (value - key state);  out = query state
struct DeltaToken {
  float decay, beta;
  const float* query;  // [keys]
  const float* key;    // [keys]
  const float* value;  // [values]
  float* out;          // [values]
};
void DeltaSteps(const StateShape& shape, std::span<const DeltaToken> tokens, float* state);

// Mamba-2 (arXiv 2405.21060, section 7), whose C, B and x are query, key and value:
//   state = decay state + key^T weight value;  out = query state + skip value
struct DecayToken {
  float decay, weight, skip;
  const float* query;  // [keys]
  const float* key;    // [keys]
  const float* value;  // [values]
  float* out;          // [values]
};
void DecaySteps(const StateShape& shape, std::span<const DecayToken> tokens, float* state);

// out = bias + sum over i of weights[i] inputs[i], element by element.
// weights: [inputs, n]; bias: [n], or null; each input and out: [n]
void Convolve(std::span<const float* const> inputs, const float* weights, const float* bias, size_t n,
              float* out);

// log(1 + exp(x))
float Softplus(float x);

}  // namespace throng::model
