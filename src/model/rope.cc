#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "model/row_ops.h"

namespace throng::model {
namespace {

// The pair, as a fraction, that turns so many times within some positions.
double PairOfTurns(int dim, double base, int positions, double turns) {
  return dim * std::log(positions / (turns * 2.0 * std::numbers::pi)) / (2.0 * std::log(base));
}

}  // namespace

std::vector<double> RopeFrequencies(int dim, double base, const RopeScaling& scaling) {
  std::vector<double> frequencies(static_cast<size_t>(dim) / 2);
  double first = 0.0;
  double last = 0.0;
  if (scaling.yarn_original_context > 0) {
    const auto pair = [&](double turns) {
      return PairOfTurns(dim, base, scaling.yarn_original_context, turns);
    };
    first = std::max(0.0, std::floor(pair(scaling.yarn_beta_fast)));
    last = std::min(dim - 1.0, std::ceil(pair(scaling.yarn_beta_slow)));
  }
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double factor = scaling.factors.empty() ? 1.0 : static_cast<double>(scaling.factors[i]);
    const double plain = std::pow(base, -2.0 * static_cast<double>(i) / dim);
    double stretched = scaling.linear * plain / factor;
    if (scaling.yarn_original_context > 0) {
      const double ramp = (static_cast<double>(i) - first) / std::max(0.001, last - first);
      const double share = (1.0 - std::clamp(ramp, 0.0, 1.0)) * scaling.yarn_extrapolation;
      stretched = stretched * (1.0 - share) + plain / factor * share;
    }
    frequencies[i] = stretched;
  }
  return frequencies;
}

RopeTable::RopeTable(std::vector<double> frequencies, double magnitude, int cached)
    : frequencies_(std::move(frequencies)), magnitude_(magnitude), cached_(cached) {
  const size_t pairs = frequencies_.size();
  table_.resize(static_cast<size_t>(cached) * 2 * pairs);
  for (int position = 0; position < cached; ++position) {
    float* row = table_.data() + static_cast<size_t>(position) * 2 * pairs;
    Compute(position, row, row + pairs);
  }
}

void RopeTable::Write(int position, float* cos, float* sin) const {
  if (position >= cached_) return Compute(position, cos, sin);
  const size_t pairs = frequencies_.size();
  const float* row = table_.data() + static_cast<size_t>(position) * 2 * pairs;
  std::copy_n(row, pairs, cos);
  std::copy_n(row + pairs, pairs, sin);
}

void RopeTable::Compute(int position, float* cos, float* sin) const {
  for (size_t i = 0; i < frequencies_.size(); ++i) {
    const double angle = position * frequencies_[i];
    cos[i] = static_cast<float>(std::cos(angle) * magnitude_);
    sin[i] = static_cast<float>(std::sin(angle) * magnitude_);
  }
}

void Rope::Rotate(float* head, const float* cos_sin) const {
  const size_t pairs = Pairs();
  (rotation.halves ? RotateHalves : RotateAdjacent)(head, cos_sin, cos_sin + pairs, 2 * pairs);
}

}  // namespace throng::model
