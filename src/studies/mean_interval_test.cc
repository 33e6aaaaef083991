#include "studies/mean_interval.h"

#include <gtest/gtest.h>

namespace throng::studies {
namespace {

TEST(StudentT, IsThatOfTheTables) {
  EXPECT_NEAR(StudentT(0.95, 1), 12.706, 5e-4);
  EXPECT_NEAR(StudentT(0.95, 2), 4.303, 5e-4);
  EXPECT_NEAR(StudentT(0.95, 9), 2.262, 5e-4);
  EXPECT_NEAR(StudentT(0.95, 30), 2.042, 5e-4);
  EXPECT_NEAR(StudentT(0.99, 4), 4.604, 5e-4);
  EXPECT_NEAR(StudentT(0.5, 10), 0.700, 5e-4);
  EXPECT_NEAR(StudentT(0.95, 100000), 1.960, 5e-4);
}

TEST(MeanWithInterval, IsWiderForFewerValues) {
  const MeanInterval five = MeanWithInterval({1, 2, 3, 4, 5}, 0.95);
  EXPECT_EQ(five.mean, 3);
  EXPECT_NEAR(five.low.value(), 1.0368, 1e-4);
  EXPECT_NEAR(five.high.value(), 4.9632, 1e-4);
  const MeanInterval one = MeanWithInterval({7}, 0.95);
  EXPECT_EQ(one.mean, 7);
  EXPECT_FALSE(one.low.has_value() || one.high.has_value());
}

}  // namespace
}  // namespace throng::studies
