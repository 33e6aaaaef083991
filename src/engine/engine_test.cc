#include "engine/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <latch>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>

#include "base/thread_pool.h"
#include "engine/sampling/constrain.h"
#include "engine/sampling/sampler.h"
#include "engine/scheduler.h"
#include "engine/testing/fake_transformer.h"

namespace throng::engine {
namespace {

constexpr int kVocab = 100;
constexpr int32_t kEnd = 99;

// Tokens 0 to 25 are "a" to "z", 26 to 51 "A" to "Z", the others are digits in pairs; the last one ends the
// text.
std::shared_ptr<const Vocabulary> MakeVocabulary() {
  std::vector<std::string> bytes(kVocab);
  for (size_t i = 0; i + 1 < bytes.size(); ++i) {
    bytes[i] = i < 26   ? std::string(1, static_cast<char>('a' + i))
               : i < 52 ? std::string(1, static_cast<char>('A' + i - 26))
                        : std::to_string(i);
  }
  return std::make_shared<Vocabulary>(bytes, std::vector<int32_t>{kEnd});
}

std::vector<int32_t> RandomTokens(size_t n, uint64_t seed) {
  std::vector<int32_t> tokens(n);
  CounterRng rng(seed, 17);
  for (int32_t& token : tokens) token = static_cast<int32_t>(rng.NextBelow(kVocab - 1));
  return tokens;
}

EngineRequest MakeRequest(std::vector<int32_t> prompt, int max_tokens) {
  EngineRequest request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  return request;
}

// What the engine must answer, computed without it.
std::vector<int32_t> Expected(const EngineRequest& request) {
  std::vector<int32_t> tokens = request.prompt;
  std::vector<float> logits(kVocab);
  Sampler sampler;
  LogitRules rules = request.rules;
  if (!request.ignore_end) rules.ends.push_back(kEnd);
  for (int i = 0; i < request.max_tokens; ++i) {
    FakeTransformer::Logits(tokens, logits);
    tokens.push_back(sampler.Sample(logits, {}, tokens, request.sampling, i, rules));
    if (std::ranges::find(rules.ends, tokens.back()) != rules.ends.end()) break;
  }
  return {tokens.begin() + static_cast<ptrdiff_t>(request.prompt.size()), tokens.end()};
}

class EngineTest : public ::testing::Test {
 protected:
  Engine& Start(EngineOptions options = {}, size_t budget = 64 << 20) {
    engine_.reset();
    results_.clear();  // ids begin again
    pool_.emplace(FakeTransformer::Layout(), budget);
    engine_.emplace(fake_, MakeVocabulary(), *pool_, threads_, options);
    return *engine_;
  }

  uint64_t Submit(EngineRequest request) {
    request.on_done = [this](EngineResult result) {
      std::lock_guard lock(mutex_);
      results_[result.id] = std::move(result);
      done_.notify_all();
    };
    return engine_->Submit(std::move(request));
  }

  EngineResult Result(uint64_t id) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(done_.wait_for(lock, std::chrono::seconds(60), [&] { return results_.contains(id); }));
    return results_[id];
  }

  size_t BlockBytes() const { return kv::BlockPool(FakeTransformer::Layout(), 0).SealedBytes(); }

