// Rotary embeddings: frequencies, and cosines and sines by position.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "attention/key_bias.h"

namespace throng::model {

// How positions are stretched to contexts longer than a model was first trained for.
struct RopeScaling {
  double linear = 1.0;           // positions are multiplied by this
  std::vector<float> factors{};  // [dim / 2]: frequency i is divided by factor i; empty: none
  // YaRN (arXiv 2309.00071, section 3.2 and equation 22), with `linear` as 1 / factor: pairs that turn more
  // than beta_fast times within original_context positions are not stretched, those that turn less than
  // beta_slow times are stretched fully. 0: not used.
  int yarn_original_context = 0;
  double yarn_beta_fast = 32.0;
  double yarn_beta_slow = 1.0;
  double yarn_extrapolation = 1.0;  // share of the unstretched frequency where pairs turn fast
};

// [dim / 2], in radians per position: base^(-2i / dim), scaled.
std::vector<double> RopeFrequencies(int dim, double base, const RopeScaling& scaling);

class RopeTable {
 public:
  // Angle i of a position: position * frequencies[i]; cosines and sines are multiplied by `magnitude`.
  // Positions below `cached` are computed here, others on each call.
  RopeTable(std::vector<double> frequencies, double magnitude, int cached);

  // cos, sin: [number of frequencies]
  void Write(int position, float* cos, float* sin) const;

  const std::vector<double>& Frequencies() const { return frequencies_; }
  double Magnitude() const { return magnitude_; }

 private:
  void Compute(int position, float* cos, float* sin) const;

  std::vector<double> frequencies_;
  double magnitude_;
  int cached_;
  std::vector<float> table_;  // [cached, 2, frequencies]
};

// One of a model's ropes, which layers share.
struct Rope {
  RopeTable table;
  attention::Rotation rotation;
  size_t index;  // among the model's ropes

  size_t Pairs() const { return table.Frequencies().size(); }
  // Rotates the first 2 * Pairs() elements of a head.  cos_sin: [2, Pairs()], as the table writes them.
  void Rotate(float* head, const float* cos_sin) const;
};

}  // namespace throng::model
