#include "engine/sampling/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/rng.h"
#include "engine/sampling/logprobs.h"

namespace throng::engine {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

llm::Sampling WithTemperature(float temperature) {
  llm::Sampling sampling;
  sampling.temperature = temperature;
  sampling.seed = 7;
  return sampling;
}

// How often each token is drawn in n draws.
std::vector<int> Histogram(const std::vector<float>& logits, const llm::Sampling& sampling, int n,
                           std::vector<uint64_t> mask = {}) {
  Sampler sampler;
  std::vector<int> counts(logits.size());
  for (int i = 0; i < n; ++i) {
    const int32_t token = sampler.Sample(logits, mask, {}, sampling, i);
    EXPECT_GE(token, 0);
    if (token >= 0) ++counts[static_cast<size_t>(token)];
  }
  return counts;
}

TEST(Sampler, GreedyTiesGoToTheLowestId) {
  Sampler sampler;
  const std::vector<float> logits = {1, 3, kNan, 3, 2};
  EXPECT_EQ(sampler.Sample(logits, {}, {}, WithTemperature(0), 0), 1);
  const std::vector<uint64_t> mask = {0b11001};
  EXPECT_EQ(sampler.Sample(logits, mask, {}, WithTemperature(0), 0), 3);
}

TEST(Sampler, SaysWhenNoTokenIsLeft) {
  Sampler sampler;
  const std::vector<uint64_t> none = {0};
  for (const float temperature : {0.0f, 1.0f}) {
    EXPECT_EQ(sampler.Sample(std::vector<float>{1, 2}, none, {}, WithTemperature(temperature), 0), -1);
    EXPECT_EQ(sampler.Sample(std::vector<float>{kNan, kNan}, {}, {}, WithTemperature(temperature), 0), -1);
  }
}

TEST(Sampler, SurvivesInfiniteLogits) {
  Sampler sampler;
  EXPECT_EQ(sampler.Sample(std::vector<float>{-kInf, -kInf}, {}, {}, WithTemperature(0), 0), 0);
  EXPECT_EQ(sampler.Sample(std::vector<float>{0, kInf, -kInf}, {}, {}, WithTemperature(1), 0), 1);
  EXPECT_GE(sampler.Sample(std::vector<float>{-kInf, -kInf}, {}, {}, WithTemperature(1), 0), 0);
}

TEST(Sampler, DrawsFollowTheDistribution) {
  const std::vector<float> logits = {0, 1, 2, 3};
  for (const float temperature : {0.5f, 1.0f, 2.0f}) {
    const int n = 20000;
    const std::vector<int> counts = Histogram(logits, WithTemperature(temperature), n);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit / temperature);
    for (size_t i = 0; i < logits.size(); ++i) {
      EXPECT_NEAR(counts[i] / double(n), std::exp(logits[i] / temperature) / sum, 0.015) << i;
    }
  }
}

TEST(Sampler, MaskedTokensAreNeverDrawn) {
  const std::vector<int> counts = Histogram({5, 1, 1, 9}, WithTemperature(1), 2000, {0b0110});
  EXPECT_EQ(counts[0], 0);
  EXPECT_EQ(counts[3], 0);
  EXPECT_NEAR(counts[1] / 2000.0, 0.5, 0.05);
}

TEST(Sampler, TopKKeepsTheLargestAndTheLowestIdsOfEqualOnes) {
  llm::Sampling sampling = WithTemperature(1);
  sampling.top_k = 2;
  const std::vector<int> counts = Histogram({1, 5, 1, 1}, sampling, 3000);
  EXPECT_GT(counts[0], 0);
  EXPECT_GT(counts[1], 0);
  EXPECT_EQ(counts[2] + counts[3], 0);
}

TEST(Sampler, TopPKeepsTheShortestRunThatReachesIt) {
  llm::Sampling sampling = WithTemperature(1);
  sampling.top_p = 0.7f;
  // Probabilities 0.1, 0.5, 0.3, 0.1: two tokens reach 0.7.
  const std::vector<float> logits = {std::log(0.1f), std::log(0.5f), std::log(0.3f), std::log(0.1f)};
  const std::vector<int> counts = Histogram(logits, sampling, 8000);
  EXPECT_EQ(counts[0] + counts[3], 0);
  EXPECT_NEAR(counts[1] / 8000.0, 0.5 / 0.8, 0.02);
}

