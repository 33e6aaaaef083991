#include "kv/int8/int8_open.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kv/codec_table.h"
#include "kv/flashq/flashq_reference.h"
#include "kv/testing/random_rows.h"

namespace throng::kv {
namespace {

constexpr int kDim = 24;

std::vector<float> Block(uint64_t seed, float scale = 1.0f) {
  return Normal(static_cast<size_t>(kPageTokens) * kDim, seed, scale);
}

AlignedBytes Fill(const OpenCodec& open, Part part, const std::vector<float>& block, float scale) {
  AlignedBytes page(open.Bytes(part));
  open.Begin(part, page.data(), scale);
  open.Append(part, page.data(), 0, kPageTokens, block.data(), kDim);
  return page;
}

float Largest(const std::vector<float>& block) {
  float largest = 0.0f;
  for (const float x : block) largest = std::max(largest, std::abs(x));
  return largest;
}

TEST(Int8OpenTest, RowsAreRoundedByTheUniversalScaleAndClamped) {
  const auto open = MakeInt8Open(kDim);
  const std::vector<float> block = Block(1);
  const float scale = 0.01f;  // 1.19 at most, which many exceed
  for (const Part part : {Part::kKeys, Part::kValues}) {
    const AlignedBytes page = Fill(*open, part, block, scale);
    std::vector<float> decoded(block.size());
    open->Decode(part, page.data(), decoded.data());
    for (size_t i = 0; i < block.size(); ++i) {
      const float clamped = std::clamp(block[i], -119 * scale, 119 * scale);
      EXPECT_NEAR(decoded[i], clamped, 0.501f * scale);
    }
    Int8OpenPage read;
    ReadInt8Open(part, page.data(), kDim, read);
    EXPECT_EQ(read.universal, scale);
    EXPECT_FLOAT_EQ(read.wanted, Largest(block) / 119.0f);
  }
}

TEST(Int8OpenTest, RowsOfAFirstPageHaveTheirOwnScales) {
  const auto open = MakeInt8Open(kDim);
  std::vector<float> block = Block(2);
  for (int i = 0; i < kDim; ++i) block[7 * kDim + i] *= 1000.0f;
  for (const Part part : {Part::kKeys, Part::kValues}) {
    const AlignedBytes page = Fill(*open, part, block, 0.0f);
    std::vector<float> decoded(block.size());
    open->Decode(part, page.data(), decoded.data());
    for (int t = 0; t < kPageTokens; ++t) {
      const auto row = [&](const std::vector<float>& of) {
        return std::vector<float>(of.begin() + t * kDim, of.begin() + (t + 1) * kDim);
      };
      EXPECT_LE(RelativeError(row(decoded), row(block)), 0.01) << t;
    }
  }
}

TEST(Int8OpenTest, SealingTakesTheIntegersOfTheOpenPage) {
  const auto open = MakeInt8Open(kDim);
  const auto codec = ParseCodec("flashq4:buffer=int8", kDim);
  for (const Part part : {Part::kKeys, Part::kValues}) {
    const AlignedBytes first_page = Fill(*open, part, Block(9), 0.0f);
    AlignedBytes before(codec->Bytes(part));
    codec->Seal(part, *open, first_page.data(), {}, before.data());
    const float scale = codec->NextScale(part, before.data());
    const AlignedBytes page = Fill(*open, part, Block(3), scale);
    Int8OpenPage read;
    ReadInt8Open(part, page.data(), kDim, read);
    const FlashqChannels channels = QuantizeFlashqChannels(
        std::vector<int>(read.codes, read.codes + kPageTokens * kDim), kDim, 4, FlashqScale::kCeil,
        part == Part::kKeys ? FlashqZero::kLowest : FlashqZero::kFirstToken);
    AlignedBytes sealed(codec->Bytes(part));
    codec->Seal(part, *open, page.data(), {1, before.data()}, sealed.data());
    std::vector<float> decoded(static_cast<size_t>(kPageTokens) * kDim);
    codec->Decode(part, sealed.data(), decoded.data());
    for (size_t i = 0; i < decoded.size(); ++i) {
      ASSERT_EQ(decoded[i], scale * static_cast<float>(channels.rebuilt[i])) << i;
    }
  }
}

// Page after page, as a sequence seals them.
TEST(Int8OpenTest, TheNextScaleIsTheMeanOfWhatThePagesWanted) {
  const auto open = MakeInt8Open(kDim);
  const auto codec = ParseCodec("flashq2:buffer=int8", kDim);
  for (const Part part : {Part::kKeys, Part::kValues}) {
    float scale = 0.0f;
    double sum = 0.0;
    AlignedBytes before(codec->Bytes(part));
    for (int i = 0; i < 6; ++i) {
      const std::vector<float> block = Block(10 + i, i == 2 ? 8.0f : 1.0f);
      const AlignedBytes page = Fill(*open, part, block, scale);
      AlignedBytes sealed(codec->Bytes(part));
      codec->Seal(part, *open, page.data(), {i, i == 0 ? nullptr : before.data()}, sealed.data());
      std::memcpy(before.data(), sealed.data(), sealed.size());
      sum += Largest(block) / 119.0;
      scale = codec->NextScale(part, sealed.data());
      EXPECT_NEAR(scale, sum / (i + 1), 1e-5 * scale) << i;
    }
  }
}

TEST(Int8OpenTest, AScaleThatCannotDivideIsNone) {
  const auto open = MakeInt8Open(kDim);
  for (const float scale : {0.0f, 1e-40f}) {
    const AlignedBytes page = Fill(*open, Part::kKeys, Block(4), scale);
    Int8OpenPage read;
    ReadInt8Open(Part::kKeys, page.data(), kDim, read);
    EXPECT_EQ(read.universal, 0.0f);
  }
}

}  // namespace
}  // namespace throng::kv
