#include "llm/backends/latency.h"

#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "llm/testing/numbered.h"

namespace throng::llm {
namespace {

// Round numbers: 10 ms per iteration, 1 ms per token beyond ten of them, no cost of context. One queue, and
// prompts share iterations with decoding.
LatencyOptions Simple() {
  LatencyOptions options;
  options.weights_ms = 10;
  options.token_ms = 1;
  options.kv_us = 0;
  options.overhead_ms = 0;
  options.chunk = 100;
  options.mixed = true;
  options.round_robin = false;
  return options;
}

Request Sized(int prompt, int output, int priority = 0) {
  Request request;
  request.known_prompt_tokens = prompt;
  request.known_output_tokens = output;
  request.priority = priority;
  return request;
}

// When each call completes, by id.
std::map<uint64_t, double> Times(LatencyLlm& llm) {
  std::map<uint64_t, double> times;
  std::vector<Completion> done;
  do {
    done.clear();
    llm.Wait(done);
    for (const Completion& completion : done) times[completion.id] = llm.Now();
  } while (!done.empty());
  return times;
}

TEST(LatencyLlm, OneCallIsItsPromptAndItsTokens) {
  Numbered<LatencyLlm> llm(Simple());
  llm.Send(Sized(250, 11));
  // 100 + 100 + 50 ms of prompt with the first token, then ten iterations of 10 ms.
  EXPECT_NEAR(Times(llm).at(1), 0.350, 1e-9);
}

TEST(LatencyLlm, PromptsAttendToThemselves) {
  LatencyOptions options = Simple();
  options.attend_us = 2;
  Numbered<LatencyLlm> llm(options);
  llm.Send(Sized(250, 1));
  // 250 ms, and 250 tokens that see 125 on average, whatever the chunks are.
  EXPECT_NEAR(Times(llm).at(1), 0.250 + 250 * 125 * 2e-6, 1e-9);
  options.cached = 0.6;
  Numbered<LatencyLlm> cached(options);
  cached.Send(Sized(250, 1));
  // The last 100 see 200 on average.
  EXPECT_NEAR(Times(cached).at(1), 0.100 + 100 * 200 * 2e-6, 1e-9);
}

TEST(LatencyLlm, ContextsCostTimeAsTheyGrow) {
  LatencyOptions options = Simple();
  options.kv_us = 1000;
  Numbered<LatencyLlm> llm(options);
  llm.Send(Sized(5, 4));
  // Prompt: 10 ms. Then contexts of 6, 7 and 8 tokens at 1 ms each.
  EXPECT_NEAR(Times(llm).at(1), 0.010 + 3 * 0.010 + 0.021, 1e-9);
}

TEST(LatencyLlm, ABatchSharesIterations) {
  Numbered<LatencyLlm> llm(Simple());
  for (int i = 0; i < 5; ++i) llm.Send(Sized(2, 101));
  for (const auto& [id, time] : Times(llm)) EXPECT_NEAR(time, 1.010, 1e-9);
}

TEST(LatencyLlm, AnArrivalJoinsAfterTheIterationUnderWay) {
  Numbered<LatencyLlm> llm(Simple());
  llm.Send(Sized(10, 101));  // alone: 1.010
  std::vector<Completion> done;
  llm.Wait(done, 0.105);
  EXPECT_TRUE(done.empty());
  llm.Send(Sized(39, 2));  // joins at 0.110: an iteration of 1 + 39 tokens, then one of 10 ms
  const auto times = Times(llm);
  EXPECT_NEAR(times.at(2), 0.110 + 0.040 + 0.010, 1e-9);
  EXPECT_NEAR(times.at(1), 1.010 + 0.030, 1e-9);
}

// The event-driven run must equal one cut into single iterations by idle waiting.
void ExpectSameInPieces(const LatencyOptions& options) {
  Numbered<LatencyLlm> whole(options);
  Numbered<LatencyLlm> pieces(options);
  for (int i = 0; i < 20; ++i) {
    whole.Send(Sized(100 + 37 * i, 5 + 11 * (i % 7), i % 3));
    pieces.Send(Sized(100 + 37 * i, 5 + 11 * (i % 7), i % 3));
  }
  const auto expected = Times(whole);
  std::map<uint64_t, double> times;
  std::vector<Completion> done;
  while (times.size() < 20) {
    done.clear();
    pieces.Wait(done, 0.013);
    for (const Completion& completion : done) times[completion.id] = pieces.Now();
  }
  for (const auto& [id, time] : expected) EXPECT_NEAR(times.at(id), time, 1e-6) << id;
}

TEST(LatencyLlm, WaitingInSmallPiecesChangesNothing) {
  LatencyOptions options;
  options.batch = 6;
  ExpectSameInPieces(options);
  options.chunk = 512;
  options.mixed = true;
  options.replicas = 2;
  ExpectSameInPieces(options);
}

TEST(LatencyLlm, TheBatchLimitQueuesByPriority) {
  LatencyOptions options = Simple();
  options.batch = 1;
  Numbered<LatencyLlm> llm(options);
  llm.Send(Sized(10, 1, 7));
  llm.Send(Sized(10, 1, 2));
  llm.Send(Sized(10, 1, 5));
  auto times = Times(llm);
  EXPECT_NEAR(times.at(2), 0.010, 1e-9);
  EXPECT_NEAR(times.at(3), 0.020, 1e-9);
  EXPECT_NEAR(times.at(1), 0.030, 1e-9);
  options.priorities = false;
  Numbered<LatencyLlm> fifo(options);
  fifo.Send(Sized(10, 1, 7));
  fifo.Send(Sized(10, 1, 2));
  times = Times(fifo);
  EXPECT_LT(times.at(1), times.at(2));
}

TEST(LatencyLlm, PromptsOfSmallerPriorityAreComputedFirst) {
  Numbered<LatencyLlm> llm(Simple());
  llm.Send(Sized(150, 1, 7));
  llm.Send(Sized(150, 1, 7));
  std::vector<Completion> done;
  llm.Wait(done, 0.050);
  llm.Send(Sized(150, 1, 2));
  // The current iteration keeps its 100 tokens of the first. The third's 150 follow, with the rest of the
  // first, and then the second.
  const auto times = Times(llm);
  EXPECT_NEAR(times.at(3), 0.300, 1e-9);
  EXPECT_NEAR(times.at(1), 0.300, 1e-9);
  EXPECT_NEAR(times.at(2), 0.450, 1e-9);
}

TEST(LatencyLlm, ACallIsOnItsWayBeforeItWaits) {
  LatencyOptions options = Simple();
  options.request_ms = 30;
  Numbered<LatencyLlm> llm(options);
  llm.Send(Sized(10, 101));
  std::vector<Completion> done;
  llm.Wait(done, 0.105);
  EXPECT_TRUE(done.empty());
  llm.Send(Sized(39, 2));  // arrives at 0.135, joins at 0.140
  const uint64_t cancelled = llm.Send(Sized(100, 2));
  const uint64_t raised = llm.Send(Sized(100, 1, 9));
  llm.Cancel(cancelled);
  llm.Raise(raised, -1);
  llm.Wait(done);
  EXPECT_EQ(done.at(0).id, cancelled);
  const auto times = Times(llm);
  // One pass has 100 tokens of prompts beside the one that decodes: those of the raised one.
  EXPECT_NEAR(times.at(raised), 0.140 + 0.101, 1e-9);
  EXPECT_NEAR(times.at(2), 0.241 + 0.040 + 0.010, 1e-9);
}

TEST(LatencyLlm, ARaisedCallOvertakesThoseThatWait) {
  LatencyOptions options = Simple();
  options.batch = 1;
  Numbered<LatencyLlm> llm(options);
  llm.Send(Sized(10, 1, 1));
  llm.Send(Sized(10, 1, 3));
  const uint64_t guess = llm.Send(Sized(10, 1, 99));
  std::vector<Completion> done;
  llm.Wait(done, 0.005);
  EXPECT_EQ(llm.StandingOf(1), Standing{});
  EXPECT_EQ(llm.StandingOf(guess), Standing{.is_queued = true});
  EXPECT_EQ(llm.StandingOf(12345), std::nullopt);
  llm.Raise(guess, 2);
  llm.Raise(12345, 0);  // unknown
  const auto times = Times(llm);
  EXPECT_NEAR(times.at(guess), 0.020, 1e-9);
  EXPECT_NEAR(times.at(2), 0.030, 1e-9);
}

TEST(LatencyLlm, ThePromptOfARaisedCallOvertakesOthers) {
  Numbered<LatencyLlm> llm(Simple());
  llm.Send(Sized(150, 1, 7));
  llm.Send(Sized(150, 1, 7));
  const uint64_t guess = llm.Send(Sized(150, 1, 99));
  std::vector<Completion> done;
  llm.Wait(done, 0.050);
  llm.Raise(guess, 2);
  const auto times = Times(llm);
  EXPECT_NEAR(times.at(guess), 0.300, 1e-9);
  EXPECT_NEAR(times.at(1), 0.300, 1e-9);
  EXPECT_NEAR(times.at(2), 0.450, 1e-9);
}

TEST(LatencyLlm, TheCacheLimitsTheBatch) {
  LatencyOptions options = Simple();
  options.kv_tokens = 100;
  Numbered<LatencyLlm> llm(options);
  llm.Send(Sized(50, 10));
  llm.Send(Sized(50, 10));
  const auto times = Times(llm);
  EXPECT_NEAR(times.at(1), 0.140, 1e-9);
  EXPECT_NEAR(times.at(2), 0.280, 1e-9);
  EXPECT_THROW(llm.Send(Sized(90, 11)), Error);
}

TEST(LatencyLlm, ReplicasAndCachedPromptsSaveTime) {
  LatencyOptions options = Simple();
  options.replicas = 2;
  options.cached = 0.5;
  Numbered<LatencyLlm> llm(options);
  for (int i = 0; i < 2; ++i) llm.Send(Sized(100, 1));
  for (const auto& [id, time] : Times(llm)) EXPECT_NEAR(time, 0.050, 1e-9);
  EXPECT_EQ(llm.GetStats().cached_prompt_tokens, 100u);
}

Request Worded(const std::string& system, const std::string& prompt) {
  Request request = Sized(100, 1);
  request.system = system;
  request.prompt = prompt;
  return request;
}

TEST(LatencyLlm, APrefixCacheHasWhatEarlierPromptsBeganWith) {
  LatencyOptions options = Simple();
  options.prefix = 10;  // 40 bytes
  Numbered<LatencyLlm> llm(options);
  const std::string text(170, 'a');
  const auto cached_of = [&](const Request& request) {
    llm.Send(request);
    std::vector<Completion> done;
    llm.Wait(done);
    return done.at(0).cached_prompt_tokens;
  };
  EXPECT_EQ(cached_of(Worded("", text)), 0);
  EXPECT_EQ(cached_of(Worded("", text)), 40);
  EXPECT_EQ(cached_of(Worded("", text.substr(0, 100) + "b")), 20);
  EXPECT_EQ(cached_of(Worded("", "b" + text)), 0);
  EXPECT_EQ(cached_of(Worded("a", text)), 0);
  EXPECT_EQ(cached_of(Worded("", std::string(1000, 'a'))), 40);
  EXPECT_EQ(cached_of(Worded("", std::string(1000, 'a'))), 99) << "one token at least is computed";
  // While the first is computed, the second cannot have it.
  llm.Send(Worded("", std::string(170, 'c')));
  llm.Send(Worded("", std::string(170, 'c')));
  Times(llm);
  EXPECT_EQ(llm.GetStats().cached_prompt_tokens, 199u);
}

TEST(LatencyLlm, MeasuredPassesTakeTheTimesBetween) {
  const LatencyOptions options = LatencyOptions::Parse("pass_ms=1:10/3:14/10:84,overhead_ms=0");
  EXPECT_EQ(options.pass_ms, (std::vector<PassTime>{{1, 10}, {3, 14}, {10, 84}}));
  EXPECT_EQ(PassTimesText(options.pass_ms), "1:10/3:14/10:84");
  EXPECT_EQ(options.ComputeMs(0), 0);
  EXPECT_EQ(options.ComputeMs(0.5), 10);
  EXPECT_EQ(options.ComputeMs(1), 10);
  EXPECT_EQ(options.ComputeMs(2), 12);
  EXPECT_EQ(options.ComputeMs(3), 14);
  EXPECT_EQ(options.ComputeMs(10), 84);
  EXPECT_EQ(options.ComputeMs(20), 184);
  EXPECT_EQ(LatencyOptions::Parse("pass_ms=5:7").ComputeMs(100), 7);
  for (const char* wrong : {"pass_ms=1", "pass_ms=a:1", "pass_ms=1:-1", "pass_ms=2:1/2:2", "pass_ms=2:1/1:2",
                            "pass_ms=0:1", "pass_ms=1:1//2:2", "pass_ms=1:nan"}) {
    EXPECT_THROW(LatencyOptions::Parse(wrong), Error) << wrong;
  }
}

TEST(LatencyLlm, WithoutMixingPromptsStopTheDecoding) {
  LatencyOptions options = Simple();
  options.mixed = false;
  Numbered<LatencyLlm> llm(options);
  llm.Send(Sized(10, 101));  // alone: 1.010
  std::vector<Completion> done;
  llm.Wait(done, 0.105);
  llm.Send(Sized(40, 2));  // at 0.110 an iteration of its prompt, then one of 10 ms
  const auto times = Times(llm);
  EXPECT_NEAR(times.at(2), 0.110 + 0.040 + 0.010, 1e-9);
  EXPECT_NEAR(times.at(1), 1.010 + 0.040, 1e-9);
}

// 10 ms for each prompt here, and for each iteration that decodes.
TEST(LatencyLlm, ABurstHoldsAnswersAndRequestsUntilItEnds) {
  LatencyOptions options = Simple();
  options.mixed = false;
  options.burst = 4;
  Numbered<LatencyLlm> llm(options);
  llm.Send(Sized(2, 3));  // with the next: both prompts in 10 ms, which make their first tokens
  llm.Send(Sized(2, 8));
  std::vector<Completion> done;
  llm.Wait(done, 0.015);
  llm.Send(Sized(2, 1));  // waits for the end of the first burst, at 50 ms
  const auto times = Times(llm);
  EXPECT_NEAR(times.at(1), 0.050, 1e-9);  // its last token was made at 30 ms
  EXPECT_NEAR(times.at(3), 0.060, 1e-9);
  EXPECT_NEAR(times.at(2), 0.090, 1e-9);  // the second burst ends early: nothing is left to decode
}

TEST(LatencyLlm, ACancelledCallEndsItsBurst) {
  LatencyOptions options = Simple();
  options.mixed = false;
  options.burst = 100;
  Numbered<LatencyLlm> llm(options);
  llm.Send(Sized(2, 50));
  llm.Send(Sized(2, 3));
  std::vector<Completion> done;
  llm.Wait(done, 0.045);
  EXPECT_TRUE(done.empty());  // the second answer is complete since 30 ms
  llm.Cancel(1);
  llm.Wait(done);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].finish, FinishReason::kCancelled);
  EXPECT_NEAR(Times(llm).at(2), 0.050, 1e-9);
  EXPECT_THROW(LatencyOptions::Parse("mixed=1,burst=2"), Error);
}