TEST(Sampler, TopPWorksOverFlatLargeVocabularies) {
  llm::Sampling sampling = WithTemperature(1);
  sampling.top_p = 0.5f;
  const std::vector<int> counts = Histogram(std::vector<float>(1000, 0.0f), sampling, 500);
  for (size_t i = 502; i < counts.size(); ++i) EXPECT_EQ(counts[i], 0) << i;
}

TEST(Sampler, MinPIsRelativeToTheMostLikely) {
  llm::Sampling sampling = WithTemperature(1);
  sampling.min_p = 0.5f;
  const std::vector<int> counts =
      Histogram({std::log(0.6f), std::log(0.29f), std::log(0.31f)}, sampling, 4000);
  EXPECT_GT(counts[0], 0);
  EXPECT_EQ(counts[1], 0);
  EXPECT_GT(counts[2], 0);
}

TEST(Sampler, RepetitionPenaltyAppliesOncePerToken) {
  Sampler sampler;
  llm::Sampling sampling;
  sampling.repetition_penalty = 1.5f;
  const std::vector<float> logits = {4, 3, -1};
  const std::vector<int32_t> repeated = {0, 0, 0, 0};  // 4 / 1.5 = 2.67 < 3
  EXPECT_EQ(sampler.Sample(logits, {}, repeated, sampling, 0), 1);
  const std::vector<int32_t> both = {0, 1, 99, -5};  // 2.67 > 2; ids outside the vocabulary are harmless
  EXPECT_EQ(sampler.Sample(logits, {}, both, sampling, 0), 0);
  const std::vector<float> negative = {-1, -1.2f};
  EXPECT_EQ(sampler.Sample(negative, {}, std::vector<int32_t>{0}, sampling, 0), 1);
}

TEST(Sampler, RulesChangeLogitsInTheirOrder) {
  Sampler sampler;
  const std::vector<float> logits = {1.0f, 2.0f, 3.0f, 2.5f};
  const auto greedy = [&](const std::vector<int32_t>& history, int num_answer, const LogitRules& rules) {
    return sampler.Sample(logits, {}, history, WithTemperature(0), num_answer, rules);
  };
  EXPECT_EQ(greedy({}, 0, {.bias = {{0, 2.5f}}}), 0);
  EXPECT_EQ(greedy({}, 0, {.bias = {{2, -100.0f}}}), 3);
  // Frequencies count each time, presence once, and neither the prompt.
  EXPECT_EQ(greedy({2, 2, 2}, 0, {.frequency_penalty = 1.0f, .presence_penalty = 1.0f}), 2);
  EXPECT_EQ(greedy({2, 2, 2}, 1, {.frequency_penalty = 0.4f}), 2);
  EXPECT_EQ(greedy({2, 2, 2}, 2, {.frequency_penalty = 0.4f}), 3);
  EXPECT_EQ(greedy({2, 2, 2}, 3, {.presence_penalty = 0.4f}), 2);
  EXPECT_EQ(greedy({2, 2, 2}, 3, {.presence_penalty = 0.6f}), 3);
  EXPECT_EQ(greedy({0, 0}, 2, {.frequency_penalty = -1.1f}), 0);
  // Ends are out before the least length, whatever their bias.
  const LogitRules least{.bias = {{2, 100.0f}}, .min_tokens = 2, .ends = {2}};
  EXPECT_EQ(greedy({0}, 1, least), 3);
  EXPECT_EQ(greedy({0, 0}, 2, least), 2);
  EXPECT_EQ(greedy({0}, 1, {}), 2);  // nothing is left of what went before
  llm::Sampling nothing = WithTemperature(1);
  nothing.top_p = 0;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(sampler.Sample(logits, {}, {}, nothing, i), 2);
}