  ThreadPool threads_{2};
  FakeTransformer fake_{kVocab};
  std::optional<kv::BlockPool> pool_;
  std::optional<Engine> engine_;
  std::mutex mutex_;
  std::condition_variable done_;
  std::map<uint64_t, EngineResult> results_;
};

TEST_F(EngineTest, AnswersAsTheModelAlone) {
  Start({.step_tokens = 100, .chunk_tokens = 37});
  std::vector<EngineRequest> requests;
  std::vector<uint64_t> ids;
  for (size_t i = 0; i < 40; ++i) {
    EngineRequest request = MakeRequest(RandomTokens(1 + 13 * i, i), 1 + static_cast<int>(i * 7 % 90));
    request.ignore_end = i % 2 == 0;
    request.sampling.temperature = i % 3 == 0 ? 0.0f : 1.0f;
    request.sampling.repetition_penalty = i % 5 == 0 ? 1.3f : 1.0f;
    request.key = {static_cast<uint32_t>(i), 3, 1};
    requests.push_back(request);
    ids.push_back(Submit(request));
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    const EngineResult result = Result(ids[i]);
    EXPECT_EQ(result.tokens, Expected(requests[i])) << i;
    EXPECT_EQ(result.prompt_tokens, static_cast<int>(requests[i].prompt.size()));
    EXPECT_EQ(result.finish, result.tokens.back() == kEnd && !requests[i].ignore_end
                                 ? llm::FinishReason::kStop
                                 : llm::FinishReason::kLength);
    EXPECT_EQ(result.key, requests[i].key);
  }
  EXPECT_GT(fake_.most_items, 4u);
}

// Of the model's distribution over the tokens that follow.
TokenLogprobs ExpectedLogprobs(std::span<const int32_t> tokens, int32_t next, int num_top) {
  std::vector<float> logits(kVocab);
  FakeTransformer::Logits(tokens, logits);
  return LogprobMaker().Make(logits, next, num_top);
}

// In a batch with others, in chunks, with a budget that preempts: every rule, log-probability and embedding
// is what the request's own tokens make it.
TEST_F(EngineTest, RulesAndLogprobsDependOnTheSequenceAlone) {
  Start({.step_tokens = 150, .chunk_tokens = 37, .lookup = Lookup::kAlways}, 14 * BlockBytes());
  std::vector<EngineRequest> requests;
  std::vector<uint64_t> ids;
  for (size_t i = 0; i < 24; ++i) {
    EngineRequest request = MakeRequest(RandomTokens(70 + 5 * i, i % 5), 300);
    request.sampling.temperature = i % 3 == 0 ? 0.0f : 1.0f;
    request.sampling.seed = i;
    request.rules = {.bias = {{3, 2.0f}, {kEnd, i % 2 == 0 ? 0.0f : -2.0f}},
                     .frequency_penalty = 0.5f,
                     .presence_penalty = 0.1f,
                     .min_tokens = static_cast<int>(i * 5),
                     .ends = {7}};
    if (i % 2 == 0) request.rules.ends.clear();
    request.ignore_end = i % 2 == 0;
    request.logprobs = static_cast<int>(i % 4);
    request.prompt_logprobs = i % 3 == 0;
    requests.push_back(request);
    ids.push_back(Submit(request));
  }
  int preemptions = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    SCOPED_TRACE(i);
    const EngineRequest& request = requests[i];
    const EngineResult result = Result(ids[i]);
    EXPECT_EQ(result.tokens, Expected(request));
    preemptions += result.preemptions;
    std::vector<int32_t> tokens = request.prompt;
    tokens.insert(tokens.end(), result.tokens.begin(), result.tokens.end());
    const size_t num_prompt = request.prompt.size();
    ASSERT_EQ(result.logprobs.size(), result.tokens.size());
    ASSERT_EQ(result.prompt_logprobs.size(), request.prompt_logprobs ? num_prompt - 1 : 0);
    for (size_t at = request.prompt_logprobs ? 1 : num_prompt; at < tokens.size(); ++at) {
      TokenLogprobs found =
          at < num_prompt ? result.prompt_logprobs[at - 1] : result.logprobs[at - num_prompt];
      found.text_begin = 0;
      ASSERT_EQ(found, ExpectedLogprobs(std::span(tokens).first(at), tokens[at], *request.logprobs)) << at;
    }
  }
  EXPECT_GT(preemptions, 0);
}

TEST_F(EngineTest, EndsAfterThePromptIfNothingIsToFollow) {
  Start();
  EngineRequest request = MakeRequest(RandomTokens(130, 1), 0);
  std::atomic<int> prompts = 0;
  request.on_prompt = [&](uint64_t, auto) { ++prompts; };
  const EngineResult result = Result(Submit(request));
  EXPECT_EQ(result.finish, llm::FinishReason::kLength);
  EXPECT_TRUE(result.tokens.empty());
  EXPECT_EQ(prompts, 1);
  request.max_tokens = 3;
  EXPECT_EQ(Result(Submit(request)).cached_prompt_tokens, 128);  // its blocks are there for others
  EXPECT_EQ(prompts, 2);
}

