#include "engine/engine.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/engine_impl.h"

namespace throng::engine {
namespace {

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

}  // namespace

Engine::Impl::Impl(model::Transformer& transformer, std::shared_ptr<const Vocabulary> vocabulary,
                   kv::BlockPool& blocks, ThreadPool& threads, const EngineOptions& options)
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

Engine::Impl::~Impl() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

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