TEST(Sampler, RefusesRulesOutOfRange) {
  EXPECT_NO_THROW(ValidateRules({.bias = {{3, -100.0f}}, .ends = {0}}, 4));
  EXPECT_THROW(ValidateRules({.bias = {{4, 1.0f}}}, 4), Error);
  EXPECT_THROW(ValidateRules({.bias = {{-1, 1.0f}}}, 4), Error);
  EXPECT_THROW(ValidateRules({.bias = {{1, kNan}}}, 4), Error);
  EXPECT_THROW(ValidateRules({.frequency_penalty = kInf}, 4), Error);
  EXPECT_THROW(ValidateRules({.min_tokens = -1}, 4), Error);
  EXPECT_THROW(ValidateRules({.ends = {4}}, 4), Error);
}

TEST(Logprobs, AreThoseOfTheSoftmax) {
  LogprobMaker maker;
  const std::vector<float> logits = {0.0f, std::log(3.0f), kNan, 0.0f, -kInf};
  const TokenLogprobs made = maker.Make(logits, 3, 9);
  EXPECT_EQ(made.chosen.token, 3);
  EXPECT_NEAR(made.chosen.logprob, std::log(0.2f), 1e-6f);
  ASSERT_EQ(made.top.size(), 4u);
  EXPECT_EQ(made.top[0].token, 1);
  EXPECT_NEAR(made.top[0].logprob, std::log(0.6f), 1e-6f);
  EXPECT_EQ(made.top[1].token, 0);  // of equal ones the lowest id first
  EXPECT_EQ(made.top[2].token, 3);
  EXPECT_EQ(made.top[3], (TokenLogprob{4, kLeastLogprob}));
  EXPECT_EQ(maker.Make(logits, 0, 1).top.size(), 1u);
  EXPECT_EQ(maker.Make({{kInf, 0.0f, kInf}}, 2, 0).chosen.logprob, 0.0f);
  EXPECT_EQ(maker.Make({{-kInf, kNan}}, 1, 0).chosen.logprob, kLeastLogprob);
}

TEST(Sampler, DependsOnTheKeyAndNotOnWhatWasSampledBefore) {
  std::vector<float> logits(300);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i % 17) * 0.1f;
  llm::Sampling sampling = WithTemperature(0.8f);
  sampling.top_k = 100;
  sampling.top_p = 0.9f;
  Sampler used;
  for (int i = 0; i < 50; ++i) used.Sample(logits, {}, {}, sampling, i);
  std::set<int32_t> seen;
  for (int i = 0; i < 50; ++i) {
    Sampler fresh;
    const int32_t token = fresh.Sample(logits, {}, {}, sampling, i);
    EXPECT_EQ(used.Sample(logits, {}, {}, sampling, i), token);
    seen.insert(token);
  }
  EXPECT_GT(seen.size(), 10u);
  std::vector<int32_t> by_seed, plain;
  for (int i = 0; i < 20; ++i) {
    plain.push_back(used.Sample(logits, {}, {}, sampling, i));
    llm::Sampling other = sampling;
    other.seed = 8;
    by_seed.push_back(used.Sample(logits, {}, {}, other, i));
  }
  EXPECT_NE(plain, by_seed);
}

// The steps of sampler.h, one after another, in double precision over a sorted list.
int32_t DrawByTheBook(const std::vector<float>& logits, const std::vector<uint64_t>& mask,
                      const llm::Sampling& sampling, int token_index) {
  struct Token {
    float logit;
    int32_t id;
    double probability;
  };
  std::vector<Token> tokens;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]) || (!mask.empty() && (mask[i / 64] >> (i % 64) & 1) == 0)) continue;
    tokens.push_back({logits[i], static_cast<int32_t>(i), 0});
  }
  std::stable_sort(tokens.begin(), tokens.end(), [](auto& a, auto& b) { return a.logit > b.logit; });
  if (sampling.top_k > 0) tokens.resize(std::min(tokens.size(), static_cast<size_t>(sampling.top_k)));
  double sum = 0;
  for (Token& token : tokens) {
    token.probability = std::exp((double{token.logit} - tokens[0].logit) / sampling.temperature);
    sum += token.probability;
  }
  const double largest = tokens[0].probability;
  double reached = 0;
  size_t count = 0;
  while (count < tokens.size() && reached < sum * sampling.top_p) reached += tokens[count++].probability;
  tokens.resize(count);
  std::erase_if(tokens, [&](auto& token) { return token.probability < largest * sampling.min_p; });
  if (sampling.top_p == 1)
    std::sort(tokens.begin(), tokens.end(), [](auto& a, auto& b) { return a.id < b.id; });
  double left = 0;
  for (const Token& token : tokens) left += token.probability;
  left *=
      static_cast<double>(CounterRng(sampling.seed).At(static_cast<uint64_t>(token_index)) >> 11) * 0x1p-53;
  for (const Token& token : tokens) {
    left -= token.probability;
    if (left < 0) return token.id;
  }
  return tokens.back().id;
}

