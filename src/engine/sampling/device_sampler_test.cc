// Draws on the emulated GPU, against the engine's sampler.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include "device/emulation/emulated_device.h"
#include "device/kernels/token_weight.h"
#include "engine/sampling/sampler.h"
#include "engine/sampling/token_weights.h"
#include "gpu/sampling.h"
#include "kv/testing/random_rows.h"

namespace throng::gpu {
namespace {

using device::emulation::Conduct;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Request {
  llm::Sampling sampling;
  int token_index;
  std::span<const uint64_t> mask;
};
struct Draws {
  std::vector<float> logits;  // [requests, vocab]
  std::vector<Request> requests;
};

std::vector<int32_t> OnDevice(const Draws& draws, const Conduct& conduct) {
  const auto device = device::MakeEmulatedDevice(conduct);
  const device::DeviceArray<float> logits(*device, std::span<const float>(draws.logits));
  const auto vocab = static_cast<int>(draws.logits.size() / draws.requests.size());
  std::vector<DrawRequest> requests;  // the last row's first
  for (auto i = static_cast<int>(draws.requests.size()) - 1; i >= 0; --i) {
    const Request& request = draws.requests[static_cast<size_t>(i)];
    requests.push_back({i, engine::DrawOf(request.sampling, request.token_index, request.mask)});
  }
  std::vector<int32_t> tokens = DeviceSampler(*device).Draw(logits.Data(), vocab, requests);
  std::ranges::reverse(tokens);
  return tokens;
}

std::vector<int32_t> OnHost(const Draws& draws) {
  engine::Sampler sampler;
  std::vector<int32_t> tokens;
  const size_t vocab = draws.logits.size() / draws.requests.size();
  for (size_t i = 0; i < draws.requests.size(); ++i) {
    const Request& request = draws.requests[i];
    tokens.push_back(sampler.Sample(std::span(draws.logits).subspan(i * vocab, vocab), request.mask, {},
                                    request.sampling, request.token_index));
  }
  return tokens;
}

// Rows of `vocab` logits, one for each way of sampling.
Draws EveryWay(size_t vocab, float deviation, uint64_t seed) {
  const llm::Sampling ways[] = {
      {},                                     // greedy
      {.temperature = 1.0f, .top_p = 0.0f},   // too
      {.temperature = 0.8f},                  // all tokens
      {.temperature = 1.3f, .top_k = 20},     //
      {.temperature = 0.7f, .top_p = 0.9f},   //
      {.temperature = 5.0f, .top_p = 0.99f},  // nearly even
      {.temperature = 1.0f, .min_p = 0.1f},   //
      {.temperature = 1.0f, .top_p = 0.95f, .min_p = 0.3f},
      {.temperature = 2.0f, .top_k = 50, .top_p = 0.8f, .min_p = 0.05f},
      {.temperature = 1.0f, .top_k = 1},
      {.temperature = 1.0f, .top_k = 100000},
      {.temperature = 1.0f, .top_p = 1e-6f},
  };
  Draws draws;
  draws.logits = kv::Normal(vocab * std::size(ways), seed, deviation);
  for (const llm::Sampling& way : ways) {
    draws.requests.push_back({way, static_cast<int>(draws.requests.size()), {}});
    draws.requests.back().sampling.seed = seed;
  }
  return draws;
}

TEST(SamplingOnDevice, DrawsTheEnginesTokens) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const size_t vocab = seed % 3 == 0 ? 1500 : seed % 3 == 1 ? 100 : 513;
    const Draws draws = EveryWay(vocab, seed < 4 ? 3.0f : 0.5f, seed);
    EXPECT_EQ(OnDevice(draws, {.seed = seed}), OnHost(draws)) << vocab;
  }
}

// Logits of few values, so that ties decide: equal logits stay and are drawn by id.
TEST(SamplingOnDevice, TiesAreTheEngines) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Draws draws = EveryWay(700, 1.5f, seed);
    for (float& logit : draws.logits) logit = std::round(logit);  // of both zeros, too
    EXPECT_EQ(OnDevice(draws, {.seed = seed}), OnHost(draws)) << seed;
  }
}

TEST(SamplingOnDevice, MasksAndOddLogitsAreTheEngines) {
  for (const float odd : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    Draws draws = EveryWay(200, 2.0f, 9);
    for (size_t i = 0; i < draws.logits.size(); i += 7) draws.logits[i] = odd;
    const std::vector<uint64_t> mask = {0x123456789abcdefull, ~uint64_t{0}, 0, 0xff};
    for (size_t i = 0; i < draws.requests.size(); i += 2) draws.requests[i].mask = mask;
    EXPECT_EQ(OnDevice(draws, {.seed = 3}), OnHost(draws)) << odd;
  }
}

TEST(SamplingOnDevice, NoTokenIsLeft) {
  Draws draws = EveryWay(100, 2.0f, 1);
  const std::vector<uint64_t> mask = {0, 0};
  for (Request& request : draws.requests) request.mask = mask;
  EXPECT_EQ(OnDevice(draws, {.seed = 3}), std::vector<int32_t>(draws.requests.size(), -1));
}

// Without a wait, a token is wrong, or threads part and the emulation aborts.
TEST(SamplingOnDeviceDeathTest, EachWaitIsNeeded) {
  Draws draws{kv::Normal(2 * 1100, 5, 0.5f), {}};
  draws.requests.push_back({{}, 0, {}});
  draws.requests.push_back({{.temperature = 2.0f, .top_k = 900, .top_p = 0.8f, .seed = 1}, 1, {}});
  std::vector<device::emulation::Place> met;
  const auto expected = OnDevice(draws, {.seed = 1, .met = &met});
  EXPECT_EQ(expected, OnHost(draws));
  EXPECT_EQ(met.size(), 10u);
  for (const auto& place : met) {
    const auto run = [&] {
      for (uint64_t seed = 1; seed <= 6; ++seed) {
        if (OnDevice(draws, {.seed = seed, .unheeded = place}) != expected) std::abort();
      }
    };
    EXPECT_DEATH(run(), "") << place.file << ":" << place.line;
  }
}

// The weights of tokens, on processors with fused additions.
TEST(SamplingOnDevice, WeightsAreTheEnginesIntegers) {
  static_assert(device::kLargestTokenWeight == engine::kLargestWeight);
#ifdef __x86_64__
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) GTEST_SKIP() << "no fused additions";
#endif
  std::vector<float> logits = kv::Normal(20000, 1, 6.0f);
  logits[0] = 30.0f;
  logits[1] = 30.0f - 28.5f;
  const float temperature = 0.9f;
  std::vector<uint64_t> weights(logits.size()), sums((logits.size() + 63) / 64);
  engine::TokenWeights(logits, {}, 30.0f, temperature, weights.data(), sums.data());
  const double scale = 1.0 / static_cast<double>(temperature);
  for (size_t i = 0; i < logits.size(); ++i) {
    EXPECT_EQ(device::TokenWeight((static_cast<double>(logits[i]) - 30.0) * scale), weights[i]) << logits[i];
  }
}

}  // namespace
}  // namespace throng::gpu
