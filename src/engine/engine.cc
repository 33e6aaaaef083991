#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/sampling/sampler.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "model/transformer.h"

namespace throng::engine {
namespace {

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

std::unique_ptr<kv::SpillFile> MakeSpillFile(const EngineOptions& options, const kv::BlockPool& blocks) {
  if (options.spill_folder.empty()) return nullptr;
  return std::make_unique<kv::SpillFile>(options.spill_folder, blocks.Layout(), options.spill_bytes);
}

SchedulerOptions ForScheduler(const EngineOptions& options, kv::SpillFile* spill) {
  // A step has room for all decoding sequences and for a block of some prompt: prefill never starves.
  return {.max_batch = options.max_batch,
          .step_tokens = std::max(options.step_tokens, options.max_batch + kv::kPageTokens),
          .chunk_tokens = options.chunk_tokens,
          .prefix_cache = options.prefix_cache,
          .spill = spill};
}

void Validate(const EngineOptions& options) {
  const auto require = [](bool ok, const char* name, int value, const char* allowed) {
    if (!ok) throw MakeError(ErrorCode::kInvalid, "engine: {} is {}, allowed is {}", name, value, allowed);
  };
  require(options.max_batch >= 1 && options.max_batch <= 65536, "max_batch", options.max_batch, "1 to 65536");
  require(options.step_tokens >= 1 && options.step_tokens <= 1 << 20, "step_tokens", options.step_tokens,
          "1 to 1048576");
  require(options.chunk_tokens >= 1, "chunk_tokens", options.chunk_tokens, "1 or more");
  require(options.max_context >= 2, "max_context", options.max_context, "2 or more");
  if (!options.spill_folder.empty() && !options.prefix_cache) {
    throw MakeError(ErrorCode::kInvalid,
                    "engine: blocks are spilled from the prefix cache, so --spill needs it to be on");
  }
}

// All numbers that the engine publishes.
struct EngineMetrics {
  explicit EngineMetrics(MetricsRegistry& registry)
      : running(registry.Gauge("throng:num_requests_running", "Sequences that are computed now")),
        waiting(registry.Gauge("throng:num_requests_waiting", "Requests in the queue")),
        kv_bytes(registry.Gauge("throng:kv_bytes", "Bytes of all KV caches")),
        kv_bytes_peak(registry.Gauge("throng:kv_bytes_peak", "Most bytes of all KV caches so far")),
        kv_budget(registry.Gauge("throng:kv_budget_bytes", "Bytes that the KV caches may take")),
        kv_usage(registry.Gauge("throng:kv_cache_usage_perc", "Share of that budget that is taken, 0 to 1")),
        output_rate(registry.Gauge("throng:generation_tokens_per_second",
                                   "Answer tokens per second, when last measured")),
        prefix_hit_rate(registry.Gauge("throng:prefix_hit_rate",
                                       "Share of whole prompt blocks found in the prefix cache")),
        requests(registry.Counter("throng:requests_total", "Requests that have ended")),
        cancelled(registry.Counter("throng:requests_cancelled_total", "Requests that were cancelled")),
        failed(registry.Counter("throng:requests_failed_total", "Requests that ended with an error")),
        prompt_tokens(registry.Counter("throng:prompt_tokens_total", "Prompt tokens of admitted requests")),
        cached_tokens(
            registry.Counter("throng:prompt_tokens_cached_total", "Of these, taken from the prefix cache")),
        computed_tokens(
            registry.Counter("throng:computed_tokens_total", "Tokens that went through the model")),
        recomputed_tokens(
            registry.Counter("throng:recomputed_tokens_total",
                             "Of these, in whole blocks that had been in the prefix cache before")),
        output_tokens(registry.Counter("throng:generation_tokens_total", "Tokens of answers")),
        steps(registry.Counter("throng:steps_total", "Forward passes")),
        guesses(registry.Counter("throng:lookup_guesses_total",
                                 "Tokens that were guessed and checked (prompt lookup)")),
        guesses_accepted(registry.Counter("throng:lookup_accepted_total", "Of these, those that came true")),
        preemptions(
            registry.Counter("throng:num_preemptions_total", "Sequences evicted to be computed again")),
        prefix_evictions(
            registry.Counter("throng:prefix_evictions_total", "Blocks evicted from the prefix cache")),
        spilled(registry.Counter("throng:spilled_blocks_total", "Of these, written to disk")),
        restored(registry.Counter("throng:restored_blocks_total", "Blocks read back from disk")) {}

