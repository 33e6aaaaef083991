#include "engine/local_llm.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/text/utf8.h"
#include "llm/same_chat.h"

namespace throng::engine {

namespace {

struct InEngine {
  uint64_t id;
  std::shared_ptr<const std::atomic<bool>> runs;
};

}  // namespace

struct LocalLlm::Inbox {
  std::mutex mutex;
  std::condition_variable completed;
  std::vector<llm::Completion> completions;  // guarded by mutex
  // By the caller's id, of requests without a completion yet; guarded by mutex.
  std::unordered_map<uint64_t, InEngine> in_flight;
  llm::Stats stats;  // guarded by mutex

  void Put(uint64_t id, EngineResult result);
};

void LocalLlm::Inbox::Put(uint64_t id, EngineResult result) {
  llm::Completion completion;
  completion.id = id;
  completion.key = result.key;
  completion.finish = result.finish;
  completion.text = ReplaceInvalidUtf8(result.text);  // as servers send it, whose answers are JSON
  completion.prompt_tokens = result.prompt_tokens;
  completion.cached_prompt_tokens = result.cached_prompt_tokens;
  completion.output_tokens = static_cast<int>(result.tokens.size());
  completion.error = std::move(result.error);
  {
    std::lock_guard lock(mutex);
    stats.Count(completion);
    in_flight.erase(id);
    completions.push_back(std::move(completion));
  }
  completed.notify_one();
}

LocalLlm::LocalLlm(std::shared_ptr<LocalModel> model)
    : model_(std::move(model)), inbox_(std::make_shared<Inbox>()) {}

LocalLlm::~LocalLlm() {
  std::lock_guard lock(inbox_->mutex);
  for (const auto& [id, in_engine] : inbox_->in_flight) model_->Cancel(in_engine.id);
}

void LocalLlm::Submit(llm::Request request) {
  llm::Sampling sampling = request.sampling;
  sampling.seed = llm::SamplingSeed(request);
  std::vector<model::ChatMessage> chat;
  if (!request.system.empty()) chat.push_back({"system", request.system});
  for (llm::ChatTurn& turn : llm::TurnsOf(request, request.prompt)) {
    chat.push_back({turn.role, std::move(turn.content)});
  }
  EngineRequest asked = model_->MakeRequest({.prompt = std::move(chat),
                                             .max_tokens = request.max_tokens,
                                             .sampling = sampling,
                                             .stop = std::move(request.stop),
                                             .constraint = std::move(request.constraint)});
  asked.priority = request.priority;
  asked.key = request.key;
  if (WantsExpectations()) asked.purpose = std::move(request.function);
  asked.on_done = [inbox = inbox_, id = request.id](EngineResult result) {
    inbox->Put(id, std::move(result));
  };
  const auto runs = std::make_shared<std::atomic<bool>>(false);
  asked.runs = runs;
  std::lock_guard lock(inbox_->mutex);  // so that no completion comes before its id is known
  inbox_->in_flight[request.id] = {model_->Submit(std::move(asked)), runs};
}

void LocalLlm::Cancel(uint64_t id) {
  std::lock_guard lock(inbox_->mutex);
  const auto found = inbox_->in_flight.find(id);
  if (found != inbox_->in_flight.end()) model_->Cancel(found->second.id);
}

void LocalLlm::Raise(uint64_t id, int priority) {
  std::lock_guard lock(inbox_->mutex);
  const auto found = inbox_->in_flight.find(id);
  if (found != inbox_->in_flight.end()) model_->Raise(found->second.id, priority);
}

std::optional<llm::Standing> LocalLlm::StandingOf(uint64_t id) const {
  std::lock_guard lock(inbox_->mutex);
  const auto found = inbox_->in_flight.find(id);
  if (found == inbox_->in_flight.end()) return std::nullopt;
  return llm::Standing{.is_queued = !*found->second.runs};
}

void LocalLlm::Wait(std::vector<llm::Completion>& done, double seconds) {
  std::unique_lock lock(inbox_->mutex);
  const auto ready = [&] { return !inbox_->completions.empty() || inbox_->in_flight.empty(); };
  // Durations of more than a year would overflow the clock.
  if (seconds > 3e7) {
    inbox_->completed.wait(lock, ready);
  } else if (seconds > 0) {
    inbox_->completed.wait_for(lock, std::chrono::duration<double>(seconds), ready);
  }
  std::move(inbox_->completions.begin(), inbox_->completions.end(), std::back_inserter(done));
  inbox_->completions.clear();
}

double LocalLlm::Now() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
}

llm::Stats LocalLlm::GetStats() const {
  const EngineState state = model_->State();
  std::lock_guard lock(inbox_->mutex);
  llm::Stats stats = inbox_->stats;
  stats.kv_bytes = state.kv_bytes;
  stats.kv_bytes_peak = state.kv_bytes_peak;
  return stats;
}

}  // namespace throng::engine
