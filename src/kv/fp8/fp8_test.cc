#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/testing/each_target.h"
#include "kv/codec_table.h"
#include "kv/float/e4m3.h"
#include "kv/testing/random_rows.h"

namespace throng::kv {
namespace {

// The number that the format's definition gives.
float Value(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                   : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return bits & 0x80 ? -size : size;
}

class Fp8Test : public EachTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Fp8Test, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()), TargetOf);

// The bytes of x in a page, whose other elements make the scale 1.
int Encoded(Part part, float x) {
  constexpr int kHeadDim = 16, kToken = 5, kChannel = 11;
  std::vector<float> block(kPageTokens * kHeadDim);
  block[kToken * kHeadDim] = kLargestE4m3;
  block[kToken * kHeadDim + kChannel] = x;
  const auto codec = ParseCodec("fp8", kHeadDim);
  AlignedBytes encoded(codec->Bytes(part));
  codec->Encode(part, block.data(), encoded.data());
  return encoded.data()[part == Part::kKeys ? kChannel * kPageTokens + kToken : kToken * kHeadDim + kChannel];
}

TEST_P(Fp8Test, EveryNumberIsItself) {
  for (int bits = 0; bits < 256; ++bits) {
    if ((bits & 0x7f) == 0x7f) continue;  // NaN
    EXPECT_EQ(Encoded(Part::kKeys, Value(static_cast<uint8_t>(bits))), bits);
    EXPECT_EQ(Encoded(Part::kValues, Value(static_cast<uint8_t>(bits))), bits);
  }
}

TEST_P(Fp8Test, OthersBecomeTheNearestTiesToEven) {
  for (int bits = 0; bits + 1 < 0x7f; ++bits) {
    const float low = Value(static_cast<uint8_t>(bits)), high = Value(static_cast<uint8_t>(bits + 1));
    const float middle = 0.5f * (low + high);
    EXPECT_EQ(Encoded(Part::kKeys, std::nextafter(middle, 0.0f)), bits);
    EXPECT_EQ(Encoded(Part::kKeys, std::nextafter(middle, 1e3f)), bits + 1);
    EXPECT_EQ(Encoded(Part::kKeys, middle), bits % 2 == 0 ? bits : bits + 1);
    EXPECT_EQ(Encoded(Part::kValues, -middle), 0x80 | (bits % 2 == 0 ? bits : bits + 1));
  }
}

TEST_P(Fp8Test, PagesDecodeToTheNumbersOfTheirBytes) {
  constexpr int kHeadDim = 24;
  const auto codec = ParseCodec("fp8", kHeadDim);
  for (const Part part : {Part::kKeys, Part::kValues}) {
    AlignedBytes encoded(codec->Bytes(part));
    codec->Encode(part, Normal(kPageTokens * kHeadDim, 1).data(), encoded.data());
    for (int i = 0; i < 256; ++i) encoded.data()[i] = static_cast<uint8_t>(i == 0x7f || i == 0xff ? 0 : i);
    const auto* scales = reinterpret_cast<const float*>(encoded.data() + kPageTokens * kHeadDim);
    std::vector<float> decoded(kPageTokens * kHeadDim);
    codec->Decode(part, encoded.data(), decoded.data());
    for (int t = 0; t < kPageTokens; ++t) {
      for (int i = 0; i < kHeadDim; ++i) {
        const int at = part == Part::kKeys ? i * kPageTokens + t : t * kHeadDim + i;
        EXPECT_EQ(decoded[static_cast<size_t>(t) * kHeadDim + i], Value(encoded.data()[at]) * scales[t]);
      }
    }
  }
}

}  // namespace
}  // namespace throng::kv
