#include "attention/sas.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "attention/softmax.h"
#include "base/error.h"
#include "hwy/targets.h"
#include "kv/codec.h"
#include "kv/testing/random_rows.h"

namespace throng::attention {
namespace {

constexpr int kTokens = kv::kPageTokens;

// SAS of one value as the kernels compute it: the second score of a page whose first is the maximum.
double Shipped(float x, float threshold) {
  std::vector<float> scores(kTokens, -x);
  scores[0] = 0.0f;
  const Visible visible{0, kTokens};
  float max = -std::numeric_limits<float>::infinity();
  float sum = 0.0f;
  float rescale;
  SoftmaxPage(&visible, 1, &threshold, scores.data(), &max, &sum, &rescale);
  return scores[1];
}

TEST(SasTest, SmallVectors) {
  const struct {
    double x, exact, half;
  } vectors[] = {{0, 0.99960000, 0.99951172},   {0.25, 0.77886094, 0.77880859},
                 {0.5, 0.60633750, 0.60644531}, {0.75, 0.47242031, 0.47216797},
                 {1, 0.36773229, 0.36767578},   {1.5, 0.22305910, 0.22314453},
                 {2, 0.13528115, 0.13525391},   {2.7, 0.06720432, 0.06732178},
                 {3.3, 0.03688258, 0.03683472}, {4, 0.01830831, 0.01829529},
                 {5.2, 0.00551733, 0.00551987}, {6, 0.00247776, 0.00247765},
                 {6.001, 0, 0.00247765},        {7, 0, 0}};
  for (const auto& v : vectors) {
    EXPECT_NEAR(Sas(v.x, 6), v.exact, 5.1e-9) << v.x;
    EXPECT_NEAR(SasHalf(v.x), v.half, 5.1e-9) << v.x;
    EXPECT_NEAR(Shipped(static_cast<float>(v.x), 6), v.exact, 2e-7) << v.x;
  }
}

TEST(SasTest, ErrorsAreInTheirBounds) {
  constexpr int kSteps = 60000;
  for (int i = 0; i <= kSteps; ++i) {
    const double x = 6.0 * i / kSteps;
    EXPECT_NEAR(Sas(x, 6), std::exp(-x), 4.01e-4);
    EXPECT_NEAR(Sas(x, 6), std::exp(-x), 1.05e-3 * std::exp(-x));
    EXPECT_NEAR(SasHalf(x), std::exp(-x), 1e-3);
    EXPECT_NEAR(SasHalf(x), std::exp(-x), 5e-3 * std::exp(-x));
    EXPECT_LE(SasHalf(x), 1.0);
    EXPECT_GE(SasHalf(x), 0.0);
  }
}

TEST(SasTest, JumpsUpByLittleAtWholeNumbers) {
  for (int k = 1; k < 16; ++k) {
    const double jump = Sas(k, 16) - Sas(std::nextafter(k, 0.0), 16);
    EXPECT_GT(jump, 0.0);
    EXPECT_LE(jump, 6.4e-4 * std::exp(-k));
  }
}

TEST(SasTest, ThresholdGrowsWithTheVisibleKeys) {
  EXPECT_EQ(SasThreshold(1), 6.0f);
  EXPECT_EQ(SasThreshold(1024), 6.0f);
  EXPECT_FLOAT_EQ(SasThreshold(32768), 6.0f + std::log(32.0f));
  EXPECT_EQ(SasThreshold(std::numeric_limits<int>::max()), kLargestSasThreshold);
}

TEST(SasTest, EveryTargetAgreesWithDoublePrecision) {
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (const float threshold : {6.0f, 9.5f, kLargestSasThreshold}) {
      for (float x = 0.0f; x < 20.0f; x += 0.0137f) {
        // The table's f32 entries, and the sums of up to 15 rounded to f32.
        EXPECT_NEAR(Shipped(x, threshold), Sas(x, threshold), 4e-7 * std::exp(-x))
            << hwy::TargetName(target) << x;
      }
      EXPECT_EQ(Shipped(std::numeric_limits<float>::infinity(), threshold), 0.0);
      EXPECT_EQ(Shipped(std::nextafter(threshold, 20.0f), threshold), 0.0);
      EXPECT_GT(Shipped(threshold, threshold), 0.0);
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

// Runs two pages of one row; returns the probabilities of both, the first rescaled, divided by their sum.
std::vector<float> TwoPages(std::vector<float> first, std::vector<float> second, const float* threshold,
                            float* rescale) {
  const Visible visible{0, kTokens};
  float max = -std::numeric_limits<float>::infinity();
  float sum = 0.0f;
  SoftmaxPage(&visible, 1, threshold, first.data(), &max, &sum, rescale);
  SoftmaxPage(&visible, 1, threshold, second.data(), &max, &sum, rescale);
  for (float& p : first) p *= *rescale;
  first.insert(first.end(), second.begin(), second.end());
  for (float& p : first) p /= sum;
  return first;
}

TEST(SasTest, AnUnchangedMaximumLeavesThePastAsItIs) {
  const std::vector<float> scores(kTokens, 1.0f);
  const float threshold = 6.0f;
  float rescale = 0.0f;
  for (const float p : TwoPages(scores, scores, &threshold, &rescale)) EXPECT_FLOAT_EQ(p, 1.0f / 128);
  EXPECT_EQ(rescale, 1.0f);
  TwoPages(scores, std::vector<float>(kTokens, 0.5f), &threshold, &rescale);
  EXPECT_EQ(rescale, 1.0f);
  TwoPages(scores, std::vector<float>(kTokens, 2.0f), &threshold, &rescale);
  EXPECT_NEAR(rescale, 0.36773229, 1e-7);
  TwoPages(scores, std::vector<float>(kTokens, 8.0f), &threshold, &rescale);
  EXPECT_EQ(rescale, 0.0f);
}

TEST(SasTest, AConstantAddedToAllScoresChangesOnlyTheirRounding) {
  std::vector<float> first = kv::Normal(kTokens, 1, 2.0f);
  std::vector<float> second = kv::Normal(kTokens, 2, 2.0f);
  const float threshold = 6.0f;
  float rescale;
  const std::vector<float> before = TwoPages(first, second, &threshold, &rescale);
  for (float& x : first) x += 37.0f;
  for (float& x : second) x += 37.0f;
  EXPECT_LE(kv::RelativeError(TwoPages(first, second, &threshold, &rescale), before), 1e-5);
}

TEST(SasTest, WithoutItsThresholdOnlyTheCubicIsLeft) {
  const std::vector<float> first = kv::Normal(kTokens, 3, 1.5f);
  const std::vector<float> second = kv::Normal(kTokens, 4, 1.5f);
  float rescale;
  const std::vector<float> exact = TwoPages(first, second, nullptr, &rescale);
  const float wide = kLargestSasThreshold;
  EXPECT_LE(kv::RelativeError(TwoPages(first, second, &wide, &rescale), exact), 1e-3);
  const float narrow = 2.0f;
  EXPECT_GE(kv::RelativeError(TwoPages(first, second, &narrow, &rescale), exact), 1e-2);
}

TEST(SasTest, NamesAreParsed) {
  for (const SoftmaxKind kind : {SoftmaxKind::kExact, SoftmaxKind::kSas})
    EXPECT_EQ(ParseSoftmax(SoftmaxName(kind)), kind);
  EXPECT_THROW(ParseSoftmax("turbo"), Error);
}

}  // namespace
}  // namespace throng::attention
