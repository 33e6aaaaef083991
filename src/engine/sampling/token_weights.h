// The passes over all logits of a row that sampling needs, in vectors: a vocabulary has up to 256k tokens.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace throng::engine {

// mask, in all: one bit per token, bit t % 64 of word t / 64, set if allowed; empty: all are. NaN counts as
// not allowed.

// The largest allowed logit; -infinity if there is none.
float LargestLogit(std::span<const float> logits, std::span<const uint64_t> mask);

// The first allowed token with this logit; -1 if there is none.
int32_t FirstWithLogit(std::span<const float> logits, std::span<const uint64_t> mask, float logit);

constexpr uint64_t kLargestWeight = uint64_t{1} << 40;
constexpr size_t kWeightBlock = 64;  // tokens whose weights have a sum of their own

// weights[t] = kLargestWeight * e^((logits[t] - largest) / temperature), rounded to an integer, so that sums
// are exact in any order; 0 if not allowed. sums[b]: of tokens 64 b to 64 b + 63, ceil(tokens / 64) of them.
// largest: that of LargestLogit, finite. temperature: above 0. Returns the sum of all, which has room for
// 2^23 tokens.
uint64_t TokenWeights(std::span<const float> logits, std::span<const uint64_t> mask, float largest,
                      float temperature, uint64_t* weights, uint64_t* sums);

// Weights, of 1 and more, by size: by their binary logarithm and the 8 bits after their first one. A larger
// weight is in no smaller bin.
constexpr size_t kWeightBins = 40 * 256 + 1;
constexpr size_t BinOf(uint64_t weight) {
  return static_cast<size_t>(std::bit_cast<uint64_t>(static_cast<double>(static_cast<int64_t>(weight))) >>
                             44) -
         1023 * 256;
}

// The smallest weight of a bin; of kWeightBins, 2^40 and more.
constexpr uint64_t LeastOfBin(size_t bin) {
  const auto least = std::bit_cast<double>((uint64_t{bin} + 1023 * 256) << 44);
  const auto whole = static_cast<uint64_t>(least);
  return static_cast<double>(whole) < least ? whole + 1 : whole;
}

// Both take weights and sums of TokenWeights, and skip blocks whose sum is too small.

// Adds weights of at least `least`, which is 1 or more, to bins[kWeightBins]; returns their sum.
uint64_t AddToBins(std::span<const uint64_t> weights, std::span<const uint64_t> sums, uint64_t least,
                   uint64_t* bins);
struct WeighedToken {
  uint64_t weight;
  int32_t id;
};
// Writes the tokens whose weight is in [least, end), by id.
void TokensBetween(std::span<const uint64_t> weights, std::span<const uint64_t> sums, uint64_t least,
                   uint64_t end, std::vector<WeighedToken>& tokens);

}  // namespace throng::engine
