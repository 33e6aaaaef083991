// Made-up prompts of the engine's tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/rng.h"

namespace throng::engine {

inline constexpr int kVocab = 100;

inline std::vector<int32_t> Tokens(size_t n, uint64_t seed) {
  std::vector<int32_t> tokens(n);
  CounterRng rng(seed, 23);
  for (int32_t& token : tokens) token = static_cast<int32_t>(rng.NextBelow(kVocab));
  return tokens;
}

inline std::vector<int32_t> operator+(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace throng::engine
