#include "kv/flashq/flashq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/half.h"
#include "kv/flashq/flashq_reference.h"
#include "kv/testing/random_rows.h"

namespace throng::kv {
namespace {

// A block of half floats, as the open page holds it, with a channel that dwarfs the others.
std::vector<float> HalfBlock(int head_dim, uint64_t seed) {
  std::vector<float> block = Normal(static_cast<size_t>(kPageTokens) * head_dim, seed);
  for (size_t i = 0; i < block.size(); ++i) {
    block[i] = HalfToFloat(FloatToHalf(block[i] * (i % head_dim == 3 ? 9.0f : 1.0f)));
  }
  return block;
}

TEST(FlashqTest, IntegersAreThoseOfTheReference) {
  for (const int bits : {4, 2}) {
    for (const int d : {8, 24, 64, 80, 128, 576}) {
      const auto codec = MakeFlashq(bits, OpenType::kF16, d);
      const std::vector<float> block = HalfBlock(d, 40 + d);
      const FlashqTile one = QuantizeFlashqTile(std::vector<double>(block.begin(), block.end()));
      for (const Part part : {Part::kKeys, Part::kValues}) {
        const FlashqChannels two =
            QuantizeFlashqChannels(one.codes, d, bits, FlashqScale::kCeil,
                                   part == Part::kKeys ? FlashqZero::kLowest : FlashqZero::kFirstToken);
        AlignedBytes encoded(codec->Bytes(part));
        codec->Encode(part, block.data(), encoded.data());
        const uint8_t* scales = encoded.data() + codec->Count(part).codes;
        for (int c = 0; c < d; ++c) {
          EXPECT_EQ(scales[c], two.scale[c]);
          EXPECT_EQ(static_cast<int8_t>(scales[d + c]), two.zero[c]);
        }
        float scale;
        std::memcpy(&scale, scales + 2 * d, sizeof(scale));
        EXPECT_EQ(scale, one.scale);
        std::vector<float> decoded(block.size());
        codec->Decode(part, encoded.data(), decoded.data());
        for (size_t i = 0; i < block.size(); ++i) {
          ASSERT_EQ(decoded[i], scale * static_cast<float>(two.rebuilt[i])) << bits << " " << d << " " << i;
        }
      }
    }
  }
}

// A head that rests on the first token of a text adds all of the error of that token's values, which are
// small.
TEST(FlashqTest, ASmallFirstTokenKeepsItsValues) {
  constexpr int kHeadDim = 64;
  std::vector<float> block = Normal(static_cast<size_t>(kPageTokens) * kHeadDim, 60);
  for (int c = 0; c < kHeadDim; ++c) block[static_cast<size_t>(c)] *= 0.05f;
  float largest = 0.0f;
  for (const float x : block) largest = std::max(largest, std::abs(x));
  for (const int bits : {4, 2}) {
    const auto codec = MakeFlashq(bits, OpenType::kF16, kHeadDim);
    AlignedBytes encoded(codec->Bytes(Part::kValues));
    codec->Encode(Part::kValues, block.data(), encoded.data());
    std::vector<float> decoded(block.size());
    codec->Decode(Part::kValues, encoded.data(), decoded.data());
    const float half_step = largest / kFlashqRange * 0.5001f;  // of stage 1
    for (size_t c = 0; c < kHeadDim; ++c) EXPECT_NEAR(decoded[c], block[c], half_step) << bits << " " << c;
  }
}

// Scores and mixes come from exact integers, so only the last float products round.
TEST(FlashqTest, ScoresAreExactIntegersTimesScales) {
  for (const int bits : {4, 2}) {
    for (const int d : {8, 80, 256, 576}) {
      const auto codec = MakeFlashq(bits, OpenType::kF16, d);
      const std::vector<float> block = HalfBlock(d, 50);
      const std::vector<float> query = Normal(d, 51);
      AlignedBytes encoded(codec->Bytes(Part::kKeys));
      codec->Encode(Part::kKeys, block.data(), encoded.data());
      AlignedBytes prepared(codec->QueryBytes());
      codec->PrepareQuery(query.data(), prepared.data());
      std::vector<float> scores(kPageTokens);
      codec->Score(encoded.data(), prepared.data(), 1, scores.data());

      const FlashqTile tile = QuantizeFlashqTile(std::vector<double>(block.begin(), block.end()));
      const FlashqChannels channels = QuantizeFlashqChannels(tile.codes, d, bits);
      const FlashqTile row = QuantizeFlashqTile(std::vector<double>(query.begin(), query.end()), 127);
      for (int t = 0; t < kPageTokens; ++t) {
        int dot = 0;
        for (int c = 0; c < d; ++c) dot += row.codes[c] * channels.rebuilt[t * d + c];
        EXPECT_EQ(scores[t], static_cast<float>(dot) * (row.scale * tile.scale))
            << bits << " " << d << " " << t;
      }
    }
  }
}

TEST(FlashqTest, TheLargestSumsDoNotOverflow) {
  // Channels between the extremes, full query and weights.
  for (const int bits : {4, 2}) {
    const int d = kMaxHeadDim;
    const auto codec = MakeFlashq(bits, OpenType::kF16, d);
    std::vector<float> block(kPageTokens * d);
    for (size_t i = 0; i < block.size(); ++i) block[i] = i / d == 0 ? -119.0f : 119.0f;
    AlignedBytes keys(codec->Bytes(Part::kKeys)), values(codec->Bytes(Part::kValues));
    codec->Encode(Part::kKeys, block.data(), keys.data());
    codec->Encode(Part::kValues, block.data(), values.data());
    std::vector<float> decoded(block.size());
    codec->Decode(Part::kValues, values.data(), decoded.data());
    AlignedBytes prepared(codec->QueryBytes());
    codec->PrepareQuery(std::vector<float>(d, 127.0f).data(), prepared.data());
    std::vector<float> scores(kPageTokens), out(d);
    codec->Score(keys.data(), prepared.data(), 1, scores.data());
    const float rescale = 1.0f;
    codec->Mix(values.data(), std::vector<float>(kPageTokens, 1.0f).data(), &rescale, 1, out.data());
    EXPECT_FLOAT_EQ(scores[0], d * 127.0f * decoded[0]);
    EXPECT_FLOAT_EQ(scores[1], d * 127.0f * decoded[d]);
    EXPECT_FLOAT_EQ(out[0], decoded[0] + 63.0f * decoded[d]);
  }
}

// b + 0.25 bits and a scale of 4 bytes per block, as in the paper's table of sizes.
TEST(FlashqTest, BytesFollowTheFormula) {
  const auto per_token = [](int four, int two) {
    const size_t bytes = four * MakeFlashq(4, OpenType::kF16, 128)->Bytes(Part::kKeys) +
                         two * MakeFlashq(2, OpenType::kF16, 128)->Bytes(Part::kKeys);
    return 2.0 * bytes / kPageTokens;
  };
  EXPECT_EQ(per_token(32, 0), 4356.0);
  EXPECT_EQ(per_token(0, 32), 2308.0);
  EXPECT_EQ(per_token(16, 16), 3332.0);
}

}  // namespace
}  // namespace throng::kv
