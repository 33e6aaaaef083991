// The passes over all logits of a row that sampling needs, in vectors: a vocabulary has up to 256k tokens.
#pragma once

#include <cstdint>
#include <span>

namespace throng::engine {

// mask, in both: one bit per token, bit t % 64 of word t / 64, set if allowed; empty: all are. NaN counts as
// not allowed.

// The largest allowed logit; -infinity if there is none.
float LargestLogit(std::span<const float> logits, std::span<const uint64_t> mask);

constexpr uint64_t kLargestWeight = uint64_t{1} << 40;

// weights[t] = kLargestWeight * e^((logits[t] - largest) / temperature), rounded to an integer, so that sums
// are exact in any order; 0 if not allowed. largest: that of LargestLogit, finite. temperature: above 0.
// Returns the sum, which has room for 2^23 tokens.
uint64_t TokenWeights(std::span<const float> logits, std::span<const uint64_t> mask, float largest,
                      float temperature, uint64_t* weights);

}  // namespace throng::engine
