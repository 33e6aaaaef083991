#include "model/recurrence.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <cmath>
#include <functional>
#include <span>
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
    for (size_t j = 0; j < shape.values; ++j)
      out[j] += matrix[i * shape.values + j] * static_cast<double>(vector[i]);
  }
  return out;
}

void AddOuter(Doubles& matrix, const float* key, const Doubles& value, const StateShape& shape) {
  for (size_t i = 0; i < shape.keys; ++i) {
    for (size_t j = 0; j < shape.values; ++j)
      matrix[i * shape.values + j] += static_cast<double>(key[i]) * value[j];
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

  DeltaToken Delta() {
    return {0.9f + 0.1f * control[0],
            0.5f + 0.5f * control[1],
            query.data(),
            key.data(),
            value.data(),
            out.data()};
  }
  DecayToken Decay() {
    return {0.8f + 0.2f * control[0], control[1], 0.7f, query.data(), key.data(), value.data(), out.data()};
  }
};

// What tokens give in double precision, one by one.
class Reference {
 public:
  explicit Reference(const StateShape& shape) : shape_(shape), state_(shape.keys * shape.values) {}

  Doubles Next(const DeltaToken& token) {
    Decay(token.decay);
    Doubles delta = Read(state_, token.key, shape_);
    for (size_t j = 0; j < shape_.values; ++j) {
      delta[j] = static_cast<double>(token.beta) * (static_cast<double>(token.value[j]) - delta[j]);
    }
    AddOuter(state_, token.key, delta, shape_);
    return Read(state_, token.query, shape_);
  }

  Doubles Next(const DecayToken& token) {
    Decay(token.decay);
    Doubles value(token.value, token.value + shape_.values);
    for (double& element : value) element *= static_cast<double>(token.weight);
    AddOuter(state_, token.key, value, shape_);
    Doubles out = Read(state_, token.query, shape_);
    for (size_t j = 0; j < shape_.values; ++j) {
      out[j] += static_cast<double>(token.skip) * static_cast<double>(token.value[j]);
    }
    return out;
  }

 private:
  void Decay(float factor) {
    for (double& element : state_) element *= static_cast<double>(factor);
  }

  const StateShape shape_;
  Doubles state_;
};

class RecurrenceTest : public EachTarget {
 protected:
  // make: the token of a kernel; run: the kernel. All tokens at once must give the bits that they give one by
  // one.
  static void Check(auto make, auto run) {
    for (const StateShape& shape : kShapes) {
      std::vector<Token> together, alone;
      for (size_t t = 0; t < kTokens; ++t) {
        together.emplace_back(shape, t);
        alone.emplace_back(shape, t);
      }
      std::vector<decltype(make(together[0]))> tokens;
      for (Token& token : together) tokens.push_back(make(token));
      std::vector<float> state(shape.Floats()), state_alone(shape.Floats());
      run(shape, std::span(tokens), state.data());
      Reference reference(shape);
      for (size_t t = 0; t < kTokens; ++t) {
        const auto token = make(alone[t]);
        run(shape, std::span(&token, 1), state_alone.data());
        ASSERT_EQ(alone[t].out, together[t].out) << t;
        const Doubles expected = reference.Next(token);
        for (size_t j = 0; j < shape.values; ++j) {
          ASSERT_NEAR(alone[t].out[j], expected[j], 2e-5) << "token " << t << " element " << j;
        }
      }
      EXPECT_EQ(state, state_alone);
    }
  }
};

TEST_P(RecurrenceTest, DeltaStepsAgreeWithDoublePrecision) { Check(std::mem_fn(&Token::Delta), DeltaSteps); }

TEST_P(RecurrenceTest, DecayStepsAgreeWithDoublePrecision) { Check(std::mem_fn(&Token::Decay), DecaySteps); }

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
