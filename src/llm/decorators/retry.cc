#include "llm/decorators/retry.h"

#include <algorithm>

namespace throng::llm {

void RetryLlm::Submit(Request request) {
  const uint64_t id = request.id;
  {
    const std::lock_guard lock(mutex_);
    given_up_[id] = false;
  }
  Call& call = calls_[id];
  call.request = std::move(request);
  Ask(call);
}

void RetryLlm::Ask(Call& call) {
  const uint64_t id = call.request.id;
  try {
    Inner().Submit(call.request);
  } catch (...) {
    Forget(id);
    throw;
  }
  call.timed_out = false;
  call.deadline = Inner().Now() + options_.timeout;
  if (call.deadline != kForever) deadlines_.emplace(call.deadline, id);
  if (IsGivenUp(id)) Inner().Cancel(id);  // between two attempts
}

void RetryLlm::Forget(uint64_t id) {
  calls_.erase(id);
  const std::lock_guard lock(mutex_);
  given_up_.erase(id);
}

bool RetryLlm::IsGivenUp(uint64_t id) {
  const std::lock_guard lock(mutex_);
  return given_up_.at(id);
}

void RetryLlm::CancelLate() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= Inner().Now()) {
    const uint64_t id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    calls_.at(id).timed_out = true;
    Inner().Cancel(id);
  }
}

void RetryLlm::Finish(Completion completion, std::vector<Completion>& done) {
  const uint64_t id = completion.id;
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;
  Call& call = found->second;
  deadlines_.erase({call.deadline, id});
  const bool given_up = IsGivenUp(id);
  const bool late = call.timed_out && completion.finish == FinishReason::kCancelled;
  const bool failed =
      completion.finish == FinishReason::kError && completion.error->Code() == ErrorCode::kUnavailable;
  if ((late || failed) && !given_up && call.attempts < options_.attempts) {
    ++call.attempts;
    Ask(call);
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
  completion.key = call.request.key;
  Forget(id);
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
  {
    const std::lock_guard lock(mutex_);
    const auto found = given_up_.find(id);
    if (found == given_up_.end()) return;
    found->second = true;
  }
  Inner().Cancel(id);
}

}  // namespace throng::llm