TEST(Sampler, DrawsByTheBook) {
  Sampler sampler;
  CounterRng rng(11);
  for (int round = 0; round < 300; ++round) {
    std::vector<float> logits(1 + rng.NextBelow(3000));
    const float spread = rng.NextBelow(3) == 0 ? 0.01f : 12.0f;  // nearly flat, or as models have it
    for (float& logit : logits) {
      logit = static_cast<float>(rng.NextBelow(1 << 20)) * 0x1p-20f;
      logit = rng.NextBelow(50) == 0 ? kNan : spread * logit * logit;
    }
    logits[0] = 0;
    std::vector<uint64_t> mask;
    if (rng.NextBelow(2) == 0) {
      for (size_t i = 0; i < (logits.size() + 63) / 64; ++i) mask.push_back(rng.At(1000 + i) | 1);
    }
    llm::Sampling sampling = WithTemperature(rng.NextBelow(2) == 0 ? 0.7f : 1.5f);
    sampling.seed = static_cast<uint64_t>(round);
    if (rng.NextBelow(3) == 0) sampling.top_k = static_cast<int>(1 + rng.NextBelow(200));
    if (rng.NextBelow(2) == 0) sampling.top_p = rng.NextBelow(2) == 0 ? 0.95f : 0.3f;
    if (rng.NextBelow(3) == 0) sampling.min_p = 0.05f;
    for (int i = 0; i < 20; ++i) {
      ASSERT_EQ(sampler.Sample(logits, mask, {}, sampling, i), DrawByTheBook(logits, mask, sampling, i))
          << round;
    }
  }
}

// What top-p leaves out is first guessed from every 16th block of 64 tokens.
TEST(Sampler, TopPIsTheSameWhereBlocksDiffer) {
  for (const bool heavy_there : {false, true}) {
    std::vector<float> logits(3000);
    for (size_t i = 0; i < logits.size(); ++i) {
      const bool there = i / 64 % 16 == 0;
      const bool first = i % 64 == 0;
      // There: one token between the light and the heavy ones of elsewhere, or all that are heavy.
      if (there) {
        logits[i] = heavy_there ? 12.0f : first ? 9.0f : -20.0f;
      } else {
        logits[i] = i % 64 == 1 && !heavy_there ? 12.0f : 8.0f;
      }
      logits[i] += 1e-4f * static_cast<float>(i);
    }
    Sampler sampler;
    std::set<bool> light;
    for (const float top_p : {0.3f, 0.95f}) {
      llm::Sampling sampling = WithTemperature(1.0f);
      sampling.top_p = top_p;
      for (int i = 0; i < 100; ++i) {
        const int32_t token = sampler.Sample(logits, {}, {}, sampling, i);
        ASSERT_EQ(token, DrawByTheBook(logits, {}, sampling, i)) << top_p;
        light.insert(logits[static_cast<size_t>(token)] < 8.5f);
      }
    }
    EXPECT_EQ(light.size(), 2u);
  }
}

TEST(Sampler, RefusesSettingsOutOfRange) {
  const auto refuses = [](auto change) {
    llm::Sampling sampling;
    change(sampling);
    EXPECT_THROW(ValidateSampling(sampling), Error);
  };
  ValidateSampling({});
  refuses([](auto& s) { s.temperature = -1; });
  refuses([](auto& s) { s.temperature = kNan; });
  refuses([](auto& s) { s.top_k = -1; });
  refuses([](auto& s) { s.top_p = -0.1f; });
  refuses([](auto& s) { s.top_p = 1.1f; });
  refuses([](auto& s) { s.min_p = kNan; });
  refuses([](auto& s) { s.repetition_penalty = 0; });
}

}  // namespace
}  // namespace throng::engine
