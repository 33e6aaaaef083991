// The published error table of FlashQ's two stages, on the data it was computed on.
#include <gtest/gtest.h>

#include <vector>

#include "kv/flashq/flashq_reference.h"
#include "kv/synthetic/synthetic_kv.h"

namespace throng::kv {
namespace {

TEST(FlashqTableTest, ErrorsAtEveryTileSize) {
  const KvSample sample = MakeKvSample();
  const int d = sample.options.head_dim;
  const struct {
    int tile;
    double keys[3], values[3];  // 8, 4 and 2 bits
  } table[] = {{16, {0.02001, 0.06528, 0.26546}, {0.02122, 0.08269, 0.35511}},
               {32, {0.02232, 0.07698, 0.32254}, {0.02678, 0.10380, 0.45163}},
               {64, {0.02598, 0.09028, 0.37831}, {0.03337, 0.12838, 0.56124}},
               {128, {0.03140, 0.10600, 0.43736}, {0.04059, 0.15922, 0.69209}},
               {256, {0.03834, 0.12427, 0.50665}, {0.04948, 0.19928, 0.85164}}};
  const int bits[] = {8, 4, 2};
  for (const auto& row : table) {
    for (int i = 0; i < 3; ++i) {
      const double keys = RelativeError(FlashqRoundTrip(sample.keys, d, row.tile, bits[i]), sample.keys);
      const double values =
          RelativeError(FlashqRoundTrip(sample.values, d, row.tile, bits[i]), sample.values);
      EXPECT_NEAR(keys, row.keys[i], 1e-3 * row.keys[i]) << row.tile << " " << bits[i];
      EXPECT_NEAR(values, row.values[i], 1e-3 * row.values[i]) << row.tile << " " << bits[i];
    }
  }
}

TEST(FlashqTableTest, FixedPointScalesAreBetterAtFourBits) {
  const KvSample sample = MakeKvSample();
  const int d = sample.options.head_dim;
  const auto error = [&](const std::vector<double>& rows, int bits) {
    return RelativeError(FlashqRoundTrip(rows, d, 64, bits, FlashqScale::kFixedPoint), rows);
  };
  EXPECT_NEAR(error(sample.keys, 4), 0.08139, 1e-3 * 0.08139);
  EXPECT_NEAR(error(sample.keys, 2), 0.37361, 1e-3 * 0.37361);
  EXPECT_NEAR(error(sample.values, 4), 0.11830, 1e-3 * 0.11830);
  EXPECT_NEAR(error(sample.values, 2), 0.55745, 1e-3 * 0.55745);
}

}  // namespace
}  // namespace throng::kv
