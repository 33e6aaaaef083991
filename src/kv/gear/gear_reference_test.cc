#include "kv/gear/gear_reference.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kv/synthetic/synthetic_kv.h"

namespace throng::kv {
namespace {

std::vector<double> Halves(std::vector<double> x) {
  for (double& y : x) y = RoundToHalf(y);
  return x;
}

double SquareSum(const std::vector<double>& x) {
  return std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
}

std::vector<double> Minus(std::vector<double> a, const std::vector<double>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

std::vector<double> Noise(size_t count, uint64_t stream) {
  std::vector<double> x(count);
  for (size_t i = 0; i < count; ++i) x[i] = RoundToHalf(SampleNormal(stream, i));
  return x;
}

TEST(GearReferenceTest, QuantizesTheSmallVector) {
  const std::vector<double> x = Halves({0.10, -1.25, 0.75, 2.00, -0.50, 1.10, 0.33, -2.40});
  const QuantizedGroup two = QuantizeGroup(x, 2);
  EXPECT_EQ(two.scale, 1.466796875);
  EXPECT_EQ(two.zero, -2.400390625);
  EXPECT_EQ(two.codes, (std::vector<int>{2, 1, 2, 3, 1, 2, 2, 0}));
  const QuantizedGroup four = QuantizeGroup(x, 4);
  EXPECT_EQ(four.scale, 0.29345703125);
  EXPECT_EQ(four.codes, (std::vector<int>{9, 4, 11, 15, 6, 12, 9, 0}));
  std::vector<double> decoded;
  for (size_t i = 0; i < x.size(); ++i) decoded.push_back(four.Value(i));
  EXPECT_NEAR(RelativeError(decoded, x), 0.063525, 1e-6);
}

TEST(GearReferenceTest, ConstantGroupsAreExact) {
  const QuantizedGroup group = QuantizeGroup(Halves({0.7, 0.7, 0.7, 0.7}), 2);
  EXPECT_EQ(group.scale, 0.0);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(group.Value(i), 0.7001953125);
}

TEST(GearReferenceTest, OutliersLeaveTheRange) {
  const std::vector<double> x = {1, 2, 3, 4, 50, -40, 2, 1, 0, 3};
  const TensorShape shape{1, 10, 1};
  GearMethod method{.bits = 2, .backbone = Backbone::kKcvt, .sparsity = 0.2};
  const GearResult result = ApproximateGear(method, Part::kKeys, shape, x);
  const std::vector<double> expected = {1.333, 2.666, 2.666, 3.999, 50, -40, 2.666, 1.333, 0, 2.666};
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(result.coded[i], expected[i], 1e-3) << i;
  method.sparsity = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (i == 4 || i == 5) continue;
    EXPECT_NEAR(ApproximateGear(method, Part::kKeys, shape, x).coded[i], -10.0, 0.05) << i;
  }
  // Within a budget of two, the same two.
  method = {.bits = 2, .group = 10, .sparsity = 0.2, .rule = OutlierRule::kPerUnit};
  EXPECT_EQ(ApproximateGear(method, Part::kKeys, shape, x).outlier, result.outlier);
}

TEST(GearReferenceTest, LowRankMatricesAreRecovered) {
  const double u[6][2] = {{1, 0}, {2, 1}, {0, -1}, {1, 1}, {-1, 2}, {0.5, 0}};
  const double v[2][4] = {{1, -1, 0.5, 2}, {0, 1, 1, -1}};
  std::vector<double> matrix(24), start(8);
  for (int i = 0; i < 24; ++i) matrix[i] = u[i / 4][0] * v[0][i % 4] + u[i / 4][1] * v[1][i % 4];
  for (int i = 0; i < 8; ++i) start[i] = SampleUniform(101, i);
  for (const int sweeps : {1, 2, 3}) {
    const Factors factors = PowerIteration(matrix, 6, 4, 2, sweeps, start);
    EXPECT_LE(RelativeError(Multiply(factors, 6, 4, 2), matrix), 1e-14);
  }
  start.resize(4);
  const std::vector<double> one = Multiply(PowerIteration(matrix, 6, 4, 1, 3, start), 6, 4, 1);
  EXPECT_NEAR(SquareSum(matrix), 61.3125, 1e-12);
  EXPECT_NEAR(SquareSum(one) + SquareSum(Minus(matrix, one)), 61.3125, 1e-10);
  EXPECT_NEAR(SquareSum(one), 48.4869, 0.002 * 48.4869);
}

// Anything: few bits, odd sizes, constants, wide ranges.
struct Case {
  TensorShape shape;
  GearMethod method;
  Part part;
  std::vector<double> x;
};

Case AnyCase() {
  Case c;
  c.shape = {*rc::gen::inRange(1, 3), *rc::gen::inRange(1, 40), *rc::gen::element(1, 8, 24)};
  c.part = *rc::gen::element(Part::kKeys, Part::kValues);
  c.method.bits = *rc::gen::inRange(2, 5);
  c.method.backbone = *rc::gen::element(Backbone::kPerToken, Backbone::kKcvt, Backbone::kKivi);
  c.method.group = *rc::gen::element(3, 8, 32);
  c.method.sparsity = *rc::gen::element(0.0, 0.05, 0.2);
  c.method.rule = *rc::gen::element(OutlierRule::kPerVector, OutlierRule::kPerUnit);
  const uint64_t seed = *rc::gen::inRange(1, 1 << 20);
  c.x = *rc::gen::element(0.0, 1e-6, 1.0, 1000.0) == 0.0 ? std::vector<double>(c.shape.Size(), 0.7)
                                                         : Noise(c.shape.Size(), seed);
  c.x = Halves(c.x);
  return c;
}

RC_GTEST_PROP(GearReferencePropertyTest, OrdinaryElementsAreWithinHalfAStepAndOutliersExact, ()) {
  const Case c = AnyCase();
  const GearResult result = ApproximateGear(c.method, c.part, c.shape, c.x);
  for (const Group& group : MakeGroups(c.part, c.method.backbone, c.method.group, c.shape)) {
    std::vector<double> inside;
    for (const size_t i : group) {
      if (!result.outlier[i]) inside.push_back(c.x[i]);
    }
    if (inside.empty()) continue;
    const auto [low, high] = std::minmax_element(inside.begin(), inside.end());
    const double step = (*high - *low) / ((1 << c.method.bits) - 1);
    for (const size_t i : group) {
      const double error = std::abs(result.coded[i] - c.x[i]);
      RC_ASSERT(error <= (result.outlier[i] ? 0.0 : 0.5 * step * (1 + 0x1p-6) + 0x1p-20));
    }
  }
}

RC_GTEST_PROP(GearReferencePropertyTest, LowRankIsAProjection, ()) {
  Case c = AnyCase();
  c.method.rank = *rc::gen::inRange(1, 5);
  const GearResult result = ApproximateGear(c.method, c.part, c.shape, c.x);
  const std::vector<double> residual = Minus(c.x, result.coded);
  const double whole = SquareSum(residual);
  const double left = SquareSum(Minus(residual, result.low_rank));
  RC_ASSERT(std::abs(whole - left - SquareSum(result.low_rank)) <= 1e-10 * whole + 1e-30);
  RC_ASSERT(std::isfinite(left) && left <= whole * (1 + 1e-12));
}

RC_GTEST_PROP(GearReferencePropertyTest, PowersOfTwoCommute, ()) {
  Case c = AnyCase();
  for (double& y : c.x) y *= 1024.0;  // so that no scale is a subnormal half
  std::vector<double> scaled = c.x;
  for (double& y : scaled) y *= 4.0;
  std::vector<double> result = ApproximateGear(c.method, c.part, c.shape, c.x).coded;
  for (double& y : result) y *= 4.0;
  RC_ASSERT(ApproximateGear(c.method, c.part, c.shape, scaled).coded == result);
}

RC_GTEST_PROP(GearReferencePropertyTest, TheQuantizerIsIdempotent, ()) {
  std::vector<double> x = Noise(32, *rc::gen::inRange(1, 1 << 20));
  const int bits = *rc::gen::inRange(2, 5);
  const QuantizedGroup once = QuantizeGroup(x, bits);
  for (size_t i = 0; i < x.size(); ++i) x[i] = once.Value(i);
  RC_ASSERT(QuantizeGroup(x, bits).codes == once.codes);
}

TEST(GearReferenceTest, UnitsAreIndependent) {
  const TensorShape shape{2, 50, 8};
  const std::vector<double> x = Noise(shape.Size(), 7);
  GearMethod method{.bits = 2, .group = 16, .sparsity = 0.1, .rank = 2, .unit = 16};
  const std::vector<double> whole = ApproximateGear(method, Part::kValues, shape, x).Sum();
  std::vector<double> other = x;
  for (int t = 16; t < 50; ++t) other[t * 8] += 1.0;
  const std::vector<double> changed = ApproximateGear(method, Part::kValues, shape, other).Sum();
  EXPECT_TRUE(std::equal(whole.begin(), whole.begin() + 16 * 8, changed.begin()));
}

}  // namespace
}  // namespace throng::kv
