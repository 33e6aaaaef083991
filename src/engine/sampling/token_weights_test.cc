#include "engine/sampling/token_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"
#include "base/testing/each_target.h"
#include "hwy/highway.h"

namespace throng::engine {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

class TokenWeightsTest : public EachTarget {};

struct Row {
  std::vector<float> logits;
  std::vector<uint64_t> mask;

  bool Counts(size_t i) const {
    return !std::isnan(logits[i]) && (mask.empty() || (mask[i / 64] >> (i % 64) & 1) != 0);
  }
};

// With NaN and infinite logits, in every number of tokens of the last block.
Row RandomRow(size_t size, bool masked, uint64_t seed) {
  CounterRng rng(seed, size);
  Row row{std::vector<float>(size), std::vector<uint64_t>(masked ? (size + 63) / 64 : 0)};
  for (float& logit : row.logits) {
    logit = static_cast<float>(rng.NextBelow(60000)) * 1e-3f - 40;
    if (rng.NextBelow(20) == 0) logit = rng.NextBelow(2) == 0 ? kNan : -kInf;
  }
  for (uint64_t& word : row.mask) word = rng.NextBelow(3) == 0 ? 0 : rng.At(seed + size);
  return row;
}

TEST_P(TokenWeightsTest, AreThoseOfDoublePrecision) {
  for (size_t size = 1; size < 300; size += size < 140 ? 1 : 37) {
    const Row row = RandomRow(size, size % 2 == 1, 5);
    float largest = -kInf;
    for (size_t i = 0; i < size; ++i) {
      if (row.Counts(i)) largest = std::max(largest, row.logits[i]);
    }
    ASSERT_EQ(LargestLogit(row.logits, row.mask), largest) << size;
    if (std::isinf(largest)) continue;
    for (const float temperature : {0.01f, 0.7f, 1.0f, 30.0f}) {
      std::vector<uint64_t> weights(size, 1);
      const uint64_t sum = TokenWeights(row.logits, row.mask, largest, temperature, weights.data());
      uint64_t expected_sum = 0;
      for (size_t i = 0; i < size; ++i) {
        expected_sum += weights[i];
        const double power = (static_cast<double>(row.logits[i]) - largest) / temperature;
        const double expected = row.Counts(i) ? std::exp(power) * static_cast<double>(kLargestWeight) : 0;
        // Half for the rounding to an integer.
        ASSERT_NEAR(static_cast<double>(weights[i]), expected, 0.5 + 1e-14 * expected + 1e-3)
            << size << " " << i;
      }
      ASSERT_EQ(sum, expected_sum);
    }
  }
}

TEST_P(TokenWeightsTest, NothingAllowedIsMinusInfinity) {
  EXPECT_EQ(LargestLogit(std::vector<float>{1, 2}, std::vector<uint64_t>{0}), -kInf);
  EXPECT_EQ(LargestLogit(std::vector<float>{kNan}, {}), -kInf);
  EXPECT_EQ(LargestLogit(std::vector<float>{1, kInf, 2}, {}), kInf);
}

INSTANTIATE_TEST_SUITE_P(Targets, TokenWeightsTest, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         TargetOf);

}  // namespace
}  // namespace throng::engine
