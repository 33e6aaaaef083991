#include "llm/fake.h"

#include <algorithm>

#include "base/check.h"
#include "llm/options.h"

namespace throng::llm {

FakeOptions FakeOptions::Parse(std::string_view text) {
  FakeOptions options;
  Options("fake")
      .Bind("latency", options.latency, 0.0, 1e6)
      .Bind("spread", options.spread, 0.0, 1.0)
      .Bind("parallel", options.parallel, 0, 1 << 20)
      .Bind("seed", options.seed)
      .Bind("fail", options.fail, 0.0, 1.0)
      .Bind("stuck", options.stuck, 0.0, 1.0)
      .Parse(text);
  return options;
}

FakeLlm::FakeLlm(const FakeOptions& options) : options_(options), maker_(options.seed) {}

FakeLlm::FakeLlm(Cost cost) : cost_(std::move(cost)), maker_(options_.seed) {}

uint64_t FakeLlm::Submit(Request request) {
  Completion completion = maker_.Make(request);
  completion.id = ++last_id_;
  CounterRng rng(options_.seed, request.sampling.seed, request.key.agent, request.key.step, request.key.call);
  const double latency =
      cost_ ? cost_(request) : options_.latency * (1 + options_.spread * (2 * rng.NextDouble() - 1));
  if (rng.NextDouble() < options_.fail) {
    completion.finish = FinishReason::kError;
    completion.error = Error(ErrorCode::kUnavailable, "fake: the call was made to fail");
    completion.text.clear();
    completion.prompt_tokens = completion.output_tokens = 0;
  }
  Pending& pending = pending_[last_id_];
  pending = {std::move(completion), latency, request.priority, false, rng.NextDouble() < options_.stuck};
  if (options_.parallel == 0) {
    Start(last_id_, pending);
  } else {
    waiting_.emplace(request.priority, last_id_);  // until Wait knows all that was asked at this time
  }
  return last_id_;
}

void FakeLlm::Start(uint64_t id, Pending& pending) {
  pending.running = true;
  ++running_;
  if (!pending.stuck) events_.emplace(now_ + pending.latency, id);
}

void FakeLlm::StartWaiting() {
  while (!waiting_.empty() && running_ < options_.parallel) {
    const uint64_t id = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    Start(id, pending_.at(id));
  }
}

bool FakeLlm::TakeCancelled(std::vector<Completion>& done) {
  std::vector<uint64_t> ids;
  {
    const std::lock_guard lock(mutex_);
    ids.swap(cancelled_);
  }
  bool any = false;
  for (const uint64_t id : ids) {
    const auto found = pending_.find(id);
    if (found == pending_.end()) continue;
    Completion completion;
    completion.id = id;
    completion.key = found->second.completion.key;
    completion.finish = FinishReason::kCancelled;
    done.push_back(std::move(completion));
    if (found->second.running) {
      --running_;  // its event finds nothing
    } else {
      waiting_.erase({found->second.priority, id});
    }
    pending_.erase(found);
    any = true;
  }
  StartWaiting();
  return any;
}

void FakeLlm::Wait(std::vector<Completion>& done, double seconds) {
  if (TakeCancelled(done)) return;
  const double deadline = now_ + std::max(seconds, 0.0);
  bool any = false;
  while (!events_.empty() && !(any && events_.top().first > now_)) {
    const auto [time, id] = events_.top();
    const auto found = pending_.find(id);
    if (found == pending_.end()) {
      events_.pop();
      continue;
    }
    if (time > deadline) {
      now_ = deadline;
      return;
    }
    events_.pop();
    now_ = std::max(now_, time);
    Completion& completion = found->second.completion;
    ++stats_.calls;
    stats_.prompt_tokens += static_cast<uint64_t>(completion.prompt_tokens);
    stats_.output_tokens += static_cast<uint64_t>(completion.output_tokens);
    done.push_back(std::move(completion));
    pending_.erase(found);
    --running_;
    any = true;
    if (events_.empty() || events_.top().first > now_) break;
  }
  if (!any && !pending_.empty() && deadline < kForever) now_ = deadline;  // all that is there is stuck
  StartWaiting();
}

void FakeLlm::Cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(id);
}

std::string FakeLlm::Identity() const {
  if (cost_) return "fake with a cost of its own";
  std::string identity = fmt::format("fake latency={} spread={} parallel={} seed={}", options_.latency,
                                     options_.spread, options_.parallel, options_.seed);
  if (options_.fail > 0) identity += fmt::format(" fail={}", options_.fail);
  if (options_.stuck > 0) identity += fmt::format(" stuck={}", options_.stuck);
  return identity;
}

FakeLlm::Cost CostAlone(std::unique_ptr<Llm> backend) {
  // Functions are copied, backends are not.
  return [shared = std::shared_ptr<Llm>(std::move(backend)),
          done = std::vector<Completion>()](const Request& request) mutable {
    const double start = shared->Now();
    shared->Submit(request);
    done.clear();
    shared->Wait(done);
    THRONG_CHECK(done.size() == 1);
    return shared->Now() - start;
  };
}

}  // namespace throng::llm
