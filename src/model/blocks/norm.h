// Norms of rows, with their weights.
#pragma once

#include <cstddef>
#include <vector>

namespace throng::model {

class Rows;
class Step;

enum class NormKind {
  kNone,   // leaves rows as they are
  kRms,    // x / sqrt(mean(x^2) + epsilon) * weight
  kLayer,  // (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias
};

struct Norm {
  NormKind kind = NormKind::kNone;
  std::vector<float> weight;  // [n]; empty: 1
  std::vector<float> bias;    // [n]; empty: 0
  float epsilon = 0.0f;

  explicit operator bool() const { return kind != NormKind::kNone; }
  // out may be x.  x, out: [n]
  void Apply(const float* x, size_t n, float* out) const { Apply(x, n, out, 0); }
  // Of one of several rows with weights of their own: weight and bias are [rows, n], or [n] for all.
  void Apply(const float* x, size_t n, float* out, size_t row) const;
};

// out = norm(in), or `in` itself without a norm.
const Rows& Normed(const Step& step, const Norm& norm, const Rows& in, Rows& out);

}  // namespace throng::model
