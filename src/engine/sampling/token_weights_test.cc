#include "engine/sampling/token_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
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
      std::vector<uint64_t> sums((size + 63) / 64, 1);
      const uint64_t sum =
          TokenWeights(row.logits, row.mask, largest, temperature, weights.data(), sums.data());
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
      for (size_t i = 0; i < size; ++i) sums[i / 64] -= weights[i];
      ASSERT_EQ(sums, std::vector<uint64_t>(sums.size(), 0));
    }
  }
}

TEST_P(TokenWeightsTest, TheFirstWithALogitIsFound) {
  for (size_t size = 1; size < 300; size += 13) {
    const Row row = RandomRow(size, size % 2 == 1, 9);
    for (size_t i = 0; i < size; ++i) {
      int32_t expected = -1;
      for (size_t j = size; j-- > 0;) {
        if (row.Counts(j) && row.logits[j] == row.logits[i]) expected = static_cast<int32_t>(j);
      }
      ASSERT_EQ(FirstWithLogit(row.logits, row.mask, row.logits[i]), expected) << size << " " << i;
    }
    EXPECT_EQ(FirstWithLogit(row.logits, row.mask, 1e9f), -1);
  }
}

TEST(WeightBins, GrowWithTheWeight) {
  EXPECT_EQ(BinOf(1), 0u);
  EXPECT_EQ(BinOf(kLargestWeight), kWeightBins - 1);
  CounterRng rng(4);
  for (int i = 0; i < 10000; ++i) {
    const uint64_t weight = 1 + rng.NextBelow(kLargestWeight) / (uint64_t{1} << rng.NextBelow(40));
    ASSERT_LE(BinOf(weight), BinOf(weight + rng.NextBelow(3)));
    if (weight >= 1024) {
      ASSERT_NE(BinOf(weight), BinOf(weight + weight / 128));
    }
  }
}

TEST(WeightBins, BeginWithTheirLeastWeight) {
  for (size_t bin = 0; bin < kWeightBins; ++bin) {
    const uint64_t least = LeastOfBin(bin);
    ASSERT_GE(BinOf(least), bin);
    if (least > 1) {
      ASSERT_LT(BinOf(least - 1), bin);
    }
  }
  EXPECT_EQ(LeastOfBin(0), 1u);
  EXPECT_GT(LeastOfBin(kWeightBins), kLargestWeight);
}

TEST_P(TokenWeightsTest, BinsHoldTheWeightsOfTheirTokens) {
  for (size_t size = 1; size < 400; size += 29) {
    const Row row = RandomRow(size, size % 2 == 0, 3);
    const float largest = LargestLogit(row.logits, row.mask);
    if (std::isinf(largest)) continue;
    std::vector<uint64_t> weights(size), sums((size + 63) / 64);
    TokenWeights(row.logits, row.mask, largest, 5.0f, weights.data(), sums.data());
    for (const uint64_t least : {uint64_t{1}, uint64_t{1} << 20, kLargestWeight}) {
      std::vector<uint64_t> bins(kWeightBins), expected(kWeightBins);
      const uint64_t sum = AddToBins(weights, sums, least, bins.data());
      uint64_t expected_sum = 0;
      std::map<size_t, std::vector<size_t>> ids;
      for (size_t id = 0; id < size; ++id) {
        if (weights[id] < least) continue;
        expected[BinOf(weights[id])] += weights[id];
        expected_sum += weights[id];
        ids[BinOf(weights[id])].push_back(id);
      }
      ASSERT_EQ(bins, expected);
      ASSERT_EQ(sum, expected_sum);
      for (const auto& [bin, of_bin] : ids) {
        std::vector<WeighedToken> tokens(3);
        TokensBetween(weights, sums, std::max(least, LeastOfBin(bin)), LeastOfBin(bin + 1), tokens);
        ASSERT_EQ(tokens.size(), of_bin.size());
        for (size_t i = 0; i < tokens.size(); ++i) {
          EXPECT_EQ(tokens[i].id, static_cast<int32_t>(of_bin[i]));
          EXPECT_EQ(tokens[i].weight, weights[of_bin[i]]);
        }
      }
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
