#include "model/blocks/experts_block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace throng::model {
namespace {

using Scoring = RouterConfig::Scoring;
using testing::ElementsAre;

struct Choices {
  std::vector<int> experts;
  std::vector<double> weights;
};

Choices Choose(RouterConfig router, std::vector<float> scores, const std::vector<float>& bias = {}) {
  router.num_experts = static_cast<int>(scores.size());
  std::vector<ExpertsBlock::Choice> chosen(static_cast<size_t>(router.num_chosen));
  ExpertsBlock::Choose(router, bias, scores.data(), chosen.data());
  Choices choices;
  for (const auto& [expert, weight] : chosen) {
    choices.experts.push_back(expert);
    choices.weights.push_back(static_cast<double>(weight));
  }
  return choices;
}

double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

TEST(Router, SoftmaxIsOfAllOrOfTheChosen) {
  const std::vector<float> scores = {1.0f, 3.0f, 0.0f, 2.0f};
  const double all = std::exp(-2.0) + 1.0 + std::exp(-3.0) + std::exp(-1.0);
  const Choices plain = Choose({.num_chosen = 2}, scores);
  EXPECT_THAT(plain.experts, ElementsAre(1, 3));
  EXPECT_NEAR(plain.weights[0], 1.0 / all, 1e-6);
  EXPECT_NEAR(plain.weights[1], std::exp(-1.0) / all, 1e-6);
  const Choices normalised = Choose({.num_chosen = 2, .normalised = true}, scores);
  const Choices of_chosen = Choose({.num_chosen = 2, .scoring = Scoring::kSoftmaxOfChosen}, scores);
  for (const Choices& choices : {normalised, of_chosen}) {
    EXPECT_THAT(choices.experts, ElementsAre(1, 3));
    EXPECT_NEAR(choices.weights[0], Sigmoid(1.0), 1e-6);
    EXPECT_NEAR(choices.weights[1], Sigmoid(-1.0), 1e-6);
  }
}

// The bias moves choices, but is no part of weights.
TEST(Router, ABiasOfTheSelectionLeavesWeights) {
  const Choices choices = Choose({.num_chosen = 2, .scoring = Scoring::kSigmoid, .scale = 2.5f},
                                 {1.0f, 0.5f, -1.0f, 0.0f}, {0.0f, 0.0f, 9.0f, 0.0f});
  EXPECT_THAT(choices.experts, ElementsAre(2, 0));
  EXPECT_NEAR(choices.weights[0], 2.5 * Sigmoid(-1.0), 1e-6);
  EXPECT_NEAR(choices.weights[1], 2.5 * Sigmoid(1.0), 1e-6);
}

// The best expert of all is in a group whose two best are worse than another's.
TEST(Router, OnlyTheBestGroupsAreChosenFrom) {
  const RouterConfig router{
      .num_chosen = 2, .scoring = Scoring::kSigmoid, .num_groups = 2, .num_chosen_groups = 1};
  EXPECT_THAT(Choose(router, {3.0f, -9.0f, -9.0f, 1.0f, 2.0f, 1.5f}).experts, ElementsAre(4, 5));
}

TEST(Router, EqualScoresGoToTheFirst) {
  EXPECT_THAT(Choose({.num_chosen = 3}, {0.0f, 1.0f, 1.0f, 0.0f}).experts, ElementsAre(1, 2, 0));
}

// What is no number is chosen last, in any number of groups.
TEST(Router, ScoresThatAreNoNumbersKeepAnOrder) {
  std::vector<float> scores(64, std::nanf(""));
  scores[40] = 1.0f;
  scores[41] = 0.0f;
  for (const int groups : {1, 32}) {
    const RouterConfig router{.num_chosen = 2,
                              .scoring = Scoring::kSigmoid,
                              .num_groups = groups,
                              .num_chosen_groups = groups == 1 ? 1 : 2};
    EXPECT_THAT(Choose(router, scores).experts, ElementsAre(40, 41)) << groups;
  }
}

}  // namespace
}  // namespace throng::model
