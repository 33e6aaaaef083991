#include "kv/rot/rot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kv/testing/random_rows.h"

namespace throng::kv {
namespace {

double RoundTrip(int bits, int head_dim, const std::vector<float>& block) {
  const auto codec = MakeRot(bits, head_dim);
  AlignedBytes encoded(codec->Bytes(Part::kValues));
  codec->Encode(Part::kValues, block.data(), encoded.data());
  std::vector<float> decoded(block.size());
  codec->Decode(Part::kValues, encoded.data(), decoded.data());
  return RelativeError(decoded, block);
}

TEST(RotTest, BytesAreBitsPerElementAndTwoHalvesPerToken) {
  for (const int bits : {2, 3, 4}) {
    for (const int d : {8, 24, 80, 128, 192, 576}) {
      const auto codec = MakeRot(bits, d);
      for (const Part part : {Part::kKeys, Part::kValues}) {
        EXPECT_EQ(codec->Count(part).codes, 64u * d * bits / 8);
        EXPECT_EQ(codec->Count(part).scales, 64u * 4);
      }
    }
  }
}

// The best relative errors of a uniform quantiser of normal values: 0.107, 0.193 and 0.345.
TEST(RotTest, ErrorIsNearThatOfTheBestUniformQuantiser) {
  const std::vector<float> block = Normal(64 * 128, 5);
  EXPECT_NEAR(RoundTrip(4, 128, block), 0.098, 0.012);
  EXPECT_NEAR(RoundTrip(3, 128, block), 0.19, 0.015);
  EXPECT_NEAR(RoundTrip(2, 128, block), 0.335, 0.02);
}

// An outlier channel costs only its share of the norm; without rotation, one step per token would lose all
// other channels.
TEST(RotTest, OutlierChannelsDoNotDrownTheOthers) {
  const int d = 128;
  std::vector<float> block = Normal(64 * d, 6);
  for (int t = 0; t < 64; ++t) block[t * d + 17] = 12.0f;
  EXPECT_LT(RoundTrip(4, d, block), 0.13);
  EXPECT_LT(RoundTrip(2, d, block), 0.40);
}

// int4 has 16 levels from a row's lowest to its highest element, which both are met.
TEST(RotTest, Int4CoversTheRowsRange) {
  const int d = 64;
  const std::vector<float> block = Normal(64 * d, 8);
  const auto codec = MakeInt4(d);
  EXPECT_EQ(codec->Name(), "int4");
  AlignedBytes encoded(codec->Bytes(Part::kKeys));
  codec->Encode(Part::kKeys, block.data(), encoded.data());
  std::vector<float> decoded(block.size());
  codec->Decode(Part::kKeys, encoded.data(), decoded.data());
  for (int t = 0; t < 64; ++t) {
    const auto row = block.begin() + t * d;
    const auto [low, high] = std::minmax_element(row, row + d);
    const float step = (*high - *low) / 15.0f;
    for (int i = 0; i < d; ++i) EXPECT_NEAR(decoded[t * d + i], row[i], 0.51f * step);
    EXPECT_NEAR(decoded[t * d + (low - row)], *low, 0.02f * step);
    EXPECT_NEAR(decoded[t * d + (high - row)], *high, 0.02f * step);
  }
}

TEST(RotTest, ErrorDoesNotDependOnTheScale) {
  const std::vector<float> one = Normal(64 * 80, 7);
  for (const float scale : {1e-2f, 1e3f}) {
    std::vector<float> block = one;
    for (float& x : block) x *= scale;
    EXPECT_NEAR(RoundTrip(3, 80, block), RoundTrip(3, 80, one), 0.005) << scale;
  }
}

}  // namespace
}  // namespace throng::kv
