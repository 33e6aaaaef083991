// Asks again when a backend fails temporarily or takes too long.
#pragma once

#include <mutex>
#include <set>
#include <unordered_map>

#include "llm/decorators/decorator.h"

namespace throng::llm {

struct RetryOptions {
  int attempts = 3;  // attempts of each call, the first included
  // Seconds of the backend's clock for one attempt. A run that must be repeatable has none.
  double timeout = kNoTimeout;
  static constexpr double kNoTimeout = Llm::kForever;
};

// Repeats a call at once after kUnavailable and after a timeout: backends over a network wait by themselves.
// Attempts follow one another under the same id: one that takes too long is cancelled, and the next begins
// when it has completed.
class RetryLlm : public Decorator {
 public:
  RetryLlm(std::unique_ptr<Llm> inner, const RetryOptions& options)
      : Decorator(std::move(inner)), options_(options) {}

  void Submit(Request request) override;
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;
  void Cancel(uint64_t id) override;

 private:
  struct Call {
    Request request;
    int attempts = 1;
    double deadline = kForever;
    bool timed_out = false;
  };

  void CancelLate();
  void Finish(Completion completion, std::vector<Completion>& done);
  void Ask(Call& call);
  void Forget(uint64_t id);
  bool IsGivenUp(uint64_t id);

  RetryOptions options_;
  std::unordered_map<uint64_t, Call> calls_;         // by id
  std::set<std::pair<double, uint64_t>> deadlines_;  // with the call's id
  std::mutex mutex_;
  // By id, of all calls: cancelled by the caller. Guarded by mutex_.
  std::unordered_map<uint64_t, bool> given_up_;
};

}  // namespace throng::llm
