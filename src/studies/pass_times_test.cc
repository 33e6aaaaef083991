#include "studies/pass_times.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "llm/testing/numbered.h"

namespace throng::studies {
namespace {

// A modelled server stands in for one whose parameters are not known.
TimeRequests Timed(const llm::LatencyOptions& options) {
  return [options](std::span<const int> prompts, int more) {
    llm::Numbered<llm::LatencyLlm> server(options);
    for (const int prompt : prompts) {
      llm::Request request;
      request.known_prompt_tokens = prompt;
      request.known_output_tokens = more + 1;
      server.Send(std::move(request));
    }
    std::vector<llm::Completion> done;
    while (done.size() < prompts.size()) server.Wait(done);
    return server.Now() * 1e3;
  };
}

TEST(PassTimes, TheFitFindsTheParametersOfAServer) {
  llm::LatencyOptions truth = llm::LatencyOptions::Parse(
      "pass_ms=1:2/4:3/16:6/64:12/512:90,kv_us=2,attend_us=0.3,overhead_ms=0,mixed=1,"
      "kv_tokens=1000000,request_ms=5");
  PassPlan plan;
  plan.batches = {1, 4, 16, 64};
  plan.prompts = {128, 512};
  const PassFit fit = FitPasses(Timed(truth), plan, /*has_request_ms=*/true, [](const char*, int) {});
  EXPECT_NEAR(fit.kv_us, 2, 0.02);
  EXPECT_NEAR(fit.attend_us, 0.3, 1e-9);
  EXPECT_NEAR(fit.request_ms, 5, 0.1);
  ASSERT_EQ(fit.times.size(), 6u);
  for (const llm::PassTime& time : fit.times) {
    EXPECT_NEAR(time.ms, truth.ComputeMs(time.tokens), 0.02 * truth.ComputeMs(time.tokens) + 0.05)
        << time.tokens;
  }
}

TEST(PassTimes, AFullPassIsTimedWithManyPrompts) {
  const llm::LatencyOptions truth = llm::LatencyOptions::Parse(
      "pass_ms=1:2/512:60/2048:300,attend_us=0.1,overhead_ms=0,mixed=1,chunk=2048,kv_tokens=1000000");
  PassPlan plan;
  plan.batches = {1, 16};
  plan.prompts = {512};
  plan.longest = 1024;
  plan.chunk = 2048;
  const PassFit fit = FitPasses(Timed(truth), plan, /*has_request_ms=*/true, [](const char*, int) {});
  ASSERT_EQ(fit.times.back().tokens, 2048);
  EXPECT_NEAR(fit.times.back().ms, 300, 3);
}

// One that makes a pass in eight far longer: what a run meets is the mean.
TEST(PassTimes, RarePassesThatTakeLongCount) {
  CounterRng noise(5);
  const TimeRequests bursts = [&](std::span<const int>, int more) {
    double ms = 100;
    for (int i = 0; i < more; ++i) ms += noise.NextBelow(8) == 0 ? 9 : 1;
    return ms;
  };
  PassPlan plan;
  plan.batches = {1};
  plan.far = plan.near;
  plan.longest = 0;
  const PassFit fit = FitPasses(bursts, plan, /*has_request_ms=*/false, [](const char*, int) {});
  EXPECT_NEAR(fit.times[0].ms, 2, 0.5);
}

// What the machine does besides takes up to 3 ms, as long as 15 passes.
TEST(PassTimes, TheFitOfAFastServerStandsOutFromNoise) {
  const llm::LatencyOptions truth =
      llm::LatencyOptions::Parse("pass_ms=1:0.2/64:1,kv_us=0.1,overhead_ms=0,mixed=1,kv_tokens=1000000");
  CounterRng noise(7);
  const TimeRequests timed = [&, exact = Timed(truth)](std::span<const int> prompts, int more) {
    return exact(prompts, more) + 3 * noise.NextDouble();
  };
  PassPlan plan;
  plan.batches = {1, 64};
  const PassFit fit = FitPasses(timed, plan, /*has_request_ms=*/true, [](const char*, int) {});
  EXPECT_NEAR(fit.kv_us, 0.1, 0.03);
  EXPECT_NEAR(fit.times[0].ms, 0.2, 0.02);
}

TEST(PassTimes, TimesNeverFall) {
  const TimeRequests noisy = [](std::span<const int> prompts, int more) {
    return 10.0 + more * (prompts.size() == 4 ? 1.0 : 2.0) + prompts.front() * 0.001;
  };
  PassPlan plan;
  plan.batches = {1, 2, 4};
  plan.prompts = {64};
  const PassFit fit = FitPasses(noisy, plan, /*has_request_ms=*/false, [](const char*, int) {});
  for (size_t i = 1; i < fit.times.size(); ++i) EXPECT_GE(fit.times[i].ms, fit.times[i - 1].ms);
  // One that is far too long does not lift all after it: it shares its level with them.
  EXPECT_LT(fit.times[2].ms, 1.9);
}

}  // namespace
}  // namespace throng::studies
