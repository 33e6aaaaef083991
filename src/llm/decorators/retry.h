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
  // No call is asked again once nothing has come from the backend for so many of its seconds, to any call.
  double longest_silence = 600;
  // So many calls for one kind of answer (text, a choice, JSON) that had bad answers, before any had a good
  // one, show that the backend cannot give that kind; or for all kinds, before any of them had.
  int unable_after = 5;
  // Told, in one sentence, of a pause or a silence that a user would notice.
  std::function<void(const std::string&)> on_wait{};
  static constexpr double kNoTimeout = Llm::kForever;
};

// Attempts of a call follow one another under the same id, with Request::refused set after an answer that was
// not taken. What completes has the answer alone, as the constraint wants it, and counts all attempts. It
// fails with kUnavailable or kBadAnswer once the attempts are used up; with what the backend says otherwise;
// and with kInvalid, by which no agent falls back, where the next call would fail, too: once kHopeless calls
// in a row have failed, or as many for one kind of answer had bad ones (unable_after if none was ever good).
// Until a kind has had a good answer, bad ones are held back while another call for it is in flight: so a
// backend that cannot give it ends a run before its agents do without it, if enough of them ask at once.
class RetryLlm : public Decorator {
 public:
  static constexpr int kHopeless = 30;

  RetryLlm(std::unique_ptr<Llm> inner, RetryOptions options)
      : Decorator(std::move(inner)), options_(std::move(options)) {}

  // A prompt beyond the context (kExhausted) becomes a completion with that error.
  void Submit(Request request) override;
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;
  void Cancel(uint64_t id) override;
  void Raise(uint64_t id, int priority) override;
  std::optional<Standing> StandingOf(uint64_t id) const override;  // between two attempts it is queued

 private:
  using Clock = std::chrono::steady_clock;

  struct Call {
    Request request;
    int attempts = 0;
    int failures = 0;     // attempts that the backend failed
    int bad_answers = 0;  // attempts with answers that were not taken
    int spent_prompt_tokens = 0;
    int spent_cached_tokens = 0;
    int spent_output_tokens = 0;
    double deadline = kForever;  // on the backend's clock
    bool timed_out = false;
    std::optional<Clock::time_point> due;  // set while it pauses
    std::optional<Error> failure;          // of the last attempt
  };
  struct Kind {  // of answer
    const char* name;
    size_t open = 0;      // calls that have not completed
    bool proven = false;  // one has had a good answer
    int bad_in_a_row = 0;
    std::vector<Completion> held{};  // had bad answers; empty once proven
  };

  void Ask(Call& call);
  void AskDue();
  void CancelLate();
  void Pause(Call& call, double retry_after_s);
  void Tell(const Error& failure, const std::string& then, Clock::time_point until);
  void Sleep(double seconds);
  std::optional<Error> Judge(Call& call, Completion& completion);
  void Settle(Completion completion, std::vector<Completion>& done);
  void Finish(Call& call, Completion completion, std::vector<Completion>& done);
  Kind& KindOf(const Constraint& constraint);
  int BadAnswersSoFar(const Kind& kind) const;  // of calls for any kind, as long as none is proven
  bool IsBeyondIt(const Kind& kind) const;      // the backend cannot give this kind
  void CheckHope(Completion& completion, Kind& kind);
  bool IsGivenUp(uint64_t id);

  RetryOptions options_;
  AnswerChecker checker_;
  std::unordered_map<uint64_t, Call> calls_;              // by id
  std::set<std::pair<double, uint64_t>> deadlines_;       // with the call's id
  std::set<std::pair<Clock::time_point, uint64_t>> due_;  // calls that pause
  std::vector<Completion> ready_;                         // completed by Submit
  Kind text_{"text"};
  Kind choice_{"one of several choices"};
  Kind json_{"JSON"};
  size_t in_flight_ = 0;  // calls that the backend has
  int failed_in_a_row_ = 0;
  double heard_ = 0;  // when something last came from the backend, or it was last idle; on its clock
  Clock::time_point shown_until_{};
  std::minstd_rand jitter_{std::random_device{}()};
  std::mutex mutex_;
  std::condition_variable given_up_changed_;
  // By id, of all calls: cancelled by the caller. Guarded by mutex_.
  std::unordered_map<uint64_t, bool> given_up_;
};

}  // namespace throng::llm
