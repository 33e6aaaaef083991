// Helpers of the tests and benchmarks of kv and attention: random rows, aligned bytes, comparisons.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "base/rng.h"
#include "kv/codec.h"

namespace throng::kv {

class AlignedBytes {
 public:
  explicit AlignedBytes(size_t size)
      : size_(size), data_(static_cast<uint8_t*>(std::aligned_alloc(64, RoundUp64(size)))) {}
  uint8_t* data() { return data_.get(); }
  const uint8_t* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  size_t size_;
  std::unique_ptr<uint8_t, Free> data_;
};

// Normally distributed (Box and Muller), a function of the seed.
inline std::vector<float> Normal(size_t count, uint64_t seed, float deviation = 1.0f) {
  CounterRng rng(seed, count);
  std::vector<float> result(count);
  for (float& x : result) {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - rng.NextDouble()));
    x = deviation * static_cast<float>(radius * std::cos(6.283185307179586 * rng.NextDouble()));
  }
  return result;
}

// |a - b| / |b| in the L2 norm; infinite if a holds a NaN.
inline double RelativeError(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0.0;
  double norm = 0.0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    norm += static_cast<double>(b[i]) * b[i];
  }
  if (std::isnan(difference)) return INFINITY;
  return norm == 0.0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace throng::kv