TEST_F(EngineTest, EmbeddingsAreThoseOfTheTextAlone) {
  constexpr size_t kDim = FakeTransformer::kHeadDim;
  for (const model::Pooling pooling :
       {model::Pooling::kMean, model::Pooling::kFirst, model::Pooling::kLast}) {
    Start({.step_tokens = 100, .chunk_tokens = 37}, 8 * BlockBytes());
    std::vector<uint64_t> ids;
    for (size_t i = 0; i < 12; ++i) {
      EngineRequest request = MakeRequest(RandomTokens(1 + 20 * i, i % 3), 0);
      request.pooling = pooling;
      ids.push_back(Submit(request));
    }
    for (size_t i = 0; i < ids.size(); ++i) {
      const std::vector<int32_t> tokens = RandomTokens(1 + 20 * i, i % 3);
      std::vector<double> sum(kDim);
      std::vector<float> state(kDim);
      for (size_t t = 1; t <= tokens.size(); ++t) {
        if (pooling == model::Pooling::kFirst && t > 1) continue;
        if (pooling == model::Pooling::kLast && t < tokens.size()) continue;
        FakeTransformer::Logits(std::span(tokens).first(t), state);
        for (size_t d = 0; d < kDim; ++d) sum[d] += static_cast<double>(state[d]);
      }
      double squares = 0;
      for (const double x : sum) squares += x * x;
      const EngineResult result = Result(ids[i]);
      EXPECT_EQ(result.finish, llm::FinishReason::kStop);
      ASSERT_EQ(result.embedding.size(), kDim);
      for (size_t d = 0; d < kDim; ++d)
        EXPECT_EQ(result.embedding[d], static_cast<float>(sum[d] * (1 / std::sqrt(squares))));
    }
  }
}

TEST_F(EngineTest, ReusesThePrefixesOfEarlierPromptsAndAnswers) {
  Start();
  EngineRequest first = MakeRequest(RandomTokens(200, 1), 100);
  first.ignore_end = true;
  const EngineResult result = Result(Submit(first));
  EXPECT_EQ(result.cached_prompt_tokens, 0);
  EXPECT_EQ(Result(Submit(first)).cached_prompt_tokens, 192);

  EngineRequest longer = first;
  longer.prompt.insert(longer.prompt.end(), result.tokens.begin(), result.tokens.end());
  const EngineResult second = Result(Submit(longer));
  EXPECT_EQ(second.cached_prompt_tokens, 299);  // of 300 tokens; the last was never computed
  EXPECT_EQ(second.tokens, Expected(longer));

  EngineRequest whole = MakeRequest({first.prompt.begin(), first.prompt.begin() + 128}, 1);
  EXPECT_EQ(Result(Submit(whole)).cached_prompt_tokens, 127);  // one token at least is computed

  EngineRequest other = first;
  other.prompt[70] = (other.prompt[70] + 1) % kEnd;
  const EngineResult third = Result(Submit(other));
  EXPECT_EQ(third.cached_prompt_tokens, 64);
  EXPECT_EQ(third.tokens, Expected(other));
}

TEST_F(EngineTest, DoesNotCacheWhenToldNotTo) {
  Start({.prefix_cache = false});
  const EngineRequest request = MakeRequest(RandomTokens(200, 1), 10);
  Result(Submit(request));
  EXPECT_EQ(Result(Submit(request)).cached_prompt_tokens, 0);
  EXPECT_EQ(pool_->HeldBytes(), 0u);
}

TEST_F(EngineTest, PreemptsAndRecomputesWhenTheBudgetIsShort) {
  // Each of 12 sequences grows to 8 blocks; there is room for 20.
  Start({.step_tokens = 200, .chunk_tokens = 100}, 20 * BlockBytes());
  std::vector<EngineRequest> requests;
  std::vector<uint64_t> ids;
  for (size_t i = 0; i < 12; ++i) {
    requests.push_back(MakeRequest(RandomTokens(70, i), 420));
    requests.back().ignore_end = true;
    requests.back().priority = static_cast<int>(i % 3);
    ids.push_back(Submit(requests.back()));
  }
  int preemptions = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const EngineResult result = Result(ids[i]);
    EXPECT_EQ(result.tokens, Expected(requests[i])) << i;
    preemptions += result.preemptions;
    EXPECT_LE(pool_->HeldBytes(), pool_->BudgetBytes());
  }
  EXPECT_GT(preemptions, 0);
  EXPECT_EQ(Result(ids[0]).preemptions, 0);  // the first of the most urgent ones never yields
}

