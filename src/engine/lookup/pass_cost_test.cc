#include "engine/lookup/pass_cost.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"

namespace throng::engine {
namespace {

// The time of one guess more, in passes without any.
double OfGuess(const PassCost& cost, size_t sequences) {
  return cost.Of(sequences, 1) / cost.Of(sequences, 0) - 1;
}

TEST(PassCost, LearnsWhatAGuessCosts) {
  PassCost cost;
  CounterRng rng(1);
  for (int i = 0; i < 300; ++i) {
    const size_t sequences = 1 + rng.NextBelow(4), guesses = rng.NextBelow(5);
    double seconds = 1e-3 * (10 + 2 * static_cast<double>(sequences) + 0.6 * static_cast<double>(guesses));
    if (i > 10 && i % 50 == 0) seconds *= 30;  // the machine was busy
    cost.Observe(sequences, guesses, seconds);
  }
  EXPECT_NEAR(OfGuess(cost, 2), 0.6 / 14, 0.03);
  EXPECT_NEAR(OfGuess(cost, 10), 0.6 / 30, 0.02);
}

TEST(PassCost, LearnsWithOneSequenceAlone) {
  PassCost cost;
  for (int i = 0; i < 100; ++i) cost.Observe(1, i % 3, 2e-4 + 1e-4 * (i % 3));
  EXPECT_NEAR(OfGuess(cost, 1), 0.5, 0.01);
  EXPECT_NEAR(cost.Of(1, 6), 8e-4, 1e-5);
  // A change is noticed.
  for (int i = 0; i < 2000; ++i) cost.Observe(1, i % 3, 2e-4 + 1e-5 * (i % 3));
  EXPECT_NEAR(OfGuess(cost, 1), 0.05, 0.02);
}

// It repacks the weights. Were it part of a mean, guesses would seem to be free for hundreds of passes.
TEST(PassCost, TheFirstPassSaysNothing) {
  PassCost cost;
  cost.Observe(1, 0, 1);
  for (int i = 0; i < 30; ++i) cost.Observe(1, i % 3, 1e-3 * (1 + 0.5 * (i % 3)));
  EXPECT_NEAR(OfGuess(cost, 1), 0.5, 0.02);
}

TEST(PassCost, KeepsWhatItKnowsWithoutGuesses) {
  PassCost cost;
  const double before = OfGuess(cost, 1);
  for (int i = 0; i < 5000; ++i) cost.Observe(1, 0, 1e-3);
  EXPECT_EQ(OfGuess(cost, 1), before);
  for (int i = 0; i < 100; ++i) cost.Observe(100, 50, 1e-3);  // too large to say anything
  EXPECT_EQ(OfGuess(cost, 1), before);
}

TEST(PassPlan, TakesGuessesThatMakeAPassFaster) {
  PassCost cost;
  for (int i = 0; i < 100; ++i) cost.Observe(1, i % 3, 1e-3 * (1 + 0.5 * (i % 3)));
  PassPlan alone(cost, 1, false);
  EXPECT_EQ(alone.Best(std::vector{0.6}), 1u);
  EXPECT_EQ(alone.Best(std::vector{0.4}), 0u);
  EXPECT_EQ(alone.Best(std::vector{0.7, 0.6, 0.1}), 2u);
  alone.Add(std::vector{0.6});  // 1.6 tokens in 1.5 of the time
  EXPECT_EQ(alone.Best(std::vector{0.6}), 1u);
  EXPECT_EQ(alone.Best(std::vector{0.5}), 0u);
  EXPECT_EQ(PassPlan(cost, 1, true).Best(std::vector{0.01, 0.001}), 2u);
}

// Rows in groups of four: the first guess opens a group, and three more are free.
TEST(PassPlan, FillsTheGroupsOfKernels) {
  PassCost cost;
  for (int i = 0; i < 300; ++i) cost.Observe(1, i % 6, i % 6 == 0 ? 1 : i % 6 < 5 ? 2 : 3);
  const PassPlan plan(cost, 1, false);
  EXPECT_EQ(plan.Best(std::vector{0.9}), 0u);
  EXPECT_EQ(plan.Best(std::vector{0.9, 0.8}), 2u);
  EXPECT_EQ(plan.Best(std::vector{0.9, 0.8, 0.7, 0.6, 0.5}), 4u);
}

}  // namespace
}  // namespace throng::engine
