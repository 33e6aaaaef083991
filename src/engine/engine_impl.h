// The engine's loop and what it works on, for the engine's own files alone: engine.cc has requests and the
// loop, engine_pass.cc forward passes, engine_answer.cc what becomes of their logits.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/lookup/pass_cost.h"
#include "engine/lookup/prompt_lookup.h"
#include "engine/sampling/logprobs.h"
#include "engine/sampling/sampler.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "model/transformer.h"

namespace throng::engine {

inline double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// All numbers that the engine publishes.
struct EngineMetrics {
  // As vLLM counts them, those that were given up among them.
  static Metric& Success(MetricsRegistry& registry, std::string_view reason) {
    return registry.Counter("throng:request_success_total", "Requests that have ended without an error",
                            fmt::format("finished_reason=\"{}\"", reason));
  }

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
        stopped(Success(registry, "stop")),
        cut_at_length(Success(registry, "length")),
        aborted(Success(registry, "abort")),
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
  Metric &requests, &cancelled, &failed, &stopped, &cut_at_length, &aborted;
  Metric &prompt_tokens, &cached_tokens, &computed_tokens, &recomputed_tokens, &output_tokens, &steps,
      &guesses, &guesses_accepted;
  Metric &preemptions, &prefix_evictions, &spilled, &restored;
};

class Engine::Impl {
 public:
  Impl(model::Transformer& transformer, std::shared_ptr<const Vocabulary> vocabulary, kv::BlockPool& blocks,
       ThreadPool& threads, const EngineOptions& options);
  ~Impl();

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
    const float* logits;   // [guesses + 1, vocab]: after its tokens when the pass began, and after each guess
    size_t num_tokens;     // its tokens when the pass began
    const int32_t* drawn;  // [guesses + 1], if the transformer drew them; then there are no logits

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
  bool MayDraw(const Sequence& sequence) const;
  void MakeDraws();
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
  std::vector<int32_t> inputs_;     // the tokens of batch_
  std::vector<Row> rows_;           // one per sequence whose next token can be sampled
  std::vector<float> logits_;       // [rows, guesses and rows of prompts that want them, vocab]
  std::vector<float> states_;       // [rows that want them, dim]
  std::vector<model::Draw> draws_;  // of items whose tokens the transformer draws
  std::vector<int32_t> drawn_;      // likewise
  std::deque<std::vector<uint64_t>> draw_masks_;
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

}  // namespace throng::engine
