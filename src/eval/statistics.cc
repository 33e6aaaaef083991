#include "eval/statistics.h"

#include <algorithm>
#include <cmath>

namespace throng::eval {
namespace {

constexpr double kZ = 1.959963984540054;  // normal quantile for 95 %, two-sided

}  // namespace

Interval WilsonInterval(int hits, int trials) {
  if (trials == 0) return {0.0, 1.0};
  const double n = trials;
  const double share = hits / n;
  const double scale = 1.0 + kZ * kZ / n;
  const double middle = (share + kZ * kZ / (2.0 * n)) / scale;
  const double half = kZ / scale * std::sqrt(share * (1.0 - share) / n + kZ * kZ / (4.0 * n * n));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

double McNemarP(int lost, int gained) {
  const int differing = lost + gained;
  const int fewer = std::min(lost, gained);
  // Sum of the binomial's tail at 1/2; by logarithms, since 2^-n is 0 for long runs.
  double tail = 0.0;
  for (int k = 0; k <= fewer; ++k) {
    tail += std::exp(std::lgamma(differing + 1.0) - std::lgamma(k + 1.0) - std::lgamma(differing - k + 1.0) -
                     differing * std::log(2.0));
  }
  return std::min(1.0, 2.0 * tail);
}

Interval PairedInterval(int lost, int gained, int trials) {
  if (trials == 0) return {-1.0, 1.0};
  const double n = trials + 2.0;
  const double difference = (gained - lost) / n;
  const double half = kZ * std::sqrt(((gained + lost + 1.0) / n - difference * difference) / n);
  return {std::max(-1.0, difference - half), std::min(1.0, difference + half)};
}

}  // namespace throng::eval
