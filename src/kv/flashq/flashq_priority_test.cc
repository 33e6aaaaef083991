#include "kv/flashq/flashq_priority.h"

#include <gtest/gtest.h>

#include <vector>

#include "kv/flashq/flashq_reference.h"
#include "kv/synthetic/synthetic_kv.h"

namespace throng::kv {
namespace {

TEST(FlashqPriorityTest, IsRangeTimesDeviationOfChannelRanges) {
  // Channel ranges 2 and 6, whole range 7.
  EXPECT_DOUBLE_EQ(FlashqPriority(std::vector<float>{1, 0, 3, -4, 2, 2}, 2), 7.0 * 2.0);
  // Channels of one range have no outliers among them.
  EXPECT_DOUBLE_EQ(FlashqPriority(std::vector<float>{1, 5, 3, 7}, 2), 0.0);
}

TEST(FlashqPriorityTest, TheLowerHalfGetsTwoBits) {
  EXPECT_EQ(FlashqHeadBits(std::vector<double>{3, 1, 2, 4}), (std::vector<int>{4, 2, 2, 4}));
  EXPECT_EQ(FlashqHeadBits(std::vector<double>{1, 1, 1}), (std::vector<int>{2, 4, 4}));
  EXPECT_EQ(FlashqHeadBits(std::vector<double>{1}), (std::vector<int>{4}));
}

// Squared error of all heads when these get 2 bits and the others 4.
double SquaredError(const std::vector<std::vector<double>>& heads, const std::vector<int>& bits, int d) {
  double sum = 0.0;
  for (size_t h = 0; h < heads.size(); ++h) {
    const std::vector<double> back = FlashqRoundTrip(heads[h], d, 64, bits[h]);
    for (size_t i = 0; i < back.size(); ++i) sum += (back[i] - heads[h][i]) * (back[i] - heads[h][i]);
  }
  return sum;
}

TEST(FlashqPriorityTest, TheLowestPrioritiesLoseLessThanTheHighest) {
  const SampleOptions options{.num_tokens = 128, .num_heads = 8, .head_dim = 32, .num_queries = 1};
  const KvSample sample = MakeKvSample(options);
  std::vector<std::vector<double>> heads;
  std::vector<double> priorities, reversed;
  const size_t size = size_t{128} * 32;
  for (int h = 0; h < 8; ++h) {
    std::vector<double> rows(sample.keys.begin() + h * size, sample.keys.begin() + (h + 1) * size);
    for (double& x : rows) x *= 1.0 + 0.3 * h;
    priorities.push_back(FlashqPriority(std::vector<float>(rows.begin(), rows.end()), 32));
    reversed.push_back(-priorities.back());
    heads.push_back(rows);
  }
  EXPECT_LT(SquaredError(heads, FlashqHeadBits(priorities), 32),
            SquaredError(heads, FlashqHeadBits(reversed), 32));
}

}  // namespace
}  // namespace throng::kv
