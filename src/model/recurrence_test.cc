#include "model/recurrence.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <cmath>
#include <vector>

#include "base/testing/each_target.h"
#include "model/testing/test_matrices.h"

namespace throng::model {
namespace {

std::vector<float> Random(size_t count, uint64_t seed, float size = 1.0f) {
  CounterRng rng(seed);
  std::vector<float> out(count);
  for (float& value : out) value = RandomFloat(rng, size);
  return out;
}

using Doubles = std::vector<double>;

// query matrix, for a matrix [keys, values].
Doubles Read(const Doubles& matrix, const float* vector, const StateShape& shape) {
  Doubles out(shape.values);
  for (size_t i = 0; i < shape.keys; ++i) {
    for (size_t j = 0; j < shape.values; ++j) out[j] += matrix[i * shape.values + j] * static_cast<double>(vector[i]);
  }
  return out;
}

void AddOuter(Doubles& matrix, const float* key, const Doubles& value, const StateShape& shape) {
  for (size_t i = 0; i < shape.keys; ++i) {
    for (size_t j = 0; j < shape.values; ++j) matrix[i * shape.values + j] += static_cast<double>(key[i]) * value[j];
  }
}

constexpr StateShape kShapes[] = {{1, 1}, {5, 7}, {24, 24}, {32, 32}, {16, 48}, {128, 128}, {128, 80}};
constexpr size_t kTokens = 200;

// Inputs of one token, and what it gives.
struct Token {
  Token(const StateShape& shape, size_t index)
      : query(Random(shape.keys, 3 * index, 0.5f)),
        key(Random(shape.keys, 3 * index + 1, 1.0f / std::sqrt(static_cast<float>(shape.keys)))),
        value(Random(shape.values, 3 * index + 2)),
        control(Random(2, index + 1000)),
        out(shape.values) {}
  std::vector<float> query, key, value, control, out;
};

class RecurrenceTest : public EachTarget {
 protected:
  static void ExpectNear(const Token& token, const Doubles& expected, size_t index) {
    for (size_t j = 0; j < expected.size(); ++j) {
      ASSERT_NEAR(token.out[j], expected[j], 2e-5) << "token " << index << " element " << j;
    }
  }
};

TEST_P(RecurrenceTest, DeltaStepsAgreeWithDoublePrecision) {
  for (const StateShape& shape : kShapes) {
    std::vector<float> state(shape.Floats());
    Doubles expected(shape.keys * shape.values);
    for (size_t t = 0; t < kTokens; ++t) {
      Token token(shape, t);
      const float decay = 0.9f + 0.1f * token.control[0];
      const float beta = 0.5f + 0.5f * token.control[1];
      for (double& element : expected) element *= static_cast<double>(decay);
      Doubles delta = Read(expected, token.key.data(), shape);
      for (size_t j = 0; j < shape.values; ++j) {
        delta[j] = static_cast<double>(beta) * (static_cast<double>(token.value[j]) - delta[j]);
      }
      AddOuter(expected, token.key.data(), delta, shape);
      DeltaStep(shape, decay, beta, token.query.data(), token.key.data(), token.value.data(), state.data(),
                token.out.data());
      ExpectNear(token, Read(expected, token.query.data(), shape), t);
    }
  }
}

TEST_P(RecurrenceTest, DecayStepsAgreeWithDoublePrecision) {
  for (const StateShape& shape : kShapes) {
    std::vector<float> state(shape.Floats());
    Doubles expected(shape.keys * shape.values);
    for (size_t t = 0; t < kTokens; ++t) {
      Token token(shape, t);
      const float decay = 0.8f + 0.2f * token.control[0];
      const float weight = token.control[1];
      constexpr float kSkip = 0.7f;
      Doubles value(token.value.begin(), token.value.end());
      for (double& element : value) element *= static_cast<double>(weight);
      for (double& element : expected) element *= static_cast<double>(decay);
      AddOuter(expected, token.key.data(), value, shape);
      DecayStep(shape, decay, weight, kSkip, token.query.data(), token.key.data(), token.value.data(),
                state.data(), token.out.data());
      Doubles out = Read(expected, token.query.data(), shape);
      for (size_t j = 0; j < shape.values; ++j) out[j] += static_cast<double>(kSkip * token.value[j]);
      ExpectNear(token, out, t);
    }
  }
}

TEST_P(RecurrenceTest, ConvolutionsAgreeWithDoublePrecision) {
  constexpr size_t kTaps = 4;
  for (const size_t n : {1, 15, 16, 33, 192}) {
    std::vector<std::vector<float>> inputs;
    std::vector<const float*> rows;
    for (size_t t = 0; t < kTaps; ++t) inputs.push_back(Random(n, t));
    for (const auto& input : inputs) rows.push_back(input.data());
    const std::vector<float> weights = Random(kTaps * n, 10);
    const std::vector<float> bias = Random(n, 11);
    for (const float* of_bias : {static_cast<const float*>(nullptr), bias.data()}) {
      std::vector<float> out(n + 1, 77.0f);
      Convolve(rows, weights.data(), of_bias, n, out.data());
      for (size_t c = 0; c < n; ++c) {
        double expected = of_bias == nullptr ? 0.0 : static_cast<double>(of_bias[c]);
        for (size_t t = 0; t < kTaps; ++t) {
          expected += static_cast<double>(weights[t * n + c]) * static_cast<double>(inputs[t][c]);
        }
        EXPECT_NEAR(out[c], expected, 1e-6);
      }
      EXPECT_EQ(out[n], 77.0f);
    }
  }
}

TEST(Softplus, AgreesWithDoublePrecision) {
  for (const float x : {-100.0f, -20.0f, -1.0f, 0.0f, 0.5f, 5.0f, 19.9f, 20.1f, 500.0f}) {
    const double expected = x > 30.0f ? static_cast<double>(x) : std::log1p(std::exp(static_cast<double>(x)));
    EXPECT_NEAR(Softplus(x), expected, 1e-6 * std::max(1.0, expected)) << x;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, RecurrenceTest, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         TargetOf);

}  // namespace
}  // namespace throng::model
