#include "kv/flashq/flashq_reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "kv/synthetic/synthetic_kv.h"

namespace throng::kv {
namespace {

constexpr double kTile[] = {.5, -1, 3, 2.38, .02, -.7, -2, 1.19, 0, 1, -.3, .44};

std::vector<double> Scaled(const FlashqTile& tile, const std::vector<int>& codes) {
  std::vector<double> result;
  for (const int code : codes) result.push_back(static_cast<double>(tile.scale) * code);
  return result;
}

TEST(FlashqReferenceTest, StageOneOfASmallTile) {
  const FlashqTile tile = QuantizeFlashqTile(kTile);
  EXPECT_EQ(tile.scale, static_cast<float>(3.0 / 119));
  EXPECT_EQ(tile.codes, (std::vector<int>{20, -40, 119, 94, 1, -28, -79, 47, 0, 40, -12, 17}));
}

TEST(FlashqReferenceTest, StageTwoOfASmallTile) {
  const std::vector<double> tile(std::begin(kTile), std::end(kTile));
  const FlashqTile one = QuantizeFlashqTile(tile);
  const FlashqChannels four = QuantizeFlashqChannels(one.codes, 3, 4);
  EXPECT_EQ(four.scale, (std::vector<int>{12, 6, 10}));
  EXPECT_EQ(four.zero, (std::vector<int>{-79, -40, -28}));
  EXPECT_EQ(four.codes, (std::vector<int>{8, 0, 15, 14, 7, 0, 0, 14, 3, 10, 5, 4}));
  EXPECT_EQ(four.rebuilt, (std::vector<int>{17, -40, 122, 89, 2, -28, -79, 44, 2, 41, -10, 12}));
  EXPECT_NEAR(RelativeError(Scaled(one, four.rebuilt), tile), 0.051756, 1e-6);

  const FlashqChannels two = QuantizeFlashqChannels(one.codes, 3, 2);
  EXPECT_EQ(two.scale, (std::vector<int>{58, 29, 49}));
  EXPECT_EQ(two.codes, (std::vector<int>{2, 0, 3, 3, 1, 0, 0, 3, 1, 2, 1, 1}));
  EXPECT_EQ(two.rebuilt, (std::vector<int>{37, -40, 119, 95, -11, -28, -79, 47, 21, 37, -11, 21}));
  EXPECT_NEAR(RelativeError(Scaled(one, two.rebuilt), tile), 0.156988, 1e-6);
}

// The largest |q1'| of a channel that holds min, max and all codes between.
int LargestRebuilt(int low, int high, int bits, FlashqScale rule) {
  std::vector<int> channel;
  for (int q = low; q <= high; ++q) channel.push_back(q);
  int largest = 0;
  for (const int q : QuantizeFlashqChannels(channel, 1, bits, rule).rebuilt)
    largest = std::max(largest, std::abs(q));
  return largest;
}

TEST(FlashqReferenceTest, TheProtectiveRangeKeepsEveryChannelWithinEightBits) {
  int largest_four = 0;
  int largest_two = 0;
  for (int low = -kFlashqRange; low <= kFlashqRange; ++low) {
    for (int high = low; high <= kFlashqRange; ++high) {
      largest_four = std::max(largest_four, LargestRebuilt(low, high, 4, FlashqScale::kCeil));
      largest_two = std::max(largest_two, LargestRebuilt(low, high, 2, FlashqScale::kCeil));
    }
  }
  EXPECT_EQ(largest_four, 126);
  EXPECT_EQ(largest_two, 121);
}

TEST(FlashqReferenceTest, SmallRangesAreExact) {
  for (const int bits : {2, 4}) {
    std::vector<int> channel;
    for (int i = 0; i < 1 << bits; ++i) channel.push_back(i - 7);
    const FlashqChannels result = QuantizeFlashqChannels(channel, 1, bits);
    EXPECT_EQ(result.scale[0], 1);
    EXPECT_EQ(result.rebuilt, channel);
  }
}

TEST(FlashqReferenceTest, ErrorsAreWithinHalfAStepOfEachStage) {
  std::vector<double> tile(64 * 128);
  for (size_t i = 0; i < tile.size(); ++i) tile[i] = SampleNormal(77, i) * (i % 128 == 5 ? 8.0 : 1.0);
  const FlashqTile one = QuantizeFlashqTile(tile);
  for (size_t i = 0; i < tile.size(); ++i) {
    EXPECT_LE(std::abs(tile[i] - one.scale * one.codes[i]), one.scale * 0.500001);
  }
  for (const int bits : {2, 4}) {
    for (const FlashqZero zero : {FlashqZero::kLowest, FlashqZero::kFirstToken}) {
      const FlashqChannels two = QuantizeFlashqChannels(one.codes, 128, bits, FlashqScale::kCeil, zero);
      for (size_t i = 0; i < tile.size(); ++i) {
        const double bound = one.scale * (two.scale[i % 128] / 2.0 + 0.500001);
        EXPECT_LE(std::abs(tile[i] - one.scale * two.rebuilt[i]), bound);
      }
    }
  }
}

// Whatever the channel: an error of half a step at most, a zero point of 8 bits, and no error of the first
// token if that allows it.
TEST(FlashqReferenceTest, TheFirstTokenMayBeExactAtNoCost) {
  for (const int bits : {2, 4}) {
    for (int low = -kFlashqRange; low <= kFlashqRange; low += 3) {
      for (int high = low; high <= kFlashqRange; high += 7) {
        for (int first = low; first <= high; ++first) {
          std::vector<int> channel = {first};
          for (int i = low; i <= high; ++i) channel.push_back(i);
          const FlashqChannels result =
              QuantizeFlashqChannels(channel, 1, bits, FlashqScale::kCeil, FlashqZero::kFirstToken);
          ASSERT_GE(result.zero[0], -128);
          ASSERT_LE(result.zero[0], 127);
          if (result.zero[0] != low) ASSERT_EQ(result.rebuilt[0], first);
          for (size_t i = 0; i < channel.size(); ++i) {
            ASSERT_LE(2 * std::abs(result.rebuilt[i] - channel[i]), result.scale[0]);
          }
        }
      }
    }
  }
}

TEST(FlashqReferenceTest, ATileOfZerosStaysZero) {
  const std::vector<double> zeros(64 * 8);
  for (const int bits : {2, 4, 8}) EXPECT_EQ(FlashqRoundTrip(zeros, 8, 64, bits), zeros);
}

}  // namespace
}  // namespace throng::kv