// As above, but evicted blocks go to disk: less is computed, and the answers are the same.
TEST_F(EngineTest, ReadsPreemptedSequencesBackFromDisk) {
  std::vector<size_t> computed;
  for (const std::string& folder : {std::string(), testing::TempDir()}) {
    Start({.step_tokens = 200, .chunk_tokens = 100, .spill_folder = folder}, 20 * BlockBytes());
    const size_t before = fake_.num_tokens_computed;
    std::vector<EngineRequest> requests;
    std::vector<uint64_t> ids;
    for (size_t i = 0; i < 12; ++i) {
      requests.push_back(MakeRequest(RandomTokens(70, i), 420));
      requests.back().ignore_end = true;
      ids.push_back(Submit(requests.back()));
    }
    for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(Result(ids[i]).tokens, Expected(requests[i])) << i;
    computed.push_back(fake_.num_tokens_computed - before);
    // The loop publishes its numbers after the answers.
    Result(Submit(MakeRequest({1}, 1)));
    const bool restored = engine_->Metrics().Counter("throng:restored_blocks_total", "").Value() > 0;
    EXPECT_EQ(restored, !folder.empty());
  }
  EXPECT_LT(computed[1], computed[0]);
}

TEST_F(EngineTest, EvictsTheLeastRecentlyUsedPrefix) {
  Start({}, 20 * BlockBytes());
  for (uint64_t seed = 0; seed < 10; ++seed) Result(Submit(MakeRequest(RandomTokens(300, seed), 2)));
  EXPECT_GT(Result(Submit(MakeRequest(RandomTokens(300, 9), 2))).cached_prompt_tokens, 0);
  EXPECT_EQ(Result(Submit(MakeRequest(RandomTokens(300, 0), 2))).cached_prompt_tokens, 0);
}

TEST_F(EngineTest, ServesUrgentRequestsFirst) {
  Start({.max_batch = 1});
  std::vector<int> order;
  // The first one blocks the model until all others are in the queue.
  std::latch entered(1), proceed(1);
  fake_.before_forward = [&](auto) {
    if (fake_.num_steps > 0) return;
    entered.count_down();
    proceed.wait();
  };
  std::vector<uint64_t> ids;
  for (const int priority : {0, 5, 3, 3, 1}) {
    EngineRequest request = MakeRequest(RandomTokens(5, 1), 1);
    request.priority = priority;
    const int index = static_cast<int>(ids.size());
    request.on_logits = [&, index](int, std::span<const float>) { order.push_back(index); };
    ids.push_back(Submit(request));
    if (index == 0) entered.wait();
  }
  proceed.count_down();
  for (const uint64_t id : ids) Result(id);
  EXPECT_EQ(order, (std::vector<int>{0, 4, 2, 3, 1}));
}

TEST_F(EngineTest, RaisesRequestsThatWaitAndThatRun) {
  Start({.max_batch = 2, .step_tokens = 66});
  std::vector<int> order;
  std::latch entered(1), proceed(1);
  fake_.before_forward = [&](auto) {
    if (fake_.num_steps > 0) return;
    entered.count_down();
    proceed.wait();
  };
  std::vector<uint64_t> ids;
  // Two run at a time, of which the first in order gets the whole of each forward pass; the others wait.
  for (const int priority : {1, 2, 3, 4}) {
    EngineRequest request = MakeRequest(RandomTokens(300, static_cast<uint64_t>(priority)), 1);
    request.priority = priority;
    const int index = static_cast<int>(ids.size());
    request.on_logits = [&, index](int, std::span<const float>) { order.push_back(index); };
    ids.push_back(Submit(request));
    if (index == 0) entered.wait();
  }
  engine_->Raise(ids[3], 0);
  engine_->Raise(ids[1], -1);
  engine_->Raise(12345, 0);
  proceed.count_down();
  for (const uint64_t id : ids) Result(id);
  EXPECT_EQ(order, (std::vector<int>{1, 3, 0, 2}));
}

TEST_F(EngineTest, RefusesWhatCanNeverFit) {
  Start({.max_context = 100}, 10 * BlockBytes());
  EXPECT_THROW(Submit(MakeRequest({}, 5)), Error);
  EXPECT_THROW(Submit(MakeRequest({1, kVocab}, 5)), Error);
  EXPECT_THROW(Submit(MakeRequest({1, -1}, 5)), Error);
  EXPECT_THROW(Submit(MakeRequest({1}, -1)), Error);
  EXPECT_THROW(Submit(MakeRequest(RandomTokens(50, 1), 51)), Error);
  EXPECT_THROW(Submit(MakeRequest(RandomTokens(50, 1), std::numeric_limits<int>::max())), Error);
  EngineRequest request = MakeRequest({1}, 5);
  request.sampling.top_p = 2;
  EXPECT_THROW(Submit(request), Error);
  EXPECT_EQ(Result(Submit(MakeRequest(RandomTokens(50, 1), 50))).prompt_tokens, 50);

  Start({.max_context = 10000}, 10 * BlockBytes());
  EXPECT_THROW(Submit(MakeRequest(RandomTokens(700, 1), 1)), Error);
}

