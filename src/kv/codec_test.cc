// The suite that every codec of the table passes, at many head sizes.
#include "kv/codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "hwy/targets.h"
#include "kv/codec_table.h"
#include "kv/testing/random_rows.h"

namespace throng::kv {
namespace {

// What a codec is held to, on blocks of normally distributed values. Errors are relative, in the L2 norm.
struct Quality {
  const char* name;
  double round_trip_low, round_trip_high;  // of the decoded block; two-sided: a sudden gain is a bug too
  double score;                            // of Score against the decoded keys in double precision
  double mix;                              // of Mix against the decoded values
  double bits;                             // per element, at head size 128, scales included
  double constant = 1e-6;                  // round trip of a block whose elements are all equal
  double value_bits = 0.0;                 // of values, where they differ from those of keys
};

constexpr Quality kQuality[] = {
    {"f32", 0.0, 0.0, 1e-6, 1e-6, 32.0},
    {"f16", 1.5e-4, 2.5e-4, 1e-6, 1e-6, 16.0},
    // The query's own rounding to 8 bits counts as an error of Score.
    {"int8", 3e-3, 9e-3, 1.2e-2, 1e-4, 8.25},
    // Sums over codes are exact; queries and probabilities, times the scales, are rounded to 8 bits.
    {"kivi4", 0.03, 0.12, 1e-2, 1e-2, 4.5},
    {"kivi3", 0.06, 0.25, 1e-2, 1e-2, 3.5},
    {"kivi2", 0.1, 0.5, 1e-2, 1e-2, 2.5},
    {"kivi2:g=32", 0.1, 0.5, 1e-2, 1e-2, 3.0},
    {"kcvt4", 0.03, 0.12, 1e-2, 1e-2, 4.5, 1e-6, 4.25},
    {"gearl4", 0.03, 0.12, 1e-2, 1e-2, 5.265625},
    {"gearl2", 0.1, 0.5, 1e-2, 1e-2, 3.265625},
    {"gear4", 0.02, 0.1, 1e-2, 1e-2, 5.90625},
    {"gear2", 0.05, 0.45, 1e-2, 1e-2, 3.203125},
    {"gear2:s=5%,kcvt=1", 0.05, 0.4, 1e-2, 1e-2, 4.484375, 1e-6, 4.234375},
    // Sums are exact; what is counted is the rounding of queries and of probabilities to 8 bits.
    {"flashq4", 0.07, 0.12, 1.5e-2, 1e-2, 4.25390625},
    {"flashq2", 0.32, 0.5, 1.5e-2, 1e-2, 2.25390625},
    {"flashq4:buffer=int8", 0.07, 0.12, 1.5e-2, 1e-2, 4.2578125},
    {"flashq2:buffer=int8", 0.32, 0.5, 1.5e-2, 1e-2, 2.2578125},
    // Rotated rows are nearly normal, also where the elements are all equal.
    {"rot4", 0.04, 0.13, 1.5e-2, 3e-4, 4.25, 0.14},
    {"rot3", 0.08, 0.25, 1.5e-2, 3e-4, 3.25, 0.3},
    {"rot2", 0.15, 0.45, 1.5e-2, 3e-4, 2.25, 0.6},
};

class CodecTest : public testing::TestWithParam<std::tuple<Quality, int>> {
 protected:
  CodecTest()
      : quality_(std::get<0>(GetParam())),
        d_(std::get<1>(GetParam())),
        codec_(ParseCodec(quality_.name, d_)) {}

  AlignedBytes Encode(Part part, const std::vector<float>& block) const {
    AlignedBytes encoded(codec_->Bytes(part) + 64);
    std::fill(encoded.data(), encoded.data() + encoded.size(), 0xa5);
    codec_->Encode(part, block.data(), encoded.data());
    // Not a byte beyond what it said.
    for (size_t i = codec_->Bytes(part); i < encoded.size(); ++i) EXPECT_EQ(encoded.data()[i], 0xa5);
    return encoded;
  }
  std::vector<float> Decode(Part part, const AlignedBytes& encoded) const {
    std::vector<float> block(kPageTokens * d_);
    codec_->Decode(part, encoded.data(), block.data());
    return block;
  }
  std::vector<float> Score(const AlignedBytes& keys, const std::vector<float>& queries) const {
    const int rows = static_cast<int>(queries.size()) / d_;
    AlignedBytes prepared(rows * codec_->QueryBytes());
    for (int r = 0; r < rows; ++r) {
      codec_->PrepareQuery(queries.data() + r * d_, prepared.data() + r * codec_->QueryBytes());
    }
    std::vector<float> scores(rows * kPageTokens, NAN);
    codec_->Score(keys.data(), prepared.data(), rows, scores.data());
    return scores;
  }
  std::vector<float> Mix(const AlignedBytes& values, const std::vector<float>& p,
                         const std::vector<float>& rescale, std::vector<float> out) const {
    codec_->Mix(values.data(), p.data(), rescale.data(), static_cast<int>(rescale.size()), out.data());
    return out;
  }
  // Probabilities as the online softmax makes them: at most 1, many small.
  std::vector<float> Probabilities(int rows, uint64_t seed) const {
    std::vector<float> p = Normal(rows * kPageTokens, seed, 2.0f);
    for (float& x : p) x = std::min(1.0f, std::exp(x - 4.0f));
    return p;
  }

