#include "engine/lookup/pass_cost.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace throng::engine {
namespace {

TEST(PassCost, LearnsWhatAGuessCosts) {
  PassCost cost;
  CounterRng rng(1);
  for (int i = 0; i < 300; ++i) {
    const size_t sequences = 1 + rng.NextBelow(4), guesses = rng.NextBelow(5);
    double seconds = 1e-3 * (10 + 2 * static_cast<double>(sequences) + 0.6 * static_cast<double>(guesses));
    if (i > 10 && i % 50 == 0) seconds *= 30;  // the machine was busy
    cost.Observe(sequences, guesses, seconds);
  }
  EXPECT_NEAR(cost.OfGuess(1), 0.05, 0.03);
  EXPECT_NEAR(cost.OfGuess(20), 0.012, 0.02);
}

TEST(PassCost, LearnsWithOneSequenceAlone) {
  PassCost cost;
  for (int i = 0; i < 100; ++i) cost.Observe(1, i % 3, i % 3 == 0 ? 2e-4 : i % 3 == 1 ? 3e-4 : 4e-4);
  EXPECT_NEAR(cost.OfGuess(1), 0.5, 0.01);
  // A change is noticed.
  for (int i = 0; i < 2000; ++i) cost.Observe(1, i % 3, i % 3 == 0 ? 2e-4 : i % 3 == 1 ? 2.1e-4 : 2.2e-4);
  EXPECT_NEAR(cost.OfGuess(1), 0.05, 0.02);
}

TEST(PassCost, KeepsWhatItKnowsWithoutGuesses) {
  PassCost cost;
  const double before = cost.OfGuess(1);
  for (int i = 0; i < 5000; ++i) cost.Observe(1, 0, 1e-3);
  EXPECT_EQ(cost.OfGuess(1), before);
  for (int i = 0; i < 100; ++i) cost.Observe(100, 50, 1e-3);  // too large to say anything
  EXPECT_EQ(cost.OfGuess(1), before);
}

TEST(PassPlan, TakesGuessesThatMakeAPassFaster) {
  PassCost cost;
  for (int i = 0; i < 100; ++i) cost.Observe(1, i % 3, 1e-3 * (1 + 0.5 * (i % 3)));
  PassPlan alone(cost, 1, false);
  EXPECT_TRUE(alone.IsWorth(0.6));
  EXPECT_FALSE(alone.IsWorth(0.4));
  alone.Add(0.6);  // 1.6 tokens in 1.5 of the time
  EXPECT_TRUE(alone.IsWorth(0.6));
  EXPECT_FALSE(alone.IsWorth(0.5));
  EXPECT_TRUE(PassPlan(cost, 1, true).IsWorth(0.01));
}

}  // namespace
}  // namespace throng::engine
