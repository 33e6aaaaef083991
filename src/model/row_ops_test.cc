#include "model/row_ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "base/testing/each_target.h"
#include "model/testing/test_matrices.h"

namespace throng::model {
namespace {

// Around whole vectors of every width.
constexpr size_t kSizes[] = {2, 3, 4, 7, 8, 15, 16, 17, 64, 100};

std::vector<float> Random(size_t n, uint64_t seed) {
  CounterRng rng(seed);
  std::vector<float> x(n);
  for (float& value : x) value = RandomFloat(rng, 3.0f);
  return x;
}

class RowOpsTest : public EachTarget {};

TEST_P(RowOpsTest, AddScaledAndMultiplyByAreThoseOfEachElement) {
  for (const size_t n : kSizes) {
    const auto x = Random(n, 1), y = Random(n, 2);
    auto sum = x, product = x;
    AddScaled(sum.data(), y.data(), -1.7f, n);
    MultiplyBy(product.data(), y.data(), n);
    for (size_t i = 0; i < n; ++i) {
      EXPECT_NEAR(sum[i], x[i] - 1.7f * y[i], 1e-5) << n;
      EXPECT_EQ(product[i], x[i] * y[i]) << n;
    }
  }
}

TEST_P(RowOpsTest, LengthIsTheRootOfTheSumOfSquares) {
  for (const size_t n : kSizes) {
    const auto x = Random(n, 1);
    double squares = 0;
    for (const float value : x) squares += static_cast<double>(value) * static_cast<double>(value);
    EXPECT_NEAR(Length(x.data(), n), std::sqrt(squares), 1e-5) << n;
  }
}

TEST_P(RowOpsTest, GeluInHalvesIsRoundedBeforeAndAfter) {
  constexpr float kFar[] = {-12.0f, -10.0f, 10.0f, 10.003f, 11.1f};
  for (const size_t n : kSizes) {
    auto x = Random(n, n);
    for (size_t i = 0; i < n; i += 3) x[i] = kFar[i / 3 % std::size(kFar)];
    auto result = x;
    Activate(Activation::kGeluTanhInHalves, result.data(), n);
    for (size_t i = 0; i < n; ++i) {
      if (std::abs(x[i]) >= 10) {
        EXPECT_EQ(result[i], std::max(x[i], 0.0f));
        continue;
      }
      EXPECT_EQ(result[i], HalfToFloat(FloatToHalf(result[i])));
      const auto half = static_cast<double>(HalfToFloat(FloatToHalf(x[i])));
      const double cubic = half + 0.044715 * half * half * half;
      const double gelu = 0.5 * half * (1 + std::tanh(std::sqrt(2 / M_PI) * cubic));
      EXPECT_NEAR(result[i], gelu, 1e-7 + std::abs(gelu) / 2000) << x[i];
    }
  }
}

TEST_P(RowOpsTest, OutliersAreWhatIsAboveDeviationsFromTheMean) {
  for (const size_t n : kSizes) {
    for (const float deviations : {-0.5f, 0.0f, 1.2f}) {
      const auto x = Random(n, n);
      double mean = 0, squares = 0;
      for (const float value : x) mean += static_cast<double>(value) / static_cast<double>(n);
      for (const float value : x) squares += std::pow(static_cast<double>(value) - mean, 2);
      const double cutoff =
          mean + static_cast<double>(deviations) * std::sqrt(squares / static_cast<double>(n - 1));
      auto kept = x;
      KeepOutliers(kept.data(), deviations, n);
      for (size_t i = 0; i < n; ++i) {
        EXPECT_NEAR(kept[i], std::max(static_cast<double>(x[i]) - cutoff, 0.0), 1e-5) << n;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, RowOpsTest, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         TargetOf);

}  // namespace
}  // namespace throng::model
