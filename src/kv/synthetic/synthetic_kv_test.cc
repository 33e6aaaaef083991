#include "kv/synthetic/synthetic_kv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace throng::kv {
namespace {

struct Sums {
  double sum = 0.0, squares = 0.0, min = INFINITY, max = -INFINITY;
};

Sums SumsOf(const std::vector<double>& x) {
  Sums sums;
  for (const double y : x) {
    sums.sum += y;
    sums.squares += y * y;
    sums.min = std::min(sums.min, y);
    sums.max = std::max(sums.max, y);
  }
  return sums;
}

// All numbers of this file come from an independent implementation.

TEST(KvSampleTest, StreamsAreThePublishedOnes) {
  EXPECT_EQ(SampleBits(1, 0), 0x875b5cf2d7929f43u);
  EXPECT_EQ(SampleBits(1, 1), 0x312152de98ea5a52u);
  const double normals[] = {0.40293579, 1.05459368, 0.92041403, -1.59397196};
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(SampleNormal(1, i), normals[i], 1e-8);
}

TEST(KvSampleTest, RoundsOnceToHalf) {
  EXPECT_EQ(RoundToHalf(0.7), 0.7001953125);
  EXPECT_EQ(RoundToHalf(1.0 + 0x1p-11), 1.0);
  // Two roundings, through float, would give 1.
  EXPECT_EQ(RoundToHalf(1.0 + 0x1p-11 + 0x1p-40), 1.0 + 0x1p-10);
  EXPECT_EQ(RoundToHalf(0x1p-24), 0x1p-24);
  EXPECT_EQ(RoundToHalf(0x1p-25), 0.0);
  EXPECT_EQ(RoundToHalf(-65519.0), -65504.0);
  EXPECT_EQ(RoundToHalf(65520.0), std::numeric_limits<double>::infinity());
}

TEST(KvSampleTest, StructuredDataHasThePublishedSums) {
  const KvSample sample = MakeKvSample();
  const Sums k = SumsOf(sample.keys);
  EXPECT_NEAR(k.sum, 42426.960243, 1e-5);
  EXPECT_NEAR(k.squares, 5148680.6575, 1e-3);
  EXPECT_EQ(k.min, -63.3125);
  EXPECT_EQ(k.max, 76.1875);
  const Sums v = SumsOf(sample.values);
  EXPECT_NEAR(v.sum, 2485.033028, 1e-5);
  EXPECT_NEAR(v.squares, 3179525.6815, 1e-3);
  EXPECT_EQ(v.min, -71.625);
  EXPECT_EQ(v.max, 117.0);
  const Sums q = SumsOf(sample.queries);
  EXPECT_NEAR(q.sum, 206.754401, 1e-5);
  EXPECT_NEAR(q.squares, 66688.9124, 1e-3);
}

TEST(KvSampleTest, WhiteDataHasThePublishedSums) {
  const Sums k = SumsOf(MakeKvSample({.structured = false}).keys);
  EXPECT_NEAR(k.sum, -811.310129, 1e-5);
  EXPECT_NEAR(k.squares, 1047590.1463, 1e-3);
}

}  // namespace
}  // namespace throng::kv
