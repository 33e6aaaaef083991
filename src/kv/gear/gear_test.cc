#include "kv/gear/gear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "kv/codec_table.h"
#include "kv/gear/gear_encode.h"
#include "kv/gear/gear_reference.h"
#include "kv/synthetic/synthetic_kv.h"
#include "kv/testing/random_rows.h"

namespace throng::kv {
namespace {

// One page of one head, with channel outliers and large elements.
std::vector<float> Page(Part part, int head_dim, const SampleOptions& like = {}) {
  SampleOptions options = like;
  options.num_tokens = kPageTokens;
  options.num_heads = 1;
  options.head_dim = head_dim;
  const KvSample sample = MakeKvSample(options);
  const std::vector<double>& x = part == Part::kKeys ? sample.keys : sample.values;
  return std::vector<float>(x.begin(), x.end());
}

std::vector<float> RoundTrip(const Codec& codec, Part part, const std::vector<float>& block) {
  AlignedBytes encoded(codec.Bytes(part));
  codec.Encode(part, block.data(), encoded.data());
  std::vector<float> decoded(block.size());
  codec.Decode(part, encoded.data(), decoded.data());
  return decoded;
}

std::vector<double> Doubles(const std::vector<float>& x) { return {x.begin(), x.end()}; }

struct Pair {
  const char* spec;
  GearMethod method;  // the reference's method; a unit of 64 tokens of one head
};

GearMethod Method(int bits, Backbone backbone, int group, double sparsity, int rank, int rounds = 0) {
  return {.bits = bits,
          .backbone = backbone,
          .group = group,
          .sparsity = sparsity,
          .rule = OutlierRule::kPerUnit,
          .rank = rank,
          .rounds = rounds,
          .both_ways = bits == 2 && rounds > 0};
}

class GearTest : public testing::TestWithParam<std::tuple<Pair, int, Part>> {};

TEST_P(GearTest, AgreesWithTheReference) {
  const auto& [pair, d, part] = GetParam();
  const std::vector<float> block = Page(part, d);
  const std::vector<double> x = Doubles(block);
  const std::vector<double> decoded = Doubles(RoundTrip(*ParseCodec(pair.spec, d), part, block));
  const TensorShape shape{1, kPageTokens, d};
  GearMethod method = pair.method;
  method.start = GearStart(d, method.rank);
  method.int8_factors = method.rounds > 0;
  const GearResult expected = ApproximateGear(method, part, shape, x);
  // Ordinary elements: the same codes, and factors of 8 bits. Outliers: exact but for f16.
  const double largest = std::abs(
      *std::max_element(x.begin(), x.end(), [](double a, double b) { return std::abs(a) < std::abs(b); }));
  std::vector<double> aim = x;
  double square = 0.0, low_rank_square = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (expected.outlier[i]) {
      EXPECT_NEAR(decoded[i], x[i], 0x1p-11 * (largest + std::abs(expected.low_rank[i]))) << i;
      continue;
    }
    aim[i] = expected.coded[i] + expected.low_rank[i];
    square += std::pow(decoded[i] - aim[i], 2);
    low_rank_square += std::pow(expected.low_rank[i], 2);
  }
  if (method.rounds == 0) {
    // More channels share the scale of a factor in a wide head.
    const double share = d > 256 ? 0.04 : 0.03;
    EXPECT_LE(std::sqrt(square), share * std::sqrt(low_rank_square) + 1e-6 * largest);
  }
  // Nor does it change the whole error.
  EXPECT_NEAR(RelativeError(decoded, x) / RelativeError(aim, x), 1.0, 1e-3);
}

const Pair kPairs[] = {
    {"kivi4", Method(4, Backbone::kKivi, 64, 0.0, 0)},
    {"kivi3", Method(3, Backbone::kKivi, 64, 0.0, 0)},
    {"kivi2", Method(2, Backbone::kKivi, 64, 0.0, 0)},
    {"kivi2:g=32", Method(2, Backbone::kKivi, 32, 0.0, 0)},
    {"kcvt4", Method(4, Backbone::kKcvt, 0, 0.0, 0)},
    {"gearl4", Method(4, Backbone::kKivi, 64, 0.0, 4, 2)},
    {"gearl2:r=2", Method(2, Backbone::kKivi, 64, 0.0, 2, 2)},
    {"gear4:kcvt=1", Method(4, Backbone::kKcvt, 0, 0.02, 4, 2)},
    {"gear4", Method(4, Backbone::kKivi, 64, 0.02, 4, 2)},
    {"gear2", Method(2, Backbone::kKivi, 64, 0.01, 2, 2)},
    {"gear2:r=16,s=10%,g=16", Method(2, Backbone::kKivi, 16, 0.10, 16, 2)},
    {"gearl4:rounds=0", Method(4, Backbone::kKivi, 64, 0.0, 4)},
    {"gearl2:r=2,rounds=0", Method(2, Backbone::kKivi, 64, 0.0, 2)},
    {"gear4:kcvt=1,rounds=0", Method(4, Backbone::kKcvt, 0, 0.02, 4)},
    {"gear4:rounds=0", Method(4, Backbone::kKivi, 64, 0.02, 4)},
    {"gear2:rounds=0", Method(2, Backbone::kKivi, 64, 0.01, 2)},
    {"gear2:rounds=1", Method(2, Backbone::kKivi, 64, 0.01, 2, 1)},
    {"gear2:r=16,s=10%,g=16,rounds=0", Method(2, Backbone::kKivi, 16, 0.10, 16)},
};

INSTANTIATE_TEST_SUITE_P(All, GearTest,
                         testing::Combine(testing::ValuesIn(kPairs), testing::Values(64, 80, 128, 576),
                                          testing::Values(Part::kKeys, Part::kValues)));

// Bytes of a unit of n tokens, keys and values of one head: as published, but with factors of 8 bits.
TEST(GearBytesTest, AreThePublishedFormulaWithUnitsOfAPage) {
  const size_t n = kPageTokens;
  for (const size_t d : {64, 128, 256, 576}) {
    for (const Pair& pair : kPairs) {
      const GearMethod& m = pair.method;
      const auto codec = ParseCodec(pair.spec, static_cast<int>(d));
      const ByteCounts keys = codec->Count(Part::kKeys);
      const ByteCounts values = codec->Count(Part::kValues);
      EXPECT_EQ(keys.codes + values.codes, 2 * n * d * m.bits / 8) << pair.spec;
      const size_t g = m.group == 0 ? n : m.group;
      EXPECT_EQ(keys.scales, 4 * d * (n / g)) << pair.spec;
      EXPECT_EQ(values.scales, m.group == 0 ? 4 * n : 4 * n * d / g) << pair.spec;
      const auto entries = static_cast<size_t>(std::lround(m.sparsity * static_cast<double>(n * d)));
      EXPECT_EQ(keys.sparse + values.sparse, 2 * 4 * entries) << pair.spec;
      const size_t published = 4 * m.rank * (n + d);
      EXPECT_EQ(keys.low_rank + values.low_rank, published / 2 + 8 * m.rank) << pair.spec;
    }
  }
}

TEST(GearBytesTest, Kcvt4IsKivi4UpToOneGroup) {
  const std::vector<float> block = Page(Part::kValues, 64);
  const auto kivi = ParseCodec("kivi4", 64);
  const auto kcvt = ParseCodec("kcvt4", 64);
  ASSERT_EQ(kivi->Bytes(Part::kValues), kcvt->Bytes(Part::kValues));
  EXPECT_TRUE(SameBits(RoundTrip(*kivi, Part::kValues, block), RoundTrip(*kcvt, Part::kValues, block)));
}

TEST(GearParametersTest, NamesSayWhatIsNotUsual) {
  EXPECT_EQ(ParseCodec("gear2:s=1%,r=2,g=64,kcvt=0", 64)->Name(), "gear2");
  EXPECT_EQ(ParseCodec("gear2:s=0.03,kcvt=1,r=4", 64)->Name(), "gear2:r=4,s=3%,kcvt=1");
  EXPECT_EQ(ParseCodec("kivi3:g=16", 64)->Name(), "kivi3:g=16");
}

TEST(GearParametersTest, RefusesWhatItCannotDo) {
  for (const char* spec : {"gear2:g=24", "gear2:g=128", "gear2:rounds=17", "kivi4:rounds=1", "gear2:r=17",
                           "gear2:r=0", "gear2:s=11%", "kivi2:r=2", "gearl2:s=2%", "kivi4:kcvt=2"}) {
    EXPECT_THROW(ParseCodec(spec, 64), Error) << spec;
  }
}

// |a - b| / |b| over keys and values of some pages.
double ErrorOf(const char* spec) {
  constexpr int kHeadDim = 128;
  double square = 0.0, norm = 0.0;
  for (const double spread : {0.4, 1.2}) {
    for (const Part part : {Part::kKeys, Part::kValues}) {
      const std::vector<float> block = Page(part, kHeadDim, {.key_spread = spread});
      const double error =
          RelativeError(Doubles(RoundTrip(*ParseCodec(spec, kHeadDim), part, block)), Doubles(block));
      square += error * error;
      norm += 1.0;
    }
  }
  return std::sqrt(square / norm);
}

TEST(GearErrorTest, EachTermHelps) {
  EXPECT_LT(ErrorOf("kivi4"), ErrorOf("kivi3"));
  EXPECT_LT(ErrorOf("kivi3"), ErrorOf("kivi2"));
  EXPECT_LT(ErrorOf("kivi2:g=32"), ErrorOf("kivi2"));
  EXPECT_LT(ErrorOf("kivi4"), ErrorOf("kcvt4"));
  EXPECT_LT(ErrorOf("gearl4"), ErrorOf("kivi4"));
  EXPECT_LT(ErrorOf("gear4"), ErrorOf("gearl4"));
  EXPECT_LT(ErrorOf("gearl2"), ErrorOf("kivi2"));
  EXPECT_LT(ErrorOf("gear2"), ErrorOf("gearl2:r=2"));
  EXPECT_LT(ErrorOf("gear2:s=5%"), ErrorOf("gear2"));
  EXPECT_LT(ErrorOf("gear2:r=8"), ErrorOf("gear2"));
}

// More in the slow tests and docs/kv-study.md.
TEST(GearErrorTest, TurnsOfQuantisationAndLowRankPay) {
  for (const std::string spec : {"gearl4", "gearl2", "gear4", "gear2"}) {
    const double published = ErrorOf((spec + ":rounds=0").c_str());
    EXPECT_LT(ErrorOf((spec + ":rounds=1").c_str()), 0.93 * published) << spec;
    EXPECT_LT(ErrorOf(spec.c_str()), 0.9 * published) << spec;
  }
}

// Pairs of channels that turn with the position alone, as keys of heads that look back by position: more
// directions of one size than L has.
TEST(GearErrorTest, KeepsTheBetterOfFitsInTurnsAndOnce) {
  constexpr int kHeadDim = 64, kTurning = 16;
  std::vector<float> turning(static_cast<size_t>(kPageTokens) * kHeadDim);
  for (int t = 0; t < kPageTokens; ++t) {
    for (int c = 0; c < kTurning; ++c) {
      const double angle = t * std::pow(10000.0, -(c / 2) / 32.0);
      turning[static_cast<size_t>(t) * kHeadDim + c] =
          static_cast<float>(8.0 * (c % 2 == 0 ? std::cos(angle) : std::sin(angle)));
    }
  }
  for (const std::string spec : {"gearl2:r=2", "gear2"}) {
    const auto error = [&](const std::string& rounds, Part part, const std::vector<float>& block) {
      const auto codec = ParseCodec(spec + (spec == "gear2" ? ":" : ",") + rounds, kHeadDim);
      return RelativeError(Doubles(RoundTrip(*codec, part, block)), Doubles(block));
    };
    const double once = error("rounds=0", Part::kKeys, turning);
    EXPECT_EQ(error("rounds=2", Part::kKeys, turning), once) << spec;
    for (const Part part : {Part::kKeys, Part::kValues}) {
      const std::vector<float> page = Page(part, kHeadDim);
      EXPECT_LT(error("rounds=2", part, page), 0.95 * error("rounds=0", part, page)) << spec;
    }
  }
}

// The first fit of a constant page finds nothing; later ones must find what is left all the same.
TEST(GearErrorTest, FitsGoOnFromNothing) {
  std::vector<float> block(64 * 64, 3.0f);
  for (int t = 0; t < 64; ++t) block[static_cast<size_t>(t) * 64 + 5] += 0.001f * static_cast<float>(t);
  for (const Part part : {Part::kKeys, Part::kValues}) {
    const double error =
        RelativeError(Doubles(RoundTrip(*ParseCodec("gearl4", 64), part, block)), Doubles(block));
    EXPECT_LT(error, 1e-4);
  }
}

// A channel's constant does not matter: outliers are left out of the range, not replaced by zeros.
TEST(GearErrorTest, ConstantsOfChannelsHardlyMatter) {
  std::vector<float> block = Page(Part::kKeys, 64);
  const auto codec = ParseCodec("gear2", 64);
  const auto absolute = [&] {
    const std::vector<float> decoded = RoundTrip(*codec, Part::kKeys, block);
    double square = 0.0;
    for (size_t i = 0; i < block.size(); ++i) square += std::pow(decoded[i] - block[i], 2);
    return std::sqrt(square);
  };
  const double before = absolute();
  for (size_t i = 0; i < block.size(); ++i) {
    block[i] = static_cast<float>(RoundToHalf(block[i] + 0.5 * static_cast<double>(i % 64) - 16.0));
  }
  EXPECT_NEAR(absolute() / before, 1.0, 0.02);
}

// Channels that dwarf the others cost the query's rounding its precision, most of all those with a bias that
// RoPE turns. At a quarter of the codes' own error it adds 3 % to that.
TEST(GearErrorTest, RoundingOfQueriesIsFarBelowThatOfKeys) {
  constexpr int kHeadDim = 128;
  const SampleOptions samples[] = {{.key_spread = 0.4},
                                   {.key_spread = 1.2},
                                   {.key_bias = 300.0, .bias_pair = 22},
                                   {.key_bias = 900.0, .bias_pair = 22},
                                   {.key_bias = 900.0, .bias_pair = 2},
                                   {.key_bias = 900.0, .bias_pair = 60}};
  for (const char* spec : {"kivi4", "kivi3", "kivi2", "gearl4", "gearl4:g=32", "gearl2", "gear4", "gear2"}) {
    for (const SampleOptions& sample : samples) {
      const std::vector<float> keys = Page(Part::kKeys, kHeadDim, sample);
      const auto codec = ParseCodec(spec, kHeadDim);
      AlignedBytes encoded(codec->Bytes(Part::kKeys));
      codec->Encode(Part::kKeys, keys.data(), encoded.data());
      const std::vector<float> decoded = RoundTrip(*codec, Part::kKeys, keys);
      double of_codes = 0.0, of_rounding = 0.0;
      for (uint64_t seed = 1; seed <= 8; ++seed) {
        const std::vector<float> query = Normal(kHeadDim, seed);
        AlignedBytes prepared(codec->QueryBytes());
        codec->PrepareQuery(query.data(), prepared.data());
        std::vector<float> scores(kPageTokens);
        codec->Score(encoded.data(), prepared.data(), 1, scores.data());
        for (int t = 0; t < kPageTokens; ++t) {
          double exact = 0.0, of_decoded = 0.0;
          for (int c = 0; c < kHeadDim; ++c) {
            exact += static_cast<double>(query[c]) * keys[t * kHeadDim + c];
            of_decoded += static_cast<double>(query[c]) * decoded[t * kHeadDim + c];
          }
          of_codes += std::pow(of_decoded - exact, 2);
          of_rounding += std::pow(scores[t] - of_decoded, 2);
        }
      }
      EXPECT_LE(std::sqrt(of_rounding / of_codes), 0.25)
          << spec << " " << sample.key_spread << " " << sample.key_bias << " " << sample.bias_pair;
    }
  }
}

}  // namespace
}  // namespace throng::kv
