// A backend without a model: made-up answers after made-up times, in virtual time. For tests and for
// measuring schedulers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/huge_pages.h"
#include "llm/backends/event_queue.h"
#include "llm/grammar/answer_maker.h"
#include "llm/llm.h"

namespace throng::llm {

struct FakeOptions {
  double latency = 0;  // seconds that a call takes
  // 0 to 1: each call's latency is drawn, by its key, from latency * [1 - spread, 1 + spread].
  double spread = 0;
  int parallel = 0;   // calls served at once; others wait by priority; 0: all
  uint64_t seed = 0;  // selects another set of answers
  double fail = 0;    // share of the calls that fail with kUnavailable
  double stuck = 0;   // share of the calls that are never answered

  // "latency=0.5,spread=0.2,parallel=4,seed=1", or empty.
  static FakeOptions Parse(std::string_view text);
};

class FakeLlm : public Llm {
 public:
  // How long a call takes, in the clock's unit: seconds, or another one such as tokens.
  using Cost = std::function<double(const Request&)>;

  explicit FakeLlm(const FakeOptions& options = {});
  // Every call takes its cost, regardless of how many run: a schedule on it takes its critical path.
  explicit FakeLlm(Cost cost);

  void Submit(Request request) override;
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;
  void Cancel(uint64_t id) override;
  void Raise(uint64_t id, int priority) override;  // of calls that wait for one of `parallel` to end
  double Now() const override { return now_; }
  std::string Identity() const override;
  Stats GetStats() const override { return stats_; }
  size_t Bytes() const;  // held for calls and events

 private:
  struct Call {
    uint64_t number = 0;  // in order of arrival; 0: this slot is free
    Completion completion;
    double latency;
    int priority;
    bool running;
    bool stuck;
  };

  void Start(uint32_t slot);
  void StartWaiting();
  bool TakeCancelled(std::vector<Completion>& done);
  uint32_t NewSlot();
  void FreeSlot(uint32_t slot);

  FakeOptions options_;
  Cost cost_;  // if empty, the options decide
  AnswerMaker maker_;
  double now_ = 0;
  uint64_t last_number_ = 0;
  int running_ = 0;
  HugeVector<Call> calls_;
  std::vector<uint32_t> free_slots_;  // unused slots of calls_
  EventQueue events_;
  std::set<std::tuple<int, uint64_t, uint32_t>> waiting_;  // priority, number, slot
  Stats stats_;
  std::mutex mutex_;
  std::vector<uint64_t> cancelled_;  // guarded by mutex_
  std::atomic<bool> any_cancelled_ = false;
};

// The time that a call takes alone on that backend, which must run in virtual time and have no other user.
FakeLlm::Cost CostAlone(std::unique_ptr<Llm> backend);

}  // namespace throng::llm
