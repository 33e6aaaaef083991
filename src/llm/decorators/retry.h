// Asks again: the one place for attempts, pauses and answers that are not allowed, for every backend alike.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "llm/answer/answer_checker.h"
#include "llm/decorators/decorator.h"

namespace throng::llm {

struct RetryOptions {
  // How often a call is asked, the first time included: of a backend that is unavailable (kUnavailable) or
  // too slow, and of one whose answers are not allowed (kBadAnswer). With these pauses a server may be away
  // for a minute.
  int call_attempts = 9;
  int answer_attempts = 3;
  // Seconds of the backend's clock for one attempt. A run that must be repeatable has none.
  double timeout = kNoTimeout;
  // Seconds before the second attempt; doubles up to longest_pause, with jitter. Only after failures of
  // servers (Completion::retry_after_s is not negative): asking again in this process needs no pause.
  double first_pause = 0.5;
  double longest_pause = 30;
  // A call whose server wants to be left alone for longer, in seconds, fails for good.
  double max_wait = 300;
  // Told, in one sentence, of a pause that a user would notice.
  std::function<void(const std::string&)> on_wait{};
  static constexpr double kNoTimeout = Llm::kForever;
  // Whether calls may fail for bad answers although none has had a good one yet. Otherwise such failures are
  // held back until one has: a server that never answers well ends a run before its agents do without it.
  bool proven = false;
};

// Attempts of a call follow one another under the same id, with Request::refused set after an answer that was
// not taken. What completes has the answer alone, as the constraint wants it, and counts all attempts. It
// fails with kUnavailable or kBadAnswer once the attempts are used up; with what the backend says otherwise;
// and with kInvalid, by which no agent falls back, once kHopeless calls in a row have failed so, or all calls
// while none is proven.
class RetryLlm : public Decorator {
 public:
  static constexpr int kHopeless = 30;

  RetryLlm(std::unique_ptr<Llm> inner, RetryOptions options)
      : Decorator(std::move(inner)), options_(std::move(options)) {}

  // A prompt beyond the context (kExhausted) becomes a completion with that error.
  void Submit(Request request) override;
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;
  void Cancel(uint64_t id) override;

 private:
  using Clock = std::chrono::steady_clock;

  struct Call {
    Request request;
    int attempts = 0;
    int failures = 0;     // attempts that the backend failed
    int bad_answers = 0;  // attempts with answers that were not taken
    int spent_prompt_tokens = 0;
    int spent_output_tokens = 0;
    double deadline = kForever;  // on the backend's clock
    bool timed_out = false;
    std::optional<Clock::time_point> due;  // set while it pauses
    std::optional<Error> failure;          // of the last attempt
  };

  void Ask(Call& call);
  void AskDue();
  void CancelLate();
  void Pause(Call& call, double retry_after_s);
  void Sleep(double seconds);
  std::optional<Error> Judge(Call& call, Completion& completion);
  void Settle(Completion completion, std::vector<Completion>& done);
  void Finish(Call& call, Completion completion, std::vector<Completion>& done);
  void ReleaseUnproven(std::vector<Completion>& done);
  void CheckHope(Completion& completion);
  bool IsGivenUp(uint64_t id);

  RetryOptions options_;
  AnswerChecker checker_;
  std::unordered_map<uint64_t, Call> calls_;              // by id
  std::set<std::pair<double, uint64_t>> deadlines_;       // with the call's id
  std::set<std::pair<Clock::time_point, uint64_t>> due_;  // calls that pause
  std::vector<Completion> ready_;                         // completed by Submit
  std::vector<Completion> unproven_;                      // failures held back; empty once proven
  bool proven_ = options_.proven;
  size_t in_flight_ = 0;  // calls that the backend has
  int failed_in_a_row_ = 0;
  Clock::time_point shown_until_{};
  std::minstd_rand jitter_{std::random_device{}()};
  std::mutex mutex_;
  std::condition_variable given_up_changed_;
  // By id, of all calls: cancelled by the caller. Guarded by mutex_.
  std::unordered_map<uint64_t, bool> given_up_;
};

}  // namespace throng::llm
