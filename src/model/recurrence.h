// What one token does to the state of a recurrent layer's head, and to one row of a short convolution. Each
// function is pure, in one fixed order of operations.
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

// The gated delta rule (arXiv 2412.06464, equation 10):
//   state *= decay;  state += key^T beta (value - key state);  out = query state
// The state is read from memory once.  query, key: [keys]; value, out: [values]
void DeltaStep(const StateShape& shape, float decay, float beta, const float* query, const float* key,
               const float* value, float* state, float* out);

// Mamba-2 (arXiv 2405.21060, section 7), whose C, B and x are query, key and value:
//   state = decay state + key^T weight value;  out = query state + skip value
void DecayStep(const StateShape& shape, float decay, float weight, float skip, const float* query,
               const float* key, const float* value, float* state, float* out);

// out = bias + sum over i of weights[i] inputs[i], element by element.
// weights: [inputs, n]; bias: [n], or null; each input and out: [n]
void Convolve(std::span<const float* const> inputs, const float* weights, const float* bias, size_t n,
              float* out);

// log(1 + exp(x))
float Softplus(float x);

}  // namespace throng::model