  Metric &running, &waiting, &kv_bytes, &kv_bytes_peak, &kv_budget, &kv_usage, &output_rate, &prefix_hit_rate;
  Metric &requests, &cancelled, &failed, &prompt_tokens, &cached_tokens, &computed_tokens, &recomputed_tokens,
      &output_tokens, &steps, &guesses, &guesses_accepted;
  Metric &preemptions, &prefix_evictions, &spilled, &restored;
};

}  // namespace

class Engine::Impl {
 public:
  Impl(model::Transformer& transformer, std::shared_ptr<const Vocabulary> vocabulary, kv::BlockPool& blocks,
       ThreadPool& threads, const EngineOptions& options)
      : transformer_(transformer),
        vocabulary_(std::move(vocabulary)),
        blocks_(blocks),
        threads_(threads),
        options_(options),
        metrics_(registry_),
        spill_(MakeSpillFile(options, blocks)),
        scheduler_(blocks, ForScheduler(options, spill_.get())),
        samplers_(static_cast<size_t>(threads.NumThreads())),
        logprob_makers_(samplers_.size()),
        masks_(samplers_.size(), std::vector<uint64_t>(vocabulary_->MaskWords())) {
    metrics_.kv_budget.Set(static_cast<double>(blocks.BudgetBytes()));
    thread_ = std::thread([this] { Loop(); });
  }

  ~Impl() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  uint64_t Submit(EngineRequest request);
  void Cancel(uint64_t id);
  void Raise(uint64_t id, int priority);
  void ExpectNext(uint32_t agent, int32_t step);
  EngineState State() const;
  MetricsRegistry& Registry() { return registry_; }

 private:
  // Logits from which a sequence's next token is sampled.
  struct Row {
    Sequence* sequence;
    const float* logits;  // [guesses + 1, vocab]: after its tokens when the pass began, and after each guess
    size_t num_tokens;    // its tokens when the pass began

    size_t Index() const { return sequence->tokens.size() - num_tokens; }
  };

  void CheckFits(const EngineRequest& request) const;

  // All below run on the engine's thread.
  void Loop();
  bool TakeInbox();
  void Step();
  void Guess();
  void Forward();
  void MakeBatch();
  void TakePromptRows(Sequence& sequence, const model::BatchItem& computed, const float* logits);
  void EndPrompts();
  void Decode();
  void SampleRow(size_t row, int worker);
  void SampleRows();
  void CountGuess(const Row& row, int32_t token);
  void TellText(Sequence& sequence, std::string_view text);
  bool Advance(Sequence& sequence, int32_t token);
  bool Append(Sequence& sequence, int32_t token);
  void Finish(Sequence& sequence, llm::FinishReason reason, std::optional<Error> error = std::nullopt);
  void FailPlanned(const Error& error);
  void PublishMetrics();

  model::Transformer& transformer_;
  const std::shared_ptr<const Vocabulary> vocabulary_;
  kv::BlockPool& blocks_;
  ThreadPool& threads_;
  const EngineOptions options_;
  MetricsRegistry registry_;
  EngineMetrics metrics_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::unique_ptr<Sequence>> submitted_;  // guarded by mutex_
  std::vector<uint64_t> cancelled_;                   // guarded by mutex_
  std::vector<std::pair<uint64_t, int>> raised_;      // guarded by mutex_
  std::unordered_map<uint32_t, int32_t> expected_;    // guarded by mutex_; steps by agent
  bool stop_ = false;                                 // guarded by mutex_
  std::atomic<uint64_t> next_id_{1};

  // Used by the engine's thread only:
  std::unordered_map<uint64_t, std::unique_ptr<Sequence>> sequences_;
  const std::unique_ptr<kv::SpillFile> spill_;  // may be null
  Scheduler scheduler_;
  std::vector<std::unique_ptr<Sequence>> new_;
  std::vector<uint64_t> new_cancelled_;
  std::vector<std::pair<uint64_t, int>> new_raised_;
  std::unordered_map<uint32_t, int32_t> new_expected_;
  std::vector<PlannedItem> items_;
  std::vector<model::BatchItem> batch_;
  std::vector<int32_t> inputs_;   // the tokens of batch_
  std::vector<Row> rows_;         // one per sequence whose next token can be sampled
  std::vector<float> logits_;     // [rows, guesses and rows of prompts that want them, vocab]
  std::vector<float> states_;     // [rows that want them, dim]
  std::vector<int32_t> sampled_;  // [rows]
  PromptLookup lookup_;
  PassCost pass_cost_;
  int passes_without_guesses_ = 0;            // in a row
  std::vector<Sampler> samplers_;             // one per thread
  std::vector<LogprobMaker> logprob_makers_;  // one per thread
  std::vector<std::vector<uint64_t>> masks_;  // one per thread
  Clock::time_point rate_begin_ = Clock::now();
  uint64_t rate_tokens_ = 0;