  Quality quality_;
  int d_;
  std::shared_ptr<const Codec> codec_;
};

TEST_P(CodecTest, RoundTripErrorIsInItsBounds) {
  for (const Part part : {Part::kKeys, Part::kValues}) {
    const std::vector<float> block = Normal(kPageTokens * d_, 1);
    const double error = RelativeError(Decode(part, Encode(part, block)), block);
    EXPECT_GE(error, quality_.round_trip_low);
    EXPECT_LE(error, quality_.round_trip_high);
  }
}

TEST_P(CodecTest, EncodingIsAFunctionOfTheBlock) {
  for (const Part part : {Part::kKeys, Part::kValues}) {
    const std::vector<float> block = Normal(kPageTokens * d_, 2);
    const AlignedBytes a = Encode(part, block);
    const AlignedBytes b = Encode(part, block);
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size()), 0);
  }
}

TEST_P(CodecTest, ScoreAgreesWithDecodedKeys) {
  const AlignedBytes keys = Encode(Part::kKeys, Normal(kPageTokens * d_, 3));
  const std::vector<float> decoded = Decode(Part::kKeys, keys);
  const std::vector<float> queries = Normal(7 * d_, 4, 1.0f / std::sqrt(static_cast<float>(d_)));
  std::vector<float> expected;
  for (int r = 0; r < 7; ++r) {
    for (int t = 0; t < kPageTokens; ++t) {
      double dot = 0.0;
      for (int i = 0; i < d_; ++i) dot += static_cast<double>(queries[r * d_ + i]) * decoded[t * d_ + i];
      expected.push_back(static_cast<float>(dot));
    }
  }
  EXPECT_LE(RelativeError(Score(keys, queries), expected), quality_.score);
}

TEST_P(CodecTest, MixAgreesWithDecodedValues) {
  const AlignedBytes values = Encode(Part::kValues, Normal(kPageTokens * d_, 5));
  const std::vector<float> decoded = Decode(Part::kValues, values);
  const std::vector<float> p = Probabilities(7, 6);
  const std::vector<float> before = Normal(7 * d_, 7);
  const std::vector<float> rescale = {0.0f, 1.0f, 0.5f, 0.25f, 1.0f, 0.0f, 0.9f};
  std::vector<float> expected;
  for (int r = 0; r < 7; ++r) {
    for (int i = 0; i < d_; ++i) {
      double sum = static_cast<double>(before[r * d_ + i]) * rescale[r];
      for (int t = 0; t < kPageTokens; ++t)
        sum += static_cast<double>(p[r * kPageTokens + t]) * decoded[t * d_ + i];
      expected.push_back(static_cast<float>(sum));
    }
  }
  EXPECT_LE(RelativeError(Mix(values, p, rescale, before), expected), quality_.mix);
}

TEST_P(CodecTest, RowsDoNotDependOnOtherRows) {
  const AlignedBytes keys = Encode(Part::kKeys, Normal(kPageTokens * d_, 8));
  const AlignedBytes values = Encode(Part::kValues, Normal(kPageTokens * d_, 9));
  const int rows = 19;
  const std::vector<float> queries = Normal(rows * d_, 10);
  const std::vector<float> p = Probabilities(rows, 11);
  const std::vector<float> before = Normal(rows * d_, 12);
  const std::vector<float> scores = Score(keys, queries);
  const std::vector<float> out = Mix(values, p, std::vector<float>(rows, 0.75f), before);
  for (int first = 0; first < rows; ++first) {
    for (int count = 1; first + count <= rows; count += 3) {
      const auto part = [&](const std::vector<float>& all, int width) {
        return std::vector<float>(all.begin() + first * width, all.begin() + (first + count) * width);
      };
      EXPECT_TRUE(SameBits(Score(keys, part(queries, d_)), part(scores, kPageTokens)));
      EXPECT_TRUE(
          SameBits(Mix(values, part(p, kPageTokens), std::vector<float>(count, 0.75f), part(before, d_)),
                   part(out, d_)));
    }
  }
}

TEST_P(CodecTest, ZeroBlocksAndZeroProbabilitiesGiveExactlyZero) {
  const std::vector<float> zeros(kPageTokens * d_, 0.0f);
  EXPECT_EQ(Decode(Part::kKeys, Encode(Part::kKeys, zeros)), zeros);
  EXPECT_EQ(Decode(Part::kValues, Encode(Part::kValues, zeros)), zeros);
  EXPECT_EQ(Score(Encode(Part::kKeys, zeros), Normal(3 * d_, 13)), std::vector<float>(3 * kPageTokens, 0.0f));

  const AlignedBytes values = Encode(Part::kValues, Normal(kPageTokens * d_, 14));
  const std::vector<float> before = Normal(3 * d_, 15);
  EXPECT_EQ(Mix(values, std::vector<float>(3 * kPageTokens, 0.0f), {1.0f, 1.0f, 1.0f}, before), before);
}

