// Cosines and sines of rotary embeddings by position.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace throng::model {

class RopeTable {
 public:
  // Angle i of a position: position * scale * base^(-2i / dim) / factors[i]; without factors, divided by 1.
  // Positions below `cached` are computed here, others on each call.
  RopeTable(int dim, double base, double scale, std::span<const float> factors, int cached);

  // cos, sin: [dim / 2]
  void Write(int position, float* cos, float* sin) const;

  const std::vector<double>& Frequencies() const { return frequencies_; }  // [dim / 2], radians per position

 private:
  void Compute(int position, float* cos, float* sin) const;

  std::vector<double> frequencies_;
  int cached_;
  std::vector<float> table_;  // [cached, 2, dim / 2]
};

}  // namespace throng::model