  std::thread thread_;  // last: it uses all the others
};

void Engine::Impl::CheckFits(const EngineRequest& request) const {
  if (request.prompt.empty()) throw MakeError(ErrorCode::kInvalid, "request: the prompt has no tokens");
  if (request.max_tokens < 0) {
    throw MakeError(ErrorCode::kInvalid, "request: max_tokens is {}, allowed is 0 or more",
                    request.max_tokens);
  }
  THRONG_CHECK(!request.pooling || (request.max_tokens == 0 && !request.prompt_logprobs));
  THRONG_CHECK(!request.prompt_logprobs || request.logprobs);
  THRONG_CHECK(!request.thought_limit || request.constraint != nullptr);
  const auto vocab = static_cast<int32_t>(vocabulary_->NumTokens());
  for (const int32_t token : request.prompt) {
    if (token < 0 || token >= vocab) {
      throw MakeError(ErrorCode::kInvalid, "request: prompt token {} is not in the vocabulary of {}", token,
                      vocab);
    }
  }
  const size_t total = request.prompt.size() + static_cast<size_t>(request.max_tokens);
  if (total > static_cast<size_t>(options_.max_context)) {
    throw MakeError(ErrorCode::kExhausted,
                    "request: prompt of {} and answer of up to {} tokens exceed the context of {}",
                    request.prompt.size(), request.max_tokens, options_.max_context);
  }
  THRONG_CHECK(request.start == nullptr || &request.start->cache.Pool() == &blocks_);
  const size_t bytes = Scheduler::MostBytes(blocks_, static_cast<int>(total));
  if (bytes > blocks_.BudgetBytes()) {
    throw MakeError(ErrorCode::kExhausted,
                    "request: a context of {} tokens takes {} bytes of KV cache, the budget is {}", total,
                    bytes, blocks_.BudgetBytes());
  }
}

uint64_t Engine::Impl::Submit(EngineRequest request) {
  ValidateSampling(request.sampling);
  ValidateRules(request.rules, vocabulary_->NumTokens());
  CheckFits(request);
  if (!request.ignore_end) {
    const std::span<const int32_t> ends = vocabulary_->EndsOfGeneration();
    request.rules.ends.insert(request.rules.ends.end(), ends.begin(), ends.end());
  }
  const uint64_t id = next_id_++;
  auto sequence = std::make_unique<Sequence>(id, std::move(request), blocks_);
  {
    std::lock_guard lock(mutex_);
    if (stop_) throw MakeError(ErrorCode::kCancelled, "request: the engine is being shut down");
    submitted_.push_back(std::move(sequence));
  }
  wake_.notify_one();
  return id;
}

void Engine::Impl::Cancel(uint64_t id) {
  {
    std::lock_guard lock(mutex_);
    cancelled_.push_back(id);
  }
  wake_.notify_one();
}

// Need not wake the loop, which runs while there are requests.
void Engine::Impl::Raise(uint64_t id, int priority) {
  std::lock_guard lock(mutex_);
  raised_.emplace_back(id, priority);
}

// Does not wake the loop: it takes effect with the next request.
void Engine::Impl::ExpectNext(uint32_t agent, int32_t step) {
  std::lock_guard lock(mutex_);
  expected_[agent] = step;
}

EngineState Engine::Impl::State() const {
  const auto count = [](const Metric& metric) { return static_cast<uint64_t>(metric.Value()); };
  return {.waiting = static_cast<int>(metrics_.waiting.Value()),
          .running = static_cast<int>(metrics_.running.Value()),
          .kv_bytes = blocks_.HeldBytes(),
          .kv_bytes_peak = blocks_.GetLedger().peak.Total(),
          .recomputed_tokens = count(metrics_.recomputed_tokens),
          .evicted_blocks = count(metrics_.prefix_evictions),
          .spilled_blocks = count(metrics_.spilled),
          .restored_blocks = count(metrics_.restored)};
}

// Waits for work if there is none. Returns false once everything has ended and the engine must end, too.
bool Engine::Impl::TakeInbox() {
  bool stop;
  {
    std::unique_lock lock(mutex_);
    if (sequences_.empty()) {
      wake_.wait(lock, [&] { return stop_ || !submitted_.empty() || !cancelled_.empty(); });
    }
    new_.swap(submitted_);
    new_cancelled_.swap(cancelled_);
    new_raised_.swap(raised_);
    new_expected_.swap(expected_);
    stop = stop_;
    if (stop) {
      for (auto& [id, sequence] : sequences_) new_cancelled_.push_back(id);
      for (auto& sequence : new_) new_cancelled_.push_back(sequence->id);
    }
  }
  // Expectations first: if an agent's request arrived together with one, the request came later.
  for (const auto& [agent, step] : new_expected_) scheduler_.Expect(agent, step);
  new_expected_.clear();
  for (auto& sequence : new_) {
    scheduler_.Add(sequence.get());
    sequences_.emplace(sequence->id, std::move(sequence));
  }
  new_.clear();
  for (const auto& [id, priority] : new_raised_) {
    const auto found = sequences_.find(id);
    if (found != sequences_.end()) scheduler_.Raise(found->second.get(), priority);
  }
  new_raised_.clear();
  for (const uint64_t id : new_cancelled_) {
    const auto found = sequences_.find(id);
    if (found != sequences_.end()) Finish(*found->second, llm::FinishReason::kCancelled);
  }
  new_cancelled_.clear();
  return !stop;
}

void Engine::Impl::Loop() {
  while (TakeInbox()) {
    if (!sequences_.empty()) Step();
    PublishMetrics();
  }
}

void Engine::Impl::Step() {
  scheduler_.Plan(items_);
  if (items_.empty()) {
    // Submit made sure that each request fits alone, so something else holds blocks of the pool.
    Sequence* stuck = scheduler_.FirstRunning();
    THRONG_CHECK(stuck != nullptr);
    Finish(*stuck, llm::FinishReason::kError,
           MakeError(ErrorCode::kExhausted, "request: the KV budget of {} bytes has no room for {} tokens",
                     blocks_.BudgetBytes(), stuck->tokens.size()));
    return;
  }
  try {
    Guess();
    Forward();
    EndPrompts();
    Decode();
  } catch (const Error& error) {
    return FailPlanned(error);
  } catch (const std::bad_alloc&) {
    return FailPlanned(
        MakeError(ErrorCode::kExhausted, "request: out of memory in a step of {} sequences", items_.size()));
  }
}

void Engine::Impl::Guess() {
  if (options_.lookup == Lookup::kOff) return;
  // Where guesses cost more than they yield, a few are made nonetheless at long intervals: that may change.
  constexpr int kProbeInterval = 256;
  constexpr int kProbeGuesses = 3;
  size_t num_rows = 0;
  int left = options_.step_tokens;
  for (const PlannedItem& item : items_) {
    num_rows += item.num_tokens == item.sequence->NumPending() ? 1 : 0;
    left -= item.num_tokens;
  }
  const bool always = options_.lookup == Lookup::kAlways;
  if (!always && num_rows > PassCost::kMostSequences) return;
  const bool probe = !always && ++passes_without_guesses_ >= kProbeInterval;
  PassPlan plan(pass_cost_, num_rows, always || probe);
  for (PlannedItem& item : items_) {
    Sequence& sequence = *item.sequence;
    if (item.num_tokens != sequence.NumPending() || sequence.WantsPromptLogprobs()) continue;
    // After the last token of an answer, none is needed.
    const int wanted = std::min({probe ? kProbeGuesses : static_cast<int>(PassCost::kMostGuesses), left,
                                 sequence.request.max_tokens - sequence.NumAnswer() - 1});
    if (wanted <= 0) continue;
    lookup_.Guess(sequence.tokens, sequence.matcher ? &*sequence.matcher : nullptr,
                  static_cast<size_t>(sequence.cache.ReserveGuesses(wanted)), plan, sequence.guesses);
    item.num_guesses = static_cast<int>(sequence.guesses.size());
    left -= item.num_guesses;
    if (item.num_guesses == 0) continue;
    passes_without_guesses_ = 0;
    metrics_.guesses.Add(
        static_cast<double>(item.num_guesses - std::ranges::count(sequence.guesses.kinds, kOnlyToken)));
    if (probe) return;
  }
}

// Writes batch_, inputs_ and rows_, and makes room for what the pass computes.
void Engine::Impl::MakeBatch() {
  batch_.clear();
  inputs_.clear();
  rows_.clear();
  size_t num_logits = 0;
  size_t num_states = 0;
  for (const PlannedItem& item : items_) {
    Sequence& sequence = *item.sequence;
    const EngineRequest& request = sequence.request;
    const bool ends = item.num_tokens == sequence.NumPending();
    const auto begin = sequence.tokens.begin() + sequence.cache.NumTokens();
    inputs_.insert(inputs_.end(), begin, begin + item.num_tokens);
    if (ends) inputs_.insert(inputs_.end(), sequence.guesses.tokens.begin(), sequence.guesses.tokens.end());
    model::BatchItem computed{.tokens = {}, .cache = &sequence.cache, .num_logits = 0};
    if (sequence.WantsPromptLogprobs()) {
      computed.num_logits = item.num_tokens;
    } else if (ends && request.max_tokens > 0) {
      computed.num_logits = item.num_guesses + 1;
    }
    if (request.pooling)
      computed.num_states = PooledStates::RowsNeeded(*request.pooling, item.num_tokens, ends);
    num_logits += static_cast<size_t>(computed.num_logits);
    num_states += static_cast<size_t>(computed.num_states);
    batch_.push_back(computed);
  }
  const size_t vocab = vocabulary_->NumTokens();
  const auto dim = static_cast<size_t>(transformer_.Config().dim);
  if (logits_.size() < num_logits * vocab) logits_.resize(num_logits * vocab);
  if (states_.size() < num_states * dim) states_.resize(num_states * dim);
  std::span<const int32_t> inputs = inputs_;
  const float* logits = logits_.data();
  float* states = states_.data();
  for (size_t i = 0; i < items_.size(); ++i) {
    const PlannedItem& item = items_[i];
    Sequence& sequence = *item.sequence;
    model::BatchItem& computed = batch_[i];
    computed.tokens = inputs.first(static_cast<size_t>(item.num_tokens + item.num_guesses));
    inputs = inputs.subspan(computed.tokens.size());
    computed.states = states;
    states += static_cast<size_t>(computed.num_states) * dim;
    logits += static_cast<size_t>(computed.num_logits) * vocab;
    if (item.num_tokens == sequence.NumPending() && sequence.request.max_tokens > 0) {
      const auto num_rows = static_cast<size_t>(item.num_guesses + 1);
      rows_.push_back({&sequence, logits - num_rows * vocab, sequence.tokens.size()});
    }
  }
}

void Engine::Impl::Forward() {
  MakeBatch();
  const Clock::time_point begin = Clock::now();
  transformer_.Forward(batch_, threads_, logits_.data());
  const double seconds = Seconds(Clock::now() - begin);
  const float* logits = logits_.data();
  size_t num_decoded = 0;  // rows of inputs that sample tokens
  for (size_t i = 0; i < items_.size(); ++i) {
    Sequence& sequence = *items_[i].sequence;
    if (sequence.WantsPromptLogprobs()) {
      TakePromptRows(sequence, batch_[i], logits);
    } else {
      num_decoded += static_cast<size_t>(batch_[i].num_logits);
    }
    if (sequence.request.pooling) {
      const auto dim = static_cast<size_t>(transformer_.Config().dim);
      const auto num_states = static_cast<size_t>(batch_[i].num_states);
      sequence.states.Add(*sequence.request.pooling, {batch_[i].states, num_states * dim}, dim,
                          sequence.cache.NumTokens() - batch_[i].num_states);
    }
    logits += static_cast<size_t>(batch_[i].num_logits) * vocabulary_->NumTokens();
  }
  // A pass with a prompt in it says little of what a row costs while decoding.
  if (num_decoded == inputs_.size()) pass_cost_.Observe(rows_.size(), num_decoded - rows_.size(), seconds);
  scheduler_.Computed(items_);
  metrics_.steps.Add(1);
  metrics_.computed_tokens.Add(static_cast<double>(inputs_.size()));
}

// Keeps the log-probabilities of the tokens after those computed; after a preemption, of those not known yet.
void Engine::Impl::TakePromptRows(Sequence& sequence, const model::BatchItem& computed, const float* logits) {
  const size_t vocab = vocabulary_->NumTokens();
  const auto end = static_cast<size_t>(sequence.cache.NumTokens());
  for (size_t at = end - computed.tokens.size(); at < end; ++at, logits += vocab) {
    const size_t next = at + 1;
    if (next != sequence.prompt_logprobs.size() + 1 || next >= sequence.request.prompt.size()) continue;
    sequence.prompt_logprobs.push_back(
        logprob_makers_[0].Make({logits, vocab}, sequence.request.prompt[next], *sequence.request.logprobs));
  }
}

// Ends those that want no answer, once their prompts are computed, and tells whoever waits for a prompt.
void Engine::Impl::EndPrompts() {
  for (const PlannedItem& item : items_) {
    Sequence& sequence = *item.sequence;
    if (sequence.NumAnswer() > 0 || sequence.NumPending() > 0) continue;
    if (sequence.request.on_prompt) sequence.request.on_prompt(sequence.id, sequence.prompt_logprobs);
    if (sequence.request.max_tokens > 0) continue;
    Finish(sequence, sequence.request.pooling ? llm::FinishReason::kStop : llm::FinishReason::kLength);
  }
}

void Engine::Impl::SampleRow(size_t row, int worker) {
  Sequence& sequence = *rows_[row].sequence;
  const size_t vocab = vocabulary_->NumTokens();
  const llm::Sampling& sampling = sequence.request.sampling;
  const auto logits = [&] { return std::span(rows_[row].logits + rows_[row].Index() * vocab, vocab); };
  const auto sample = [&](std::span<const uint64_t> mask) {
    return samplers_[static_cast<size_t>(worker)].Sample(logits(), mask, sequence.tokens, sampling,
                                                         sequence.NumAnswer(), sequence.request.rules);
  };
  int32_t& token = sampled_[row];
  const std::optional<int32_t> end_of_thought =
      sequence.thought ? sequence.thought->Next(sequence.NumAnswer(), sequence.text.Text(), *sequence.matcher)
                       : std::nullopt;
  if (end_of_thought) {
    token = *end_of_thought;
  } else if (!sequence.matcher || sampling.temperature == 0)
    token = sample({});
  // The most likely of all tokens, if it is allowed, is the most likely of those, and saves making a mask.
  if (!end_of_thought && sequence.matcher &&
      !(sampling.temperature == 0 && sequence.matcher->Allows(token))) {
    std::vector<uint64_t>& mask = masks_[static_cast<size_t>(worker)];
    sequence.matcher->AllowedTokens(mask);
    token = sample(mask);
  }
  if (sequence.request.logprobs && token >= 0) {
    sequence.logprobs.push_back(
        logprob_makers_[static_cast<size_t>(worker)].Make(logits(), token, *sequence.request.logprobs));
  }
}

void Engine::Impl::SampleRows() {
  const size_t vocab = vocabulary_->NumTokens();
  for (const Row& row : rows_) {
    const Sequence& sequence = *row.sequence;
    if (sequence.request.on_logits) {
      sequence.request.on_logits(sequence.NumAnswer(), {row.logits + row.Index() * vocab, vocab});
    }
  }
  sampled_.resize(rows_.size());
  // Below this, waking the threads costs more than the work.
  constexpr size_t kParallelLogits = 1 << 15;
  if (rows_.size() * vocab >= kParallelLogits) {
    threads_.ParallelFor(rows_.size(), [this](size_t row, int worker) { SampleRow(row, worker); });
  } else {
    for (size_t row = 0; row < rows_.size(); ++row) SampleRow(row, 0);
  }
}

// Samples a token of each sequence as if the pass had made no guesses, and goes on with those whose guess was
// that token: the next row then has the logits of a pass over it.
void Engine::Impl::Decode() {
  while (!rows_.empty()) {
    SampleRows();
    size_t num_left = 0;
    for (size_t i = 0; i < rows_.size(); ++i) {
      const Row row = rows_[i];
      CountGuess(row, sampled_[i]);
      if (!Advance(*row.sequence, sampled_[i])) continue;
      const Sequence& sequence = *row.sequence;
      const std::span<const int32_t> taken = std::span(sequence.tokens).subspan(row.num_tokens);
      const std::vector<int32_t>& guesses = sequence.guesses.tokens;
      const auto wrong = std::mismatch(guesses.begin(), guesses.end(), taken.begin(), taken.end());
      if (wrong.second == taken.end()) {
        rows_[num_left++] = row;
      } else {
        row.sequence->cache.Truncate(static_cast<int>(row.num_tokens) +
                                     static_cast<int>(wrong.first - guesses.begin()));
        row.sequence->guesses.Clear();
      }
    }
    rows_.resize(num_left);
  }
}

void Engine::Impl::CountGuess(const Row& row, int32_t token) {
  Guesses& guesses = row.sequence->guesses;
  const size_t i = row.Index();
  if (i >= guesses.size() || guesses.kinds[i] == kOnlyToken) return;
  const bool hit = guesses.tokens[i] == token;
  lookup_.Count(guesses, i, hit);
  if (hit) metrics_.guesses_accepted.Add(1);
}

// Takes the token into the answer, with those that must follow. Returns false if the sequence has ended.
bool Engine::Impl::Advance(Sequence& sequence, int32_t token) {
  if (!Append(sequence, token)) return false;
  // Whoever asks for logits, log-probabilities or pages gets those of all tokens.
  const EngineRequest& request = sequence.request;
  if (!sequence.matcher || request.on_logits || request.logprobs || request.keep_pages) return true;
  // Whatever the logits, sampling would draw these; they go through the model with the next token that it can
  // choose, if there is one.
  while (const std::optional<int32_t> only = sequence.matcher->OnlyToken()) {
    if (!Append(sequence, *only)) return false;
  }
  return true;
}

bool Engine::Impl::Append(Sequence& sequence, int32_t token) {
  if (token < 0) {
    Finish(sequence, llm::FinishReason::kError,
           MakeError(ErrorCode::kUnsupported, "request: after {} tokens of the answer no token is possible",
                     sequence.NumAnswer()));
    return false;
  }
  if (sequence.matcher) THRONG_CHECK(sequence.matcher->Accept(token));
  if (sequence.NumAnswer() == 0) sequence.first_token = Clock::now();
  sequence.tokens.push_back(token);
  metrics_.output_tokens.Add(1);
  ++rate_tokens_;

  const EngineRequest& request = sequence.request;
  std::optional<llm::FinishReason> end;
  if (request.logprobs) sequence.logprobs.back().text_begin = sequence.text.Text().size();
  if (std::ranges::find(request.rules.ends, token) != request.rules.ends.end()) {
    end = llm::FinishReason::kStop;
  } else {
    const Vocabulary& spelling = request.spelling != nullptr ? *request.spelling : *vocabulary_;
    const bool stopped = sequence.text.Append(spelling.Bytes(token));
    if (sequence.thought) sequence.thought->Read(sequence.text.Text());
    if (request.on_text) TellText(sequence, sequence.text.TakeFinal());
    if (stopped || (sequence.matcher && sequence.matcher->OnlyEndIsLeft())) {
      end = llm::FinishReason::kStop;
    } else if (sequence.NumAnswer() >= request.max_tokens) {
      // Text that stands free may go on wherever it is complete.
      const bool is_free = request.spelling != nullptr;
      const bool complete = sequence.matcher && !is_free && sequence.matcher->IsComplete();
      end = complete ? llm::FinishReason::kStop : llm::FinishReason::kLength;
    }
  }
  if (end) Finish(sequence, *end);
  return !end;
}

// Text that was taken from the answer, with the log-probabilities of the tokens that begin in it.
void Engine::Impl::TellText(Sequence& sequence, std::string_view text) {
  if (text.empty()) return;
  const EngineRequest& request = sequence.request;
  if (request.on_logprobs) {
    const auto fresh = std::span(sequence.logprobs).subspan(sequence.logprobs_told);
    const auto begins_later = [&](const TokenLogprobs& token) {
      return token.text_begin >= sequence.text.NumTaken();
    };
    const auto told =
        fresh.first(static_cast<size_t>(std::ranges::find_if(fresh, begins_later) - fresh.begin()));
    sequence.logprobs_told += told.size();
    request.on_logprobs(sequence.id, told);
  }
  request.on_text(sequence.id, text);
}

void Engine::Impl::Finish(Sequence& sequence, llm::FinishReason reason, std::optional<Error> error) {
  std::shared_ptr<const kv::SavedPages> pages;
  if (sequence.request.keep_pages && sequence.is_running && reason != llm::FinishReason::kError) {
    // Without what was guessed to follow.
    sequence.cache.Truncate(static_cast<int>(sequence.tokens.size()) - 1);
    pages = std::make_shared<kv::SavedPages>(kv::SavedPages{sequence.tokens, std::move(sequence.cache)});
  }
  scheduler_.Remove(&sequence);
  const std::unique_ptr<Sequence> ended = std::move(sequences_.extract(sequence.id).mapped());
  EngineRequest& request = ended->request;
  if (request.on_text) TellText(*ended, ended->text.TakeRest());
  metrics_.requests.Add(1);
  if (reason == llm::FinishReason::kCancelled) metrics_.cancelled.Add(1);
  if (reason == llm::FinishReason::kError) metrics_.failed.Add(1);
  if (ended->was_admitted) {
    metrics_.prompt_tokens.Add(ended->NumPrompt());
    metrics_.cached_tokens.Add(ended->cached_prompt_tokens);
  }
  if (!request.on_done) return;
  const Clock::time_point now = Clock::now();
  const auto until = [&](bool happened, Clock::time_point time) {
    return happened ? Seconds(time - ended->submitted) : 0;
  };
  request.on_done({.id = ended->id,
                   .key = request.key,
                   .finish = reason,
                   .text = ended->text.Text(),
                   .tokens = {ended->tokens.begin() + ended->NumPrompt(), ended->tokens.end()},
                   .logprobs = std::move(ended->logprobs),
                   .prompt_logprobs = std::move(ended->prompt_logprobs),
                   .embedding = request.pooling ? ended->states.Embedding() : std::vector<float>(),
                   .prompt_tokens = ended->NumPrompt(),
                   .cached_prompt_tokens = ended->cached_prompt_tokens,
                   .preemptions = ended->preemptions,
                   .queue_seconds = until(ended->was_admitted, ended->admitted),
                   .first_token_seconds = until(ended->NumAnswer() > 0, ended->first_token),
                   .total_seconds = until(true, now),
                   .error = std::move(error),
                   .pages = std::move(pages)});
}

// Ends those of the plan that have not ended in this step.
void Engine::Impl::FailPlanned(const Error& error) {
  std::vector<Sequence*> planned;
  for (const auto& [id, sequence] : sequences_) {
    if (std::ranges::find(items_, sequence.get(), &PlannedItem::sequence) != items_.end())
      planned.push_back(sequence.get());
  }
  for (Sequence* sequence : planned) Finish(*sequence, llm::FinishReason::kError, error);
}

void Engine::Impl::PublishMetrics() {
  const Scheduler::Counts& counts = scheduler_.GetCounts();
  metrics_.running.Set(static_cast<double>(scheduler_.NumRunning()));
  metrics_.waiting.Set(static_cast<double>(scheduler_.NumWaiting()));
  metrics_.preemptions.Set(static_cast<double>(counts.preemptions));
  const PrefixCache::Counts& prefixes = scheduler_.Prefixes().GetCounts();
  metrics_.prefix_evictions.Set(static_cast<double>(prefixes.evictions));
  metrics_.spilled.Set(static_cast<double>(prefixes.spills));
  metrics_.restored.Set(static_cast<double>(prefixes.restores));
  metrics_.recomputed_tokens.Set(static_cast<double>(prefixes.recomputations * kv::kPageTokens));
  const uint64_t blocks = counts.prefix_hits + counts.prefix_misses;
  if (blocks > 0)
    metrics_.prefix_hit_rate.Set(static_cast<double>(counts.prefix_hits) / static_cast<double>(blocks));

  // Reading the ledger takes a lock and a sum, so it is done only now and then.
  const Clock::time_point now = Clock::now();
  const double seconds = Seconds(now - rate_begin_);
  if (seconds < 1 && !sequences_.empty()) return;
  metrics_.output_rate.Set(static_cast<double>(rate_tokens_) / std::max(seconds, 1e-3));
  rate_begin_ = now;
  rate_tokens_ = 0;
  metrics_.kv_bytes.Set(static_cast<double>(blocks_.HeldBytes()));
  metrics_.kv_usage.Set(metrics_.kv_bytes.Value() / metrics_.kv_budget.Value());
  metrics_.kv_bytes_peak.Set(static_cast<double>(blocks_.GetLedger().peak.Total()));
}

Engine::Engine(model::Transformer& transformer, std::shared_ptr<const Vocabulary> vocabulary,
               kv::BlockPool& blocks, ThreadPool& threads, const EngineOptions& options) {
  Validate(options);
  impl_ = std::make_unique<Impl>(transformer, std::move(vocabulary), blocks, threads, options);
}

Engine::~Engine() = default;

uint64_t Engine::Submit(EngineRequest request) { return impl_->Submit(std::move(request)); }
void Engine::Cancel(uint64_t id) { impl_->Cancel(id); }
void Engine::Raise(uint64_t id, int priority) { impl_->Raise(id, priority); }
void Engine::ExpectNext(uint32_t agent, int32_t step) { impl_->ExpectNext(agent, step); }
EngineState Engine::State() const { return impl_->State(); }
MetricsRegistry& Engine::Metrics() { return impl_->Registry(); }

}  // namespace throng::engine
