#include "effects/tool_pool.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include "base/error.h"

namespace throng::effects {

namespace {

using Clock = std::chrono::steady_clock;

// Lists in lists of a result: whoever reads it may go one call deeper for each.
constexpr size_t kMostNested = 200;

// The time so many seconds from now, or the end of time.
Clock::time_point After(double seconds) {
  if (seconds > Tool::kLongestTimeout) return Clock::time_point::max();
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

struct Job {
  uint64_t id;
  std::shared_ptr<Tool> tool;
  std::string arguments;
  Clock::time_point deadline{};  // set when it begins
  bool abandoned = false;        // nobody waits for it any more
};

// The most lists and objects within each other in JSON.
size_t DepthOf(std::string_view json) {
  size_t depth = 0;
  size_t deepest = 0;
  bool in_text = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '"') {
      in_text = !in_text;
    } else if (in_text) {
      i += c == '\\';
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

ToolResult UseSafely(const Job& job) {
  try {
    ToolResult result = job.tool->Use(job.arguments);
    if (result.outcome == ToolResult::Outcome::kDone && DepthOf(result.text) > kMostNested) {
      return job.tool->WithoutResult(fmt::format("its result is nested more than {} deep", kMostNested));
    }
    return result;
  } catch (const std::exception& error) {
    return {ToolResult::Outcome::kFailed, error.what()};
  }
}

}  // namespace

struct ToolPool::State {
  explicit State(size_t most) : most_at_once(most) {}

  const size_t most_at_once;
  std::mutex mutex;  // of everything below
  std::condition_variable changed;
  std::deque<std::shared_ptr<Job>> queue;
  std::vector<std::shared_ptr<Job>> running;
  std::vector<Ended> ended;

  void End(uint64_t id, std::optional<ToolResult> result) {
    ended.push_back({id, std::move(result)});
    changed.notify_all();
  }

  // No thread waits for a job here: one that is left to itself still frees its place.
  static void Begin(const std::shared_ptr<State>& state) {
    while (!state->queue.empty() && state->running.size() < state->most_at_once) {
      std::shared_ptr<Job> job = std::move(state->queue.front());
      state->queue.pop_front();
      job->deadline = After(job->tool->TimeoutSeconds());
      state->running.push_back(job);
      std::thread([state, job = std::move(job)] {
        ToolResult result = UseSafely(*job);
        const std::lock_guard lock(state->mutex);
        if (job->abandoned) return;
        std::erase(state->running, job);
        state->End(job->id, std::move(result));
        Begin(state);
      }).detach();
    }
  }

  void Abandon(const std::shared_ptr<Job>& job, std::optional<ToolResult> result) {
    job->abandoned = true;
    End(job->id, std::move(result));
    std::erase(running, job);
  }

  void EndLate() {
    const Clock::time_point now = Clock::now();
    for (const std::shared_ptr<Job>& job : std::vector(running)) {
      if (job->deadline <= now) Abandon(job, job->tool->TimedOut());
    }
  }
};

ToolPool::ToolPool(size_t most_at_once) : state_(std::make_shared<State>(most_at_once)) {}

ToolPool::~ToolPool() {
  const std::lock_guard lock(state_->mutex);
  state_->queue.clear();
  for (const std::shared_ptr<Job>& job : std::exchange(state_->running, {})) job->abandoned = true;
}

void ToolPool::Start(uint64_t id, std::shared_ptr<Tool> tool, std::string arguments) {
  const std::lock_guard lock(state_->mutex);
  state_->queue.push_back(std::make_shared<Job>(Job{id, std::move(tool), std::move(arguments)}));
  State::Begin(state_);
}

void ToolPool::Cancel(uint64_t id) {
  const std::lock_guard lock(state_->mutex);
  const auto is_it = [id](const std::shared_ptr<Job>& job) { return job->id == id; };
  if (std::erase_if(state_->queue, is_it) > 0) {
    state_->End(id, std::nullopt);
    return;
  }
  const auto found = std::find_if(state_->running.begin(), state_->running.end(), is_it);
  if (found == state_->running.end() || (*found)->tool->GetEffect() != llm::Effect::kPure) return;
  state_->Abandon(std::shared_ptr<Job>(*found), std::nullopt);
  State::Begin(state_);
}

std::vector<ToolPool::Ended> ToolPool::Wait(double seconds) {
  const Clock::time_point until = After(seconds);
  std::unique_lock lock(state_->mutex);
  while (true) {
    state_->EndLate();
    State::Begin(state_);
    if (!state_->ended.empty() || Clock::now() >= until) return std::exchange(state_->ended, {});
    Clock::time_point next = until;
    for (const std::shared_ptr<Job>& job : state_->running) next = std::min(next, job->deadline);
    if (next == Clock::time_point::max()) {
      state_->changed.wait(lock);
    } else {
      state_->changed.wait_until(lock, next);
    }
  }
}

}  // namespace throng::effects
