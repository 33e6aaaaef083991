#include "model/quantize/fit.h"

#include <limits>

namespace throng::model {
namespace {

// Sums over weights x and their codes.
struct Moments {
  double n, x, code, code_code, code_x;
};

// What scale * code - min leaves of x, less the squared length of x.
double ErrorOf(const Moments& m, double scale, double min) {
  return scale * scale * m.code_code + m.n * min * min - 2 * scale * min * m.code - 2 * scale * m.code_x +
         2 * min * m.x;
}

// Least squares; a minimum below 0 is none.
ScaleAndMin Solve(const Moments& m) {
  const double determinant = m.n * m.code_code - m.code * m.code;
  if (!(determinant > 0)) return {0.0f, 0.0f};
  const double scale = (m.n * m.code_x - m.code * m.x) / determinant;
  const double min = (m.code * m.code_x - m.code_code * m.x) / determinant;
  if (min >= 0) return {static_cast<float>(scale), static_cast<float>(min)};
  return {static_cast<float>(m.code_x / m.code_code), 0.0f};
}

}  // namespace

ScaleAndMin FitScaleAndMin(std::span<const float> x, int most) {
  constexpr size_t kTries = 20;
  constexpr float kMargin = 1.0f;  // around the inverse scale that uses all codes
  const auto [low_at, high_at] = std::ranges::minmax_element(x);
  const float low = std::min(*low_at, 0.0f);
  const float range = *high_at - low;
  if (range < 1e-30f) return {0.0f, -low};
  const auto top = static_cast<float>(most);
  std::array<float, kTries> inverses, sum{}, square{}, along{};
  for (size_t i = 0; i < kTries; ++i) {
    inverses[i] = (top - kMargin + 2 * kMargin * static_cast<float>(i) / (kTries - 1)) / range;
  }
  double sum_x = 0.0;
  for (const float value : x) {
    sum_x += static_cast<double>(value);
    for (size_t i = 0; i < kTries; ++i) {
      const float code = std::clamp(Nearest((value - low) * inverses[i]), 0.0f, top);
      sum[i] += code;
      square[i] += code * code;
      along[i] += code * value;
    }
  }
  ScaleAndMin best{range / top, -low};
  double least = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < kTries; ++i) {
    const Moments moments{static_cast<double>(x.size()), sum_x, static_cast<double>(sum[i]),
                          static_cast<double>(square[i]), static_cast<double>(along[i])};
    const ScaleAndMin fit = Solve(moments);
    const double error = ErrorOf(moments, static_cast<double>(fit.scale), static_cast<double>(fit.min));
    if (!(fit.scale > 0) || !(error < least)) continue;
    best = fit;
    least = error;
  }
  return best;
}

}  // namespace throng::model
