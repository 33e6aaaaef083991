#include "llm/decorators/interactive.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "llm/backends/fake.h"
#include "llm/backends/latency.h"
#include "llm/testing/numbered.h"

namespace throng::llm {
namespace {

Request Ask(uint32_t agent, int step, int tokens = 30) {
  Request request;
  request.key = {agent, step, 0};
  request.priority = step;
  request.known_prompt_tokens = tokens;
  request.known_output_tokens = 10;
  return request;
}

// A server always full of background calls, and an agent that asks now and then.
std::vector<double> LatenciesUnderLoad(double target_s, double& end_s) {
  LatencyOptions server;
  server.kv_tokens = 20000;
  Numbered<InteractiveLlm> llm(std::make_unique<LatencyLlm>(server), {0, target_s});
  int step = 0;
  int background = 0;
  std::vector<Completion> done;
  size_t asked = 0;
  double next_s = 5;
  for (int left = 3000; left > 0 || background > 0;) {
    for (; background < 200 && left > 0; ++background, --left) llm.Send(Ask(1 + left % 99, ++step, 600));
    if (llm.Now() >= next_s && llm.Latencies().size() == asked) {
      llm.Send(Ask(0, step, 600));
      ++asked;
      next_s = llm.Now() + 5;
    }
    done.clear();
    llm.Wait(done);
    for (const Completion& completion : done) background -= completion.key.agent != 0;
  }
  end_s = llm.Now();
  return llm.Latencies();
}

TEST(InteractiveLlm, GoesAheadOfTheBackground) {
  double end_without = 0;
  double end_with = 0;
  const std::vector<double> without = LatenciesUnderLoad(0, end_without);
  const std::vector<double> with = LatenciesUnderLoad(2, end_with);
  ASSERT_GT(with.size(), 20u);
  EXPECT_LT(Quantile(with, 0.5), 2);
  EXPECT_LT(Quantile(with, 0.5), 0.3 * Quantile(without, 0.5));
  EXPECT_LT(Quantile(with, 0.99), 0.5 * Quantile(without, 0.99));
  EXPECT_LT(end_with, 2 * end_without);  // the background still makes progress
}

TEST(InteractiveLlm, EveryCallCompletesOnceAndCancelsReachWhatWaits) {
  Numbered<InteractiveLlm> llm(std::make_unique<FakeLlm>(FakeOptions{.latency = 5}), {0, 1});
  const uint64_t own = llm.Send(Ask(0, 0));
  const uint64_t first = llm.Send(Ask(1, 0));
  const uint64_t second = llm.Send(Ask(2, 0));
  EXPECT_EQ(llm.StandingOf(second), Standing{.is_queued = true});
  EXPECT_EQ(llm.StandingOf(own), std::nullopt);  // this backend does not know
  llm.Cancel(first);
  std::vector<Completion> done;
  while (done.size() < 3) llm.Wait(done);
  EXPECT_EQ(done[0].id, first);
  EXPECT_EQ(done[0].finish, FinishReason::kCancelled);
  EXPECT_EQ(done[1].id, own);
  EXPECT_EQ(done[2].id, second);
  EXPECT_NEAR(llm.Now(), 10, 1e-9);  // the background began when the agent's call had ended
}

TEST(InteractiveLlm, RaisesWhatWaits) {
  Numbered<InteractiveLlm> llm(std::make_unique<FakeLlm>(FakeOptions{.latency = 5, .parallel = 1}), {0, 1});
  const uint64_t own = llm.Send(Ask(0, 0));
  const uint64_t first = llm.Send(Ask(1, 1));
  const uint64_t second = llm.Send(Ask(2, 2));
  llm.Raise(second, 0);
  llm.Raise(own, 0);
  std::vector<Completion> done;
  while (done.size() < 3) llm.Wait(done);
  EXPECT_EQ(done[0].id, own);
  EXPECT_EQ(done[1].id, second);
  EXPECT_EQ(done[2].id, first);
}

TEST(Quantile, IsTheNearestRank) {
  EXPECT_EQ(Quantile({}, 0.5), 0);
  EXPECT_EQ(Quantile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(Quantile({3, 1, 2}, 0.99), 3);
  EXPECT_EQ(Quantile({3, 1, 2}, 0), 1);
}

}  // namespace
}  // namespace throng::llm
