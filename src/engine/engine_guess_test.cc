// Guessed and determined tokens save forward passes, and change nothing else.

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "base/thread_pool.h"
#include "engine/engine.h"
#include "engine/sampling/constrain.h"
#include "engine/sampling/sampler.h"
#include "engine/testing/fake_transformer.h"

namespace throng::engine {
namespace {

constexpr int32_t kEnd = 299;

// The single bytes, some texts that occur in the answers below, and an end.
std::shared_ptr<const Vocabulary> MakeVocabulary() {
  std::vector<std::string> bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.emplace_back(1, static_cast<char>(byte));
  for (const char* text :
       {"{\"", "na", "me", "name", "\":", "\":\"", "\",\"", "age", "tr", "ue", "false", "}", "\"}"})
    bytes.emplace_back(text);
  while (bytes.size() < kEnd) bytes.push_back("w" + std::to_string(bytes.size()));
  bytes.emplace_back();
  return std::make_shared<Vocabulary>(bytes, std::vector<int32_t>{kEnd});
}

struct Outcome {
  std::vector<EngineResult> results;
  std::vector<std::string> streamed;
  double passes = 0, guesses = 0, accepted = 0;
};

class EngineGuessTest : public ::testing::Test {
 protected:
  EngineGuessTest() { fake_.memory = 1; }

  // A prompt of few different tokens.
  static std::vector<int32_t> Prompt(size_t length, uint64_t seed) {
    std::vector<int32_t> tokens(length);
    CounterRng rng(seed, 3);
    for (int32_t& token : tokens) token = static_cast<int32_t>('a' + rng.NextBelow(6));
    return tokens;
  }

  std::shared_ptr<Constraint> Schema(const std::string& schema) const {
    llm::Constraint spec;
    spec.json_schema = schema;
    return std::make_shared<Constraint>(spec, vocabulary_);
  }

  std::shared_ptr<Constraint> Choices(std::vector<std::string> choices) const {
    llm::Constraint spec;
    spec.choices = std::move(choices);
    return std::make_shared<Constraint>(spec, vocabulary_);
  }

  // All at once.
  Outcome Ask(const std::vector<EngineRequest>& requests, EngineOptions options, size_t budget = 64 << 20) {
    kv::BlockPool pool(FakeTransformer::Layout(), budget);
    ThreadPool threads(2);
    Engine engine(fake_, vocabulary_, pool, threads, options);
    std::mutex mutex;
    std::condition_variable done;
    size_t num_done = 0;
    Outcome run{.results = std::vector<EngineResult>(requests.size()),
                .streamed = std::vector<std::string>(requests.size())};
    for (size_t i = 0; i < requests.size(); ++i) {
      EngineRequest request = requests[i];
      request.on_text = [&run, i](uint64_t, std::string_view text) { run.streamed[i] += text; };
      request.on_done = [&, i](EngineResult result) {
        std::lock_guard lock(mutex);
        if (result.pages) {
          EXPECT_EQ(result.pages->tokens.size(), static_cast<size_t>(result.pages->cache.NumTokens()) + 1);
          result.pages.reset();
        }
        run.results[i] = std::move(result);
        ++num_done;
        done.notify_all();
      };
      engine.Submit(std::move(request));
    }
    std::unique_lock lock(mutex);
    EXPECT_TRUE(done.wait_for(lock, std::chrono::seconds(60), [&] { return num_done == requests.size(); }));
    run.passes = engine.Metrics().Counter("throng:steps_total", "").Value();
    run.guesses = engine.Metrics().Counter("throng:lookup_guesses_total", "").Value();
    run.accepted = engine.Metrics().Counter("throng:lookup_accepted_total", "").Value();
    return run;
  }

  static void ExpectSame(const Outcome& a, const Outcome& b) {
    for (size_t i = 0; i < a.results.size(); ++i) {
      SCOPED_TRACE(i);
      EXPECT_EQ(a.results[i].tokens, b.results[i].tokens);
      EXPECT_EQ(a.results[i].text, b.results[i].text);
      EXPECT_EQ(a.results[i].finish, b.results[i].finish);
      EXPECT_EQ(a.results[i].logprobs, b.results[i].logprobs);
      EXPECT_EQ(a.results[i].prompt_logprobs, b.results[i].prompt_logprobs);
      EXPECT_EQ(a.results[i].prompt_tokens, b.results[i].prompt_tokens);
      EXPECT_EQ(a.streamed[i], b.streamed[i]);
    }
  }

