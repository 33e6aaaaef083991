// Counter-based random numbers: a value is a function of its key, so no order of execution can change it.
#pragma once

#include <cstdint>

namespace throng {

// The splitmix64 finaliser: a bijection of 64-bit words that scatters every input bit.
constexpr uint64_t Mix64(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// One stream of numbers per key; any number of a stream can be computed directly.
class CounterRng {
 public:
  // The key is any number of words, for example (run seed, agent, step, call).
  template <typename... Words>
  explicit constexpr CounterRng(Words... words) {
    ((key_ = Mix64(key_ + 0x9e3779b97f4a7c15ull + static_cast<uint64_t>(words))), ...);
  }

  constexpr uint64_t At(uint64_t i) const { return Mix64(key_ + (i + 1) * 0x9e3779b97f4a7c15ull); }
  constexpr uint64_t Next() { return At(count_++); }

  // Uniform in [0, 1), with 53 bits.
  constexpr double NextDouble() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  // Uniform in [0, n), n >= 1. The bias is below n / 2^64.
  constexpr uint64_t NextBelow(uint64_t n) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * n) >> 64);
  }

 private:
  uint64_t key_ = 0;
  uint64_t count_ = 0;
};

}  // namespace throng
