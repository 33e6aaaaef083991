// Asks again when a backend fails for the moment or takes too long.
#pragma once

#include <map>
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
// themselves.
class RetryLlm : public Decorator {
 public:
  RetryLlm(std::unique_ptr<Llm> inner, const RetryOptions& options)
      : Decorator(std::move(inner)), options_(options) {}

  uint64_t Submit(Request request) override;
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;
  void Cancel(uint64_t id) override;

 private:
  struct Call {
    uint64_t id;  // as the caller knows it: that of the first attempt
    Request request;
    int attempts = 1;
    double deadline = kForever;
    bool timed_out = false;
  };

  void CancelLate();
  void Finish(Completion completion, std::vector<Completion>& done);
  void Begin(uint64_t inner_id, Call call);

  RetryOptions options_;
  std::unordered_map<uint64_t, Call> calls_;         // by the inner id of the attempt
  std::set<std::pair<double, uint64_t>> deadlines_;  // with the inner id
  uint64_t last_id_ = 0;
  std::mutex mutex_;
  std::unordered_map<uint64_t, uint64_t> inner_ids_;  // guarded by mutex_; by id
  std::set<uint64_t> cancelled_;  // guarded by mutex_; ids in flight that the caller gave up
};

}  // namespace throng::llm