TEST_P(CodecTest, ConstantBlocksSurvive) {
  for (const Part part : {Part::kKeys, Part::kValues}) {
    for (const float x : {1.0f, -3.5f, 1000.0f}) {
      const std::vector<float> block(kPageTokens * d_, x);
      EXPECT_LE(RelativeError(Decode(part, Encode(part, block)), block), quality_.constant);
    }
  }
}

TEST_P(CodecTest, WildValuesStayFinite) {
  const float inf = std::numeric_limits<float>::infinity();
  const float wild[] = {NAN, inf, -inf, 3e38f, -3e38f, 1e-42f, -1e-30f, 65519.0f, 70000.0f, 0.0f, 1.0f};
  for (const Part part : {Part::kKeys, Part::kValues}) {
    std::vector<float> block = Normal(kPageTokens * d_, 16);
    for (size_t i = 0; i < block.size(); i += 5) block[i] = wild[(i / 5) % std::size(wild)];
    for (const float x : Decode(part, Encode(part, block))) EXPECT_TRUE(std::isfinite(x));
    for (const float x : wild) {
      for (const float y : Decode(part, Encode(part, std::vector<float>(kPageTokens * d_, x)))) {
        EXPECT_TRUE(std::isfinite(y)) << x;
      }
    }
  }
}

TEST_P(CodecTest, HugeValuesInRangeOfTheOpenPageGiveFiniteResults) {
  std::vector<float> block = Normal(kPageTokens * d_, 17);
  for (size_t i = 0; i < block.size(); ++i) block[i] = i % 3 == 0 ? 65504.0f : -65504.0f;
  for (const float x : Score(Encode(Part::kKeys, block), Normal(5 * d_, 18, 100.0f)))
    EXPECT_TRUE(std::isfinite(x));
  const std::vector<float> p(5 * kPageTokens, 1.0f);
  for (const float x :
       Mix(Encode(Part::kValues, block), p, std::vector<float>(5, 1.0f), std::vector<float>(5 * d_))) {
    EXPECT_TRUE(std::isfinite(x));
  }
}

TEST_P(CodecTest, BytesAreWhatTheTableSays) {
  for (const Part part : {Part::kKeys, Part::kValues}) {
    EXPECT_EQ(codec_->Bytes(part), codec_->Count(part).Total());
    if (d_ == 128) {
      const bool own = part == Part::kValues && quality_.value_bits > 0.0;
      EXPECT_DOUBLE_EQ(8.0 * codec_->Bytes(part) / (kPageTokens * d_),
                       own ? quality_.value_bits : quality_.bits);
    }
  }
  EXPECT_EQ(codec_->QueryBytes() % 64, 0u);
  EXPECT_EQ(codec_->Name(), quality_.name);
}

TEST_P(CodecTest, AllTargetsPassTheSameBounds) {
  const std::vector<float> block = Normal(kPageTokens * d_, 19);
  const std::vector<float> queries = Normal(6 * d_, 20, 1.0f / std::sqrt(static_cast<float>(d_)));
  const std::vector<float> p = Probabilities(6, 21);
  const std::vector<float> ones(6, 1.0f);
  std::vector<float> scores, out;
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    const AlignedBytes keys = Encode(Part::kKeys, block);
    const AlignedBytes values = Encode(Part::kValues, block);
    const std::vector<float> target_scores = Score(keys, queries);
    const std::vector<float> target_out = Mix(values, p, ones, std::vector<float>(6 * d_));
    if (!scores.empty()) {
      EXPECT_LE(RelativeError(target_scores, scores), 2e-6) << hwy::TargetName(target);
      EXPECT_LE(RelativeError(target_out, out), 2e-6) << hwy::TargetName(target);
    }
    scores = target_scores;
    out = target_out;
  }
  hwy::SetSupportedTargetsForTest(0);
}

INSTANTIATE_TEST_SUITE_P(All, CodecTest,
                         testing::Combine(testing::ValuesIn(kQuality),
                                          testing::Values(8, 24, 64, 80, 96, 128, 256)),
                         [](const auto& info) {
                           std::string name = std::get<0>(info.param).name;
                           for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name + "_" + std::to_string(std::get<1>(info.param));
                         });

TEST(CodecTableTest, EveryCodecHasItsQualityLine) {
  for (const CodecEntry& entry : CodecTable()) {
    EXPECT_TRUE(std::any_of(std::begin(kQuality), std::end(kQuality), [&](const Quality& q) {
      return std::string(q.name).starts_with(entry.name);
    })) << entry.name;
  }
}

}  // namespace
}  // namespace throng::kv
