#include "engine/local_llm.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/data_dir.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "engine/sampling/constrain.h"
#include "engine/scheduler.h"
#include "hwy/targets.h"
#include "kv/cache/block_pool.h"
#include "kv/codec_table.h"
#include "model/config.h"

namespace throng::engine {
namespace {

// Memory that can be taken without swapping, as far as the system tells.
uint64_t AvailableBytes() {
  uint64_t bytes =
      static_cast<uint64_t>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::ifstream meminfo("/proc/meminfo");
  for (std::string word; meminfo >> word;) {
    uint64_t kibibytes;
    if (word == "MemAvailable:" && meminfo >> kibibytes) bytes = kibibytes * 1024;
  }
  // A container may have less than the machine.
  uint64_t limit, used;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> limit &&
      std::ifstream("/sys/fs/cgroup/memory.current") >> used) {
    bytes = std::min(bytes, limit - std::min(limit, used));
  }
  return bytes;
}

LocalOptions FillIn(LocalOptions options, const model::ModelConfig& config) {
  if (options.kv_budget_bytes == 0) options.kv_budget_bytes = AvailableBytes() / 2;
  if (options.threads == 0)
    options.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  if (options.threads < 1 || options.threads > 1024) {
    throw MakeError(ErrorCode::kInvalid, "engine: threads is {}, allowed is 0 (all) to 1024",
                    options.threads);
  }
  if (options.eviction != "next-use" && options.eviction != "lru") {
    throw MakeError(ErrorCode::kInvalid, "engine: eviction is {}, allowed is next-use or lru",
                    options.eviction);
  }
  if (options.max_context == 0) options.max_context = config.context_length;
  return options;
}

// A row of logits may be longer than the vocabulary, which is padded for some models.
std::shared_ptr<const Vocabulary> MakeVocabulary(const model::Tokenizer& tokenizer, int num_logits) {
  if (tokenizer.VocabSize() > num_logits) {
    throw MakeError(ErrorCode::kCorrupt, "model: the vocabulary has {} tokens, a row of logits {}",
                    tokenizer.VocabSize(), num_logits);
  }
  std::vector<std::string> bytes(static_cast<size_t>(num_logits));
  for (int32_t id = 0; id < tokenizer.VocabSize(); ++id)
    bytes[static_cast<size_t>(id)] = tokenizer.TokenBytes(id);
  return std::make_shared<Vocabulary>(bytes, tokenizer.EndOfGeneration());
}

CodecChoice Choose(const LocalOptions& options, const LoadedModel& model) {
  ThreadPool threads(options.threads);
  return ChooseCodecs(CodecsOf(options), *model.transformer, MakeEncoder(*model.tokenizer), threads);
}

// What Highway's dispatch chooses: the lowest bit is the best target.
const char* SimdTarget() {
  const int64_t usable = HWY_SUPPORTED_TARGETS & HWY_TARGETS;
  return hwy::TargetName(usable & -usable);
}

class LocalLlmImpl : public LocalLlm {
 public:
  LocalLlmImpl(LocalOptions options, LoadedModel model)
      : model_(std::move(model)),
        config_(model_.transformer->Config()),
        options_(FillIn(std::move(options), config_)),
        codecs_(Choose(options_, model_)),
        pool_(codecs_.Layout(config_), options_.kv_budget_bytes),
        threads_(options_.threads),
        vocabulary_(MakeVocabulary(*model_.tokenizer, config_.vocab_size)),
        constraints_(vocabulary_) {
    if (Scheduler::MostBytes(pool_, kv::kPageTokens) > pool_.BudgetBytes()) {
      throw MakeError(ErrorCode::kInvalid,
                      "engine: the KV budget is {} bytes, one block of {} tokens takes {}",
                      pool_.BudgetBytes(), kv::kPageTokens, Scheduler::MostBytes(pool_, kv::kPageTokens));
    }
    engine_ = std::make_unique<Engine>(*model_.transformer, vocabulary_, pool_, threads_,
                                       EngineOptions{.max_batch = options_.max_batch,
                                                     .step_tokens = options_.step_tokens,
                                                     .chunk_tokens = options_.chunk_tokens,
                                                     .prefix_cache = options_.prefix_cache,
                                                     .max_context = options_.max_context,
                                                     .softmax = attention::ParseSoftmax(options_.softmax),
                                                     .spill_folder = options_.spill,
                                                     .spill_bytes = options_.spill_bytes});
  }

