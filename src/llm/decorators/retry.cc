#include "llm/decorators/retry.h"

#include <algorithm>

namespace throng::llm {

uint64_t RetryLlm::Submit(Request request) {
  Call call;
  call.request = request;
  const uint64_t inner_id = Inner().Submit(std::move(request));
  call.id = ++last_id_;
  Begin(inner_id, std::move(call));
  return last_id_;
}

void RetryLlm::Begin(uint64_t inner_id, Call call) {
  call.deadline = Inner().Now() + options_.timeout;
  call.timed_out = false;
  if (call.deadline != kForever) deadlines_.emplace(call.deadline, inner_id);
  const uint64_t id = call.id;
  calls_[inner_id] = std::move(call);
  const std::lock_guard lock(mutex_);
  inner_ids_[id] = inner_id;
  if (cancelled_.count(id) > 0) Inner().Cancel(inner_id);  // given up between two attempts
}

void RetryLlm::CancelLate() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= Inner().Now()) {
    const uint64_t inner_id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    calls_.at(inner_id).timed_out = true;
    Inner().Cancel(inner_id);
  }
}

void RetryLlm::Finish(Completion completion, std::vector<Completion>& done) {
  const auto found = calls_.find(completion.id);
  if (found == calls_.end()) return;
  Call call = std::move(found->second);
  calls_.erase(found);
  deadlines_.erase({call.deadline, completion.id});
  bool given_up = false;
  {
    const std::lock_guard lock(mutex_);
    given_up = cancelled_.count(call.id) > 0;
  }
  const bool late = call.timed_out && completion.finish == FinishReason::kCancelled;
  const bool failed =
      completion.finish == FinishReason::kError && completion.error->Code() == ErrorCode::kUnavailable;
  if ((late || failed) && !given_up && call.attempts < options_.attempts) {
    ++call.attempts;
    const uint64_t inner_id = Inner().Submit(call.request);
    Begin(inner_id, std::move(call));
    return;
  }
  if (late && !given_up) {
    completion.finish = FinishReason::kError;
    completion.error =
        MakeError(ErrorCode::kUnavailable,
                  "{}: no answer within {} s for call {} of agent {} in step {}, asked {} times{}{}",
                  Inner().Identity(), options_.timeout, call.request.key.call, call.request.key.agent,
                  call.request.key.step, call.attempts, completion.error ? "; " : "",
                  completion.error ? completion.error->what() : "");
  }
  {
    const std::lock_guard lock(mutex_);
    cancelled_.erase(call.id);
    inner_ids_.erase(call.id);
  }
  completion.id = call.id;
  completion.key = call.request.key;
  done.push_back(std::move(completion));
}

void RetryLlm::Wait(std::vector<Completion>& done, double seconds) {
  const double deadline = Inner().Now() + seconds;
  const size_t before = done.size();
  std::vector<Completion> inner;
  while (done.size() == before && !calls_.empty()) {
    CancelLate();
    const double next = deadlines_.empty() ? deadline : std::min(deadline, deadlines_.begin()->first);
    inner.clear();
    Inner().Wait(inner, next == kForever ? kForever : std::max(next - Inner().Now(), 0.0));
    for (Completion& completion : inner) Finish(std::move(completion), done);
    if (inner.empty() && Inner().Now() >= deadline) return;
  }
}

void RetryLlm::Cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = inner_ids_.find(id);
  if (found == inner_ids_.end()) return;
  cancelled_.insert(id);
  Inner().Cancel(found->second);
}

}  // namespace throng::llm
