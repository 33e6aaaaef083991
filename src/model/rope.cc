#include "model/rope.h"

#include <algorithm>
#include <cmath>

namespace throng::model {

RopeTable::RopeTable(int dim, double base, double scale, std::span<const float> factors, int cached)
    : cached_(cached) {
  const size_t pairs = static_cast<size_t>(dim) / 2;
  frequencies_.resize(pairs);
  for (size_t i = 0; i < pairs; ++i) {
    frequencies_[i] = scale * std::pow(base, -2.0 * static_cast<double>(i) / dim);
    if (!factors.empty()) frequencies_[i] /= factors[i];
  }
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
    cos[i] = static_cast<float>(std::cos(angle));
    sin[i] = static_cast<float>(std::sin(angle));
  }
}

}  // namespace throng::model