  void Submit(llm::Request request) override;
  void Wait(std::vector<llm::Completion>& done, double seconds) override;
  void Cancel(uint64_t id) override;
  bool WantsExpectations() const override { return options_.prefix_cache && options_.eviction == "next-use"; }
  void ExpectNext(uint32_t agent, int32_t step) override {
    if (WantsExpectations()) engine_->ExpectNext(agent, step);
  }
  double Now() const override { return std::chrono::duration<double>(Clock::now() - begin_).count(); }
  std::string Identity() const override;
  llm::Stats GetStats() const override;

  Engine& GetEngine() override { return *engine_; }
  EngineState State() const override { return engine_->State(); }
  const model::Tokenizer& GetTokenizer() const override { return *model_.tokenizer; }
  const model::ChatTemplate& GetChatTemplate() const override { return model_.chat; }
  const model::ModelConfig& GetModelConfig() const override { return config_; }
  const LocalOptions& Options() const override { return options_; }
  std::string ModelName() const override;

  std::vector<int32_t> EncodeChat(std::span<const model::ChatMessage> messages) const override {
    return model_.tokenizer->Encode(model_.chat.Format(messages), model_.tokenizer->AddsBos());
  }
  std::vector<int32_t> EncodeText(std::string_view text) const override {
    return model_.tokenizer->Encode(text, {.add_bos = model_.tokenizer->AddsBos(), .parse_special = false});
  }
  std::shared_ptr<Constraint> Compile(const llm::Constraint& constraint) override {
    return constraint.Empty() ? nullptr : constraints_.Get(constraint);
  }

  kv::BlockPool& GetBlocks() override { return pool_; }
  kv::PageSource GetPageSource() const override {
    return {model_.transformer->WeightsDigest(),
            fmt::format("softmax={} simd={}", options_.softmax, SimdTarget())};
  }

  const CodecChoice& Codecs() const override { return codecs_; }
  double KvBytesPerToken() const override { return BytesPerToken(pool_.Layout()); }
  double F16BytesPerToken() const override { return engine::F16BytesPerToken(pool_.Layout()); }

 private:
  // A request in the engine, which numbers its requests itself.
  struct InFlight {
    std::optional<uint64_t> engine_id;  // once the engine has it
    bool cancelled = false;
  };

  void OnDone(uint64_t id, EngineResult result);

  const Clock::time_point begin_ = Clock::now();
  const LoadedModel model_;
  const model::ModelConfig& config_;
  const LocalOptions options_;
  const CodecChoice codecs_;
  kv::BlockPool pool_;
  ThreadPool threads_;
  const std::shared_ptr<const Vocabulary> vocabulary_;
  ConstraintCache constraints_;

  mutable std::mutex mutex_;
  std::condition_variable completed_;
  std::vector<llm::Completion> completions_;  // guarded by mutex_
  std::unordered_map<uint64_t, InFlight>
      in_flight_;     // guarded by mutex_; by id, without those in completions_
  llm::Stats stats_;  // guarded by mutex_

