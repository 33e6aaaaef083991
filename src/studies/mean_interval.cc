#include "studies/mean_interval.h"

#include <cmath>
#include <numbers>
#include <numeric>

namespace throng::studies {

namespace {

// The probability of being between -t and t, by the finite sums for whole degrees of freedom (Abramowitz and
// Stegun, 26.7.3 and 26.7.4).
double Inside(double t, int freedom) {
  const double angle = std::atan(t / std::sqrt(freedom));
  const double cosine = std::cos(angle);
  const bool odd = freedom % 2 == 1;
  double term = odd ? cosine : 1;
  double sum = freedom > 1 ? term : 0;
  for (int i = odd ? 3 : 2; i < freedom - 1; i += 2) {
    term *= cosine * cosine * (i - 1) / i;
    sum += term;
  }
  return odd ? 2 / std::numbers::pi * (angle + std::sin(angle) * sum) : std::sin(angle) * sum;
}

}  // namespace

double StudentT(double confidence, int freedom) {
  double low = 0;
  double high = 1;
  while (Inside(high, freedom) < confidence) high *= 2;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (Inside(middle, freedom) < confidence ? low : high) = middle;
  }
  return high;
}

MeanInterval MeanWithInterval(const std::vector<double>& values, double confidence) {
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  if (values.size() < 2) return {mean, std::nullopt, std::nullopt};
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const double error = std::sqrt(squares / (count - 1) / count);
  const double half = StudentT(confidence, static_cast<int>(values.size()) - 1) * error;
  return {mean, mean - half, mean + half};
}

}  // namespace throng::studies
