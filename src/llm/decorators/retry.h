// Asks again when a backend fails for the moment or takes too long.
#pragma once

#include <mutex>
#include <set>
#include <unordered_map>

#include "llm/decorators/decorator.h"

namespace throng::llm {

struct RetryOptions {
  int attempts = 3;  // of each call, the first included
  double timeout =
      kNoTimeout;  // seconds of the backend's clock for one attempt; a run that must be repeatable has none
  static constexpr double kNoTimeout = Llm::kForever;
};

// A call is asked again after kUnavailable and after a timeout, at once: backends over a network wait by
// themselves. One attempt follows the other under the same id: one that takes too long is cancelled, and the
// next begins when it has completed.
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
  std::set<std::pair<double, uint64_t>> deadlines_;  // with the id
  std::mutex mutex_;
  std::unordered_map<uint64_t, bool> given_up_;  // guarded by mutex_; by id, of all calls: by the caller
};

}  // namespace throng::llm