  std::unique_ptr<Engine> engine_;  // last: its callbacks use all the others
};

void LocalLlmImpl::Submit(llm::Request request) {
  EngineRequest asked;
  asked.prompt = EncodePrompt(request.system, request.prompt);
  asked.max_tokens = request.max_tokens;
  asked.priority = request.priority;
  asked.key = request.key;
  asked.sampling = request.sampling;
  asked.stop = std::move(request.stop);
  asked.constraint = Compile(request.constraint);
  if (WantsExpectations()) asked.purpose = std::move(request.function);
  asked.on_done = [this, id = request.id](EngineResult result) { OnDone(id, std::move(result)); };
  {
    std::lock_guard lock(mutex_);
    in_flight_.emplace(request.id, InFlight());
  }
  uint64_t engine_id;
  try {
    engine_id = engine_->Submit(std::move(asked));
  } catch (...) {
    std::lock_guard lock(mutex_);
    in_flight_.erase(request.id);
    throw;
  }
  std::lock_guard lock(mutex_);
  const auto found = in_flight_.find(request.id);
  if (found == in_flight_.end()) return;  // it is done already
  found->second.engine_id = engine_id;
  if (found->second.cancelled) engine_->Cancel(engine_id);
}

void LocalLlmImpl::Cancel(uint64_t id) {
  std::lock_guard lock(mutex_);
  const auto found = in_flight_.find(id);
  if (found == in_flight_.end()) return;
  found->second.cancelled = true;
  if (found->second.engine_id) engine_->Cancel(*found->second.engine_id);
}

void LocalLlmImpl::OnDone(uint64_t id, EngineResult result) {
  llm::Completion completion{.id = id,
                             .key = result.key,
                             .finish = result.finish,
                             .text = std::move(result.text),
                             .prompt_tokens = result.prompt_tokens,
                             .cached_prompt_tokens = result.cached_prompt_tokens,
                             .output_tokens = static_cast<int>(result.tokens.size()),
                             .error = std::move(result.error)};
  {
    std::lock_guard lock(mutex_);
    stats_.Count(completion);
    in_flight_.erase(id);
    completions_.push_back(std::move(completion));
  }
  completed_.notify_one();
}

void LocalLlmImpl::Wait(std::vector<llm::Completion>& done, double seconds) {
  std::unique_lock lock(mutex_);
  const auto ready = [&] { return !completions_.empty() || in_flight_.empty(); };
  // Durations of more than a year would overflow the clock.
  if (seconds > 3e7) {
    completed_.wait(lock, ready);
  } else if (seconds > 0) {
    completed_.wait_for(lock, std::chrono::duration<double>(seconds), ready);
  }
  std::move(completions_.begin(), completions_.end(), std::back_inserter(done));
  completions_.clear();
}

std::string LocalLlmImpl::Identity() const {
  return fmt::format("local model={} kv={} softmax={} simd={} template={}",
                     model_.transformer->WeightsDigest().Hex(), kv::LayoutName(pool_.Layout()),
                     options_.softmax, SimdTarget(), model::ChatFamilyName(model_.chat.Family()));
}

llm::Stats LocalLlmImpl::GetStats() const {
  const EngineState state = engine_->State();
  std::lock_guard lock(mutex_);
  llm::Stats stats = stats_;
  stats.kv_bytes = state.kv_bytes;
  stats.kv_bytes_peak = state.kv_bytes_peak;
  return stats;
}

std::string LocalLlmImpl::ModelName() const {
  if (!config_.name.empty()) return config_.name;
  return std::filesystem::path(options_.model).stem().string();
}

}  // namespace

std::vector<int32_t> LocalLlm::EncodePrompt(std::string_view system, std::string_view prompt) const {
  std::vector<model::ChatMessage> messages;
  if (!system.empty()) messages.push_back({"system", std::string(system)});
  messages.push_back({"user", std::string(prompt)});
  return EncodeChat(messages);
}

CodecOptions CodecsOf(const LocalOptions& options) {
  return {.flags = {.kv = options.kv, .k = options.keys, .v = options.values},
          .calibration = options.calibration,
          .out = options.kv_out,
          .stored = options.kv_choice,
          .stored_in = options.kv_choice_in};
}

LoadedModel LoadModel(const std::string& path) {
  LoadedModel model;
  model.file = std::make_unique<model::GgufFile>(path);
  model.tokenizer = std::make_unique<model::Tokenizer>(*model.file);
  model.chat = model::ChatTemplate::FromGguf(*model.file);
  model.transformer = model::LoadTransformer(*model.file);
  return model;
}

std::unique_ptr<LocalLlm> MakeLocalLlm(LocalOptions options) {
  if (options.model.empty()) options.model = DataDir() + "/town/model.gguf";
  LoadedModel model = LoadModel(options.model);
  return MakeLocalLlm(std::move(options), std::move(model));
}

std::unique_ptr<LocalLlm> MakeLocalLlm(LocalOptions options, LoadedModel model) {
  return std::make_unique<LocalLlmImpl>(std::move(options), std::move(model));
}

}  // namespace throng::engine