  FakeTransformer fake_{kEnd + 1};
  const std::shared_ptr<const Vocabulary> vocabulary_ = MakeVocabulary();
};

const char* const kPerson =
    R"({"type":"object","properties":{"name":{"type":"string","pattern":"^[a-d]{1,40}$"},)"
    R"("age":{"type":"integer","minimum":1,"maximum":99},"name2":{"type":"boolean"}},)"
    R"("required":["name","age","name2"],"additionalProperties":false})";

// Of all kinds: seeds, temperatures, penalties, constraints, stop strings, limits, lengths that end anywhere
// in a block.
std::vector<EngineRequest> Many(const std::vector<std::shared_ptr<Constraint>>& constraints,
                                std::vector<int32_t> (*prompt)(size_t, uint64_t)) {
  std::vector<EngineRequest> requests;
  for (uint64_t i = 0; i < 60; ++i) {
    EngineRequest request;
    request.prompt = prompt(40 + i, i);
    request.max_tokens = i % 7 == 0 ? static_cast<int>(1 + i % 20) : 150;
    request.sampling.seed = i;
    request.sampling.temperature = i % 3 == 0 ? 0.0f : i % 3 == 1 ? 0.2f : 1.0f;
    request.sampling.min_p = i % 4 == 0 ? 0.05f : 0;
    request.sampling.repetition_penalty = i % 5 == 0 ? 1.1f : 1.0f;
    if (i % 4 == 1) {
      request.rules = {.bias = {{5, 1.5f}, {6, -100.0f}},
                       .frequency_penalty = 0.3f,
                       .presence_penalty = -0.2f,
                       .min_tokens = static_cast<int>(i % 20)};
    }
    if (i % 3 == 0) request.logprobs = static_cast<int>(i % 5);
    request.prompt_logprobs = i % 9 == 0;
    request.ignore_end = i % 2 == 0;
    request.keep_pages = i % 8 == 0;
    request.constraint = constraints[i % constraints.size()];
    if (i % 6 == 0) request.stop = {"w28", "zzz"};
    requests.push_back(std::move(request));
  }
  return requests;
}

TEST_F(EngineGuessTest, GuessesSavePassesAndChangeNothing) {
  const std::vector<EngineRequest> requests =
      Many({nullptr, nullptr, Schema(kPerson), Choices({"north", "northeast", "south", "age"})}, Prompt);
  const Outcome plain = Ask(requests, {.max_batch = 1, .lookup = Lookup::kOff});
  EXPECT_EQ(plain.guesses, 0);
  std::set<llm::FinishReason> reasons;
  for (const EngineResult& result : plain.results) reasons.insert(result.finish);
  EXPECT_EQ(reasons.size(), 2u);
  for (const EngineOptions& options :
       {EngineOptions{.max_batch = 1}, EngineOptions{.max_batch = 7, .prefix_cache = false},
        EngineOptions{.max_batch = 64, .step_tokens = 80, .chunk_tokens = 11}}) {
    SCOPED_TRACE(options.max_batch);
    for (const Lookup lookup : {Lookup::kAuto, Lookup::kAlways}) {
      EngineOptions with = options;
      with.lookup = lookup;
      const Outcome run = Ask(requests, with);
      ExpectSame(run, plain);
      if (lookup == Lookup::kAuto) continue;
      EXPECT_GT(run.accepted, 300);
      EXPECT_LT(run.accepted, run.guesses);
      if (options.max_batch == 1) {
        EXPECT_LT(run.passes, 0.9 * plain.passes);
      }
    }
  }
}

TEST_F(EngineGuessTest, SurvivesPreemptions) {
  std::vector<EngineRequest> requests = Many({nullptr, Schema(kPerson)}, Prompt);
  const Outcome plain = Ask(requests, {.lookup = Lookup::kOff});
  const Outcome run = Ask(requests, {.lookup = Lookup::kAlways},
                          8 * kv::BlockPool(FakeTransformer::Layout(), 0).SealedBytes());
  ExpectSame(run, plain);
  int preemptions = 0;
  for (const EngineResult& result : run.results) preemptions += result.preemptions;
  EXPECT_GT(preemptions, 0);
}

// What a constraint determines costs no pass of its own, guesses or not.
TEST_F(EngineGuessTest, TokensWithoutAlternativeNeedNoPass) {
  EngineRequest request;
  request.prompt = Prompt(50, 1);
  request.constraint = Choices({"xqqqqqqqqqqqqqqqqqqqq", "yqqqqqqqqqqqqqqqqqqqq"});
  const Outcome run = Ask({request}, {.lookup = Lookup::kOff});
  EXPECT_EQ(run.passes, 1);
  EXPECT_EQ(run.results[0].tokens.size(), 21u);
  EXPECT_EQ(run.results[0].finish, llm::FinishReason::kStop);
  EXPECT_EQ(run.results[0].text, run.streamed[0]);

  // Between two choices of a token, they go through the model together.
  request.constraint = Choices({"xqqqqqqqqqqqqqqqqqqqqx", "xqqqqqqqqqqqqqqqqqqqqy", "z"});
  request.sampling.temperature = 0;
  size_t longest = 0;
  for (uint64_t seed = 0; longest < 22; ++seed) {
    ASSERT_LT(seed, 100u);
    request.prompt = Prompt(50, seed);
    const Outcome two = Ask({request}, {.lookup = Lookup::kOff});
    longest = two.results[0].tokens.size();
    EXPECT_EQ(two.passes, longest == 22 ? 2 : 1);
  }

  // A limit cuts them off, too.
  request.max_tokens = 5;
  const Outcome cut = Ask({request}, {.lookup = Lookup::kOff});
  EXPECT_EQ(cut.results[0].tokens.size(), 5u);
  EXPECT_EQ(cut.results[0].finish, llm::FinishReason::kLength);
}

// Whoever watches logits sees those of each token once, in order.
TEST_F(EngineGuessTest, LogitsAreThoseOfPlainDecoding) {
  EngineRequest request;
  request.prompt = Prompt(60, 5);
  request.constraint = Schema(kPerson);
  std::map<Lookup, std::vector<std::vector<float>>> logits;
  for (const Lookup lookup : {Lookup::kOff, Lookup::kAlways}) {
    request.on_logits = [&](int index, std::span<const float> row) {
      EXPECT_EQ(static_cast<size_t>(index), logits[lookup].size());
      logits[lookup].emplace_back(row.begin(), row.end());
    };
    const Outcome run = Ask({request}, {.lookup = lookup});
    EXPECT_EQ(logits[lookup].size(), run.results[0].tokens.size());
  }
  EXPECT_EQ(logits[Lookup::kOff], logits[Lookup::kAlways]);
}

TEST_F(EngineGuessTest, CancelledRequestsEndWithWhatTheyHave) {
  std::vector<EngineRequest> requests = Many({nullptr}, Prompt);
  for (EngineRequest& request : requests) request.ignore_end = true;
  const Outcome plain = Ask(requests, {.lookup = Lookup::kOff});
  kv::BlockPool pool(FakeTransformer::Layout(), 64 << 20);
  ThreadPool threads(2);
  std::vector<EngineResult> results(requests.size());
  {
    Engine engine(fake_, vocabulary_, pool, threads, {.lookup = Lookup::kAlways});
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i].on_text = [&engine](uint64_t id, std::string_view text) {
        if (text.starts_with("w2")) engine.Cancel(id);
      };
      requests[i].on_done = [&results, i](EngineResult result) { results[i] = std::move(result); };
      engine.Submit(requests[i]);
    }
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::vector<int32_t>& tokens = results[i].tokens;
    ASSERT_LE(tokens.size(), plain.results[i].tokens.size());
    EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), plain.results[i].tokens.begin()));
    results[i].pages.reset();
  }
  EXPECT_EQ(pool.HeldBytes(), 0u);
}

}  // namespace
}  // namespace throng::engine