TEST_F(EngineTest, TheLargestContextThatIsAcceptedRuns) {
  const size_t budget = 10 * BlockBytes() + 12345;
  Start({.chunk_tokens = 256, .max_context = 10000}, budget);
  int most = 1;
  while (Scheduler::MostBytes(*pool_, most + 1) <= budget) ++most;
  EngineRequest request = MakeRequest(RandomTokens(static_cast<size_t>(most) - 20, 1), 20);
  request.ignore_end = true;
  EXPECT_EQ(Result(Submit(request)).tokens, Expected(request));
  EngineRequest other = MakeRequest(RandomTokens(20, 2), most - 20);
  other.ignore_end = true;
  EXPECT_EQ(Result(Submit(other)).tokens, Expected(other));
}

TEST_F(EngineTest, CancelsWaitingAndRunningRequests) {
  Start({.max_batch = 2, .max_context = 100000});
  std::vector<uint64_t> ids;
  for (uint64_t i = 0; i < 6; ++i) {
    EngineRequest request = MakeRequest(RandomTokens(10, i), i == 5 ? 5 : 20000);
    request.ignore_end = true;
    ids.push_back(Submit(request));
  }
  for (size_t i = 0; i < 5; ++i) engine_->Cancel(ids[i]);
  engine_->Cancel(12345);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(Result(ids[i]).finish, llm::FinishReason::kCancelled);
  EXPECT_EQ(Result(ids[5]).finish, llm::FinishReason::kLength);
}

TEST_F(EngineTest, EndsWhatIsInFlightWhenDestroyed) {
  Start({.max_context = 100000});
  const uint64_t id = Submit(MakeRequest(RandomTokens(10, 1), 50000));
  engine_.reset();
  EXPECT_TRUE(results_.contains(id));
}

TEST_F(EngineTest, StreamsTextUpToTheStopString) {
  Start();
  EngineRequest request = MakeRequest(RandomTokens(30, 4), 200);
  request.ignore_end = true;
  const std::vector<int32_t> tokens = Expected(request);
  const auto vocabulary = MakeVocabulary();
  std::string text;
  for (const int32_t token : tokens) text += vocabulary->Bytes(token);
  request.stop = {text.substr(100, 6), "no such text"};
  std::string streamed;
  request.on_text = [&](uint64_t, std::string_view part) { streamed += part; };
  const EngineResult result = Result(Submit(request));
  EXPECT_EQ(result.text, text.substr(0, text.find(request.stop[0])));
  EXPECT_EQ(streamed, result.text);
  EXPECT_EQ(result.finish, llm::FinishReason::kStop);
  EXPECT_LT(result.tokens.size(), tokens.size());
}

TEST_F(EngineTest, FailedForwardPassesEndTheirRequestsAlone) {
  Start();
  fake_.before_forward = [](auto) { throw Error(ErrorCode::kExhausted, "no memory for activations"); };
  const EngineResult failed = Result(Submit(MakeRequest(RandomTokens(100, 1), 5)));
  EXPECT_EQ(failed.finish, llm::FinishReason::kError);
  ASSERT_TRUE(failed.error.has_value());
  EXPECT_STREQ(failed.error->what(), "no memory for activations");
  fake_.before_forward = nullptr;
  const EngineRequest request = MakeRequest(RandomTokens(100, 1), 5);
  EXPECT_EQ(Result(Submit(request)).tokens, Expected(request));
}

TEST_F(EngineTest, CountsWhatItDoes) {
  Start();
  Result(Submit(MakeRequest(RandomTokens(200, 1), 5)));
  Result(Submit(MakeRequest(RandomTokens(200, 1), 5)));
  engine_->Submit(MakeRequest(RandomTokens(3, 1), 1));
  const std::string text = engine_->Metrics().PrometheusText();
  EXPECT_NE(text.find("# TYPE throng:requests_total counter\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nthrong:prompt_tokens_cached_total 192\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nthrong:request_success_total{finished_reason=\"length\"} 2\n"), std::string::npos)
      << text;
  EXPECT_NE(text.find("\nthrong:prefix_hit_rate 0.5\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace throng::engine
