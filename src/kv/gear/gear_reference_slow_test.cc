// The published error tables: 1024 tokens, 8 heads of 128 channels. Expected numbers come from an independent
// implementation; its low-rank terms start from other numbers, hence their wider tolerance.
#include <gtest/gtest.h>

#include "kv/gear/gear_reference.h"
#include "kv/synthetic/synthetic_kv.h"

namespace throng::kv {
namespace {

constexpr Backbone kPerToken = Backbone::kPerToken;
constexpr Backbone kKcvt = Backbone::kKcvt;
constexpr Backbone kKivi = Backbone::kKivi;

const KvSample& Base() {
  static const KvSample sample = MakeKvSample();
  return sample;
}

std::vector<double> Approximate(const KvSample& sample, const GearMethod& method, Part part) {
  const TensorShape shape{sample.options.num_heads, sample.options.num_tokens, sample.options.head_dim};
  return ApproximateGear(method, part, shape, part == Part::kKeys ? sample.keys : sample.values).Sum();
}

double ErrorOf(const KvSample& sample, const GearMethod& method, Part part) {
  return RelativeError(Approximate(sample, method, part), part == Part::kKeys ? sample.keys : sample.values);
}

void ExpectNear(double value, double expected, const GearMethod& method) {
  EXPECT_NEAR(value, expected, expected * (method.rank > 0 ? 1e-2 : 1e-3));
}

struct Row {
  Backbone backbone;
  int group;
  double sparsity;
  int rank;
  double expected[2][3];  // 4 and 2 bits: keys, values, output of attention
};

class GearTableTest : public testing::TestWithParam<Row> {};

TEST_P(GearTableTest, ErrorsAreThePublishedOnes) {
  const Row& row = GetParam();
  const std::vector<double> exact = SampleAttention(Base(), Base().keys, Base().values);
  for (const int i : {0, 1}) {
    const GearMethod method{.bits = i == 0 ? 4 : 2,
                            .backbone = row.backbone,
                            .group = row.group,
                            .sparsity = row.sparsity,
                            .rank = row.rank};
    const std::vector<double> keys = Approximate(Base(), method, Part::kKeys);
    const std::vector<double> values = Approximate(Base(), method, Part::kValues);
    ExpectNear(RelativeError(keys, Base().keys), row.expected[i][0], method);
    ExpectNear(RelativeError(values, Base().values), row.expected[i][1], method);
    // With outliers, wider: of equal elements, that program kept others.
    const double tolerance = row.rank > 0 ? 1e-2 : row.sparsity > 0.0 ? 2e-3 : 1e-3;
    EXPECT_NEAR(RelativeError(SampleAttention(Base(), keys, values), exact), row.expected[i][2],
                row.expected[i][2] * tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, GearTableTest,
    testing::Values(Row{kPerToken, 64, 0.0, 0, {{0.12996, 0.09526, 0.24835}, {0.65835, 0.48607, 1.08612}}},
                    Row{kKcvt, 0, 0.0, 0, {{0.13345, 0.18196, 0.22420}, {0.69060, 0.94837, 1.39676}}},
                    Row{kKivi, 64, 0.0, 0, {{0.07302, 0.09526, 0.11688}, {0.36864, 0.48607, 0.64945}}},
                    Row{kKivi, 32, 0.0, 0, {{0.06230, 0.08096, 0.09884}, {0.31356, 0.41211, 0.53525}}},
                    Row{kKcvt, 0, 0.02, 0, {{0.07011, 0.08813, 0.09712}, {0.35191, 0.44182, 0.49953}}},
                    Row{kKcvt, 0, 0.0, 4, {{0.11897, 0.16814, 0.21748}, {0.57996, 0.81920, 1.18541}}},
                    Row{kKcvt, 0, 0.02, 4, {{0.06769, 0.08378, 0.09418}, {0.33977, 0.42030, 0.48363}}},
                    Row{kKivi, 64, 0.02, 0, {{0.05888, 0.07513, 0.08233}, {0.29595, 0.37733, 0.42326}}},
                    Row{kKivi, 64, 0.0, 4, {{0.07009, 0.08990, 0.11284}, {0.35329, 0.45633, 0.60226}}},
                    Row{kKivi, 64, 0.02, 4, {{0.05689, 0.07132, 0.08060}, {0.28585, 0.35783, 0.41321}}}));

TEST(GearSweepTest, ErrorsFallWithTheRank) {
  const int ranks[] = {1, 2, 4, 8, 16, 32};
  const double keys[] = {0.36455, 0.36039, 0.35329, 0.34052, 0.31878, 0.27799};
  const double values[] = {0.47319, 0.46688, 0.45633, 0.43745, 0.40768, 0.35912};
  for (int i = 0; i < 6; ++i) {
    const GearMethod method{.bits = 2, .rank = ranks[i]};
    ExpectNear(ErrorOf(Base(), method, Part::kKeys), keys[i], method);
    ExpectNear(ErrorOf(Base(), method, Part::kValues), values[i], method);
  }
}

TEST(GearSweepTest, ErrorsFallWithTheNumberOfOutliers) {
  const double s[] = {0.0, 0.005, 0.01, 0.02, 0.05, 0.10};
  const double keys[] = {0.36864, 0.33388, 0.31625, 0.29595, 0.25652, 0.21264};
  for (int i = 0; i < 6; ++i) {
    const GearMethod method{.bits = 2, .sparsity = s[i]};
    ExpectNear(ErrorOf(Base(), method, Part::kKeys), keys[i], method);
  }
}

TEST(GearSweepTest, OtherDataGiveThePublishedErrors) {
  const KvSample white = MakeKvSample({.structured = false});
  const GearMethod plain{.bits = 2};
  const GearMethod low_rank{.bits = 2, .rank = 4};
  const GearMethod both{.bits = 2, .sparsity = 0.02, .rank = 4};
  ExpectNear(ErrorOf(white, plain, Part::kKeys), 0.44955, plain);
  ExpectNear(ErrorOf(white, plain, Part::kValues), 0.44948, plain);
  ExpectNear(ErrorOf(white, low_rank, Part::kKeys), 0.43926, low_rank);
  ExpectNear(ErrorOf(white, low_rank, Part::kValues), 0.43904, low_rank);
  ExpectNear(ErrorOf(white, both, Part::kKeys), 0.37264, both);
  ExpectNear(ErrorOf(white, both, Part::kValues), 0.37176, both);

  const KvSample uneven = MakeKvSample({.key_spread = 1.2});
  const double four[] = {0.16475, 0.08892, 0.11444, 0.06537};
  const double two[] = {0.46288, 0.36876, 0.33051, 0.26761};
  for (int i = 0; i < 4; ++i) {
    const GearMethod kcvt{.backbone = kKcvt, .sparsity = i % 2 * 0.02, .rank = i / 2 * 4};
    const GearMethod kivi{.bits = 2, .sparsity = i % 2 * 0.02, .rank = i / 2 * 4};
    ExpectNear(ErrorOf(uneven, kcvt, Part::kKeys), four[i], kcvt);
    ExpectNear(ErrorOf(uneven, kivi, Part::kKeys), two[i], kivi);
  }
}

}  // namespace
}  // namespace throng::kv