TEST(LatencyLlm, InTurnARequestWaitsForItsReplica) {
  LatencyOptions options = Simple();
  options.replicas = 2;
  options.batch = 1;
  for (const bool round_robin : {false, true}) {
    options.round_robin = round_robin;
    Numbered<LatencyLlm> llm(options);
    llm.Send(Sized(10, 1));
    llm.Send(Sized(10, 101));
    llm.Send(Sized(10, 1));
    llm.Send(Sized(10, 1));  // the second's replica is busy till 1.010, the first's only till 0.020
    const auto times = Times(llm);
    EXPECT_NEAR(times.at(3), 0.020, 1e-9);
    EXPECT_NEAR(times.at(4), round_robin ? 1.020 : 0.030, 1e-9);
  }
}

TEST(LatencyLlm, AMixtureOfExpertsReadsMoreWeightsTheMoreTokensThereAre) {
  LatencyOptions options = Simple();
  options.active = 0.25;
  options.token_ms = 0;
  Numbered<LatencyLlm> one(options);
  one.Send(Sized(1, 1));
  EXPECT_NEAR(Times(one).at(1), 0.0025, 1e-9);
  Numbered<LatencyLlm> two(options);
  two.Send(Sized(2, 1));
  EXPECT_NEAR(Times(two).at(1), 0.0025 * 1.75, 1e-9);
}

