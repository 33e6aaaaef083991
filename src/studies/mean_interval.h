// The mean of repeated measurements, and how certain it is.
#pragma once

#include <optional>
#include <vector>

namespace throng::studies {

struct MeanInterval {
  double mean;
  // The ends of its confidence interval; none for fewer than two values.
  std::optional<double> low;
  std::optional<double> high;
};

// By Student's t; confidence: above 0 and below 1. values must not be empty.
MeanInterval MeanWithInterval(const std::vector<double>& values, double confidence);

// The t beyond which, on either side, values lie with probability 1 - confidence; freedom: 1 or more.
double StudentT(double confidence, int freedom);

}  // namespace throng::studies
