#include "engine/lookup/prompt_lookup.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace throng::engine {
namespace {

using Tokens = std::vector<int32_t>;

Tokens GuessAfter(const Tokens& tokens, size_t most, const Matcher* matcher = nullptr) {
  PromptLookup lookup;
  PassPlan plan(PassCost(), 1, true);
  Guesses guesses;
  lookup.Guess(tokens, matcher, most, plan, guesses);
  EXPECT_EQ(guesses.kinds.size(), guesses.tokens.size());
  return guesses.tokens;
}

TEST(PromptLookup, GoesOnAsBefore) {
  EXPECT_EQ(GuessAfter({1, 2, 3, 4, 5, 9, 1, 2}, 3), (Tokens{3, 4, 5}));
  EXPECT_EQ(GuessAfter({1, 2, 3, 4, 5, 9, 1, 2}, 0), Tokens{});
  EXPECT_EQ(GuessAfter({7, 8, 7, 8}, 5), (Tokens{7, 8, 7, 8, 7}));
}

TEST(PromptLookup, TakesTheLongestRunAndOfTheseTheLast) {
  // After 1 2 3: once with 0 before it, twice without.
  EXPECT_EQ(GuessAfter({0, 1, 2, 3, 50, 1, 2, 3, 51, 2, 3, 52, 0, 1, 2, 3}, 1), Tokens{50});
  EXPECT_EQ(GuessAfter({9, 2, 3, 50, 8, 2, 3, 51, 7, 2, 3}, 1), Tokens{51});
}

TEST(PromptLookup, GuessesNothingAfterASingleToken) {
  EXPECT_EQ(GuessAfter({1, 2, 3, 4, 2}, 3), Tokens{});
  EXPECT_EQ(GuessAfter({1}, 3), Tokens{});
  EXPECT_EQ(GuessAfter({1, 1}, 3), Tokens{});
}

TEST(PromptLookup, GuessesNoMoreThanIsWorthIt) {
  PassCost cost;  // a pass takes as long as its rows
  for (int i = 0; i < 100; ++i) cost.Observe(1, i % 3, 1 + i % 3);
  PromptLookup lookup;
  PassPlan plan(cost, 1, false);
  Guesses guesses;
  const Tokens tokens = {1, 2, 3, 4, 5, 9, 1, 2};
  lookup.Guess(tokens, nullptr, 5, plan, guesses);
  EXPECT_EQ(guesses.size(), 0u);

  // Guesses that come true count for more than those that do not.
  PassCost half;
  for (int i = 0; i < 100; ++i) half.Observe(1, i % 3, 1 + 0.5 * (i % 3));
  Guesses good, bad;
  for (int i = 0; i < 20; ++i) {
    PassPlan always(half, 1, true);
    for (Guesses* some : {&good, &bad}) {
      lookup.Guess(tokens, nullptr, 1, always, *some);
      lookup.Count(*some, 0, some == &good);
    }
  }
  PassPlan plan_of_good(half, 1, false), plan_of_bad(half, 1, false);
  lookup.Guess(tokens, nullptr, 1, plan_of_good, good);
  lookup.Guess(tokens, nullptr, 1, plan_of_bad, bad);
  EXPECT_EQ(good.size(), 1u);
  EXPECT_EQ(bad.size(), 0u);
}

TEST(PromptLookup, KeepsToTheConstraint) {
  // Tokens 0 to 25 are "a" to "z"; then some words, and the end.
  std::vector<std::string> bytes;
  for (char c = 'a'; c <= 'z'; ++c) bytes.emplace_back(1, c);
  bytes.insert(bytes.end(), {"ort", "orth", "outh", ""});
  const auto vocabulary = std::make_shared<Vocabulary>(bytes, Tokens{29});
  llm::Constraint spec;
  spec.choices = {"north", "south"};
  const Matcher matcher(std::make_shared<Constraint>(spec, vocabulary));
  EXPECT_EQ(GuessAfter({1, 2, 3}, 5, &matcher), Tokens{});  // either
  // "n", and then all is known: the longest token, unless the prompt had others.
  EXPECT_EQ(GuessAfter({1, 2, 13, 3, 1, 2}, 5, &matcher), (Tokens{13, 27}));
  EXPECT_EQ(GuessAfter({1, 2, 13, 14, 17, 5, 1, 2}, 5, &matcher), (Tokens{13, 14, 17, 19, 7}));
  // What is not allowed is no guess.
  EXPECT_EQ(GuessAfter({1, 2, 3, 4, 1, 2}, 5, &matcher), Tokens{});
}

}  // namespace
}  // namespace throng::engine