TEST(LatencyLlm, CancelledCallsLeaveTheirBatch) {
  Numbered<LatencyLlm> llm(Simple());
  llm.Send(Sized(5, 1001));
  llm.Send(Sized(5, 11));
  llm.Send(Sized(5, 11));
  std::vector<Completion> done;
  llm.Wait(done, 0.055);
  llm.Cancel(1);
  llm.Cancel(3);
  llm.Wait(done);
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[0].finish, FinishReason::kCancelled);
  const auto times = Times(llm);
  EXPECT_EQ(times.size(), 1u);
  EXPECT_NEAR(times.at(2), 0.015 + 0.1, 1e-9);
  EXPECT_EQ(llm.GetStats().calls, 1u);
}

TEST(LatencyLlm, ACancelledIdMayComeAgainWhileItsBatchRuns) {
  LatencyLlm llm(Simple());
  Request request = Sized(5, 1001);
  request.id = 7;
  llm.Submit(request);
  std::vector<Completion> done;
  llm.Wait(done, 0.055);
  llm.Cancel(7);
  llm.Wait(done);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].finish, FinishReason::kCancelled);
  request.known_output_tokens = 11;
  llm.Submit(request);  // joins at 0.060
  llm.Wait(done);
  llm.Wait(done);
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[1].id, 7u);
  EXPECT_EQ(done[1].finish, FinishReason::kStop);
  EXPECT_NEAR(llm.Now(), 0.060 + 0.010 + 0.1, 1e-9);
}

TEST(LatencyLlm, TheDefaultsAreOneEightBillionModelOnOneL4) {
  Numbered<LatencyLlm> llm;
  llm.Send(Sized(643, 22));  // the mean call of the recorded town
  EXPECT_NEAR(Times(llm).at(1), 1.4, 0.2);
  const LatencyOptions options = LatencyOptions::Parse("weights_ms=5.5,replicas=8,priorities=0");
  EXPECT_EQ(options.weights_ms, 5.5);
  EXPECT_EQ(options.replicas, 8);
  EXPECT_FALSE(options.priorities);
}

}  // namespace
}  // namespace throng::llm
