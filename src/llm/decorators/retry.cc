#include "llm/decorators/retry.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace throng::llm {
namespace {

constexpr double kNoticed = 5;          // seconds: shorter pauses are not worth a line
constexpr double kNoticedSilence = 30;  // seconds
constexpr size_t kMaxRefused = 1000;    // bytes of a refused answer that go into the next prompt
constexpr int kMaxGrowth = 8;           // of max_tokens, after answers that were cut off
constexpr double kLongestSleep = 3600;  // seconds; longer ones would overflow the clock

std::string Asked(int attempts) { return attempts == 1 ? "" : fmt::format(" (asked {} times)", attempts); }

bool HasAnswer(const Completion& completion) {
  return completion.finish == FinishReason::kStop || completion.finish == FinishReason::kLength;
}

}  // namespace

void RetryLlm::Submit(Request request) {
  checker_.Prepare(request.constraint);
  const uint64_t id = request.id;
  {
    const std::lock_guard lock(mutex_);
    given_up_[id] = false;
  }
  if (in_flight_ == 0) heard_ = Inner().Now();
  Call& call = calls_[id];
  call.request = std::move(request);
  Kind& kind = KindOf(call.request.constraint);
  ++kind.open;
  try {
    Ask(call);
  } catch (...) {
    --kind.open;
    calls_.erase(id);
    const std::lock_guard lock(mutex_);
    given_up_.erase(id);
    throw;
  }
}

RetryLlm::Kind& RetryLlm::KindOf(const Constraint& constraint) {
  if (!constraint.choices.empty()) return choice_;
  return constraint.json_schema.empty() ? text_ : json_;
}

void RetryLlm::Ask(Call& call) {
  const uint64_t id = call.request.id;
  ++call.attempts;
  try {
    Inner().Submit(call.request);
  } catch (const Error& error) {
    if (error.Code() != ErrorCode::kExhausted) throw;
    Completion failed;
    failed.id = id;
    failed.finish = FinishReason::kError;
    failed.error = error;
    ++in_flight_;
    Settle(std::move(failed), ready_);
    return;
  }
  ++in_flight_;
  call.timed_out = false;
  call.deadline = Inner().Now() + options_.timeout;
  if (call.deadline != kForever) deadlines_.emplace(call.deadline, id);
  if (IsGivenUp(id)) Inner().Cancel(id);  // between two attempts
}

bool RetryLlm::IsGivenUp(uint64_t id) {
  const std::lock_guard lock(mutex_);
  return given_up_.at(id);
}

// Asks those whose pause is over; those that were given up meanwhile complete.
void RetryLlm::AskDue() {
  std::vector<uint64_t> given_up;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [due, id] : due_) {
      if (given_up_.at(id)) given_up.push_back(id);
    }
  }
  for (const uint64_t id : given_up) {
    Call& call = calls_.at(id);
    due_.erase({*call.due, id});
    Completion completion = Cancelled(id, call.request.key);
    completion.error = call.failure;
    Finish(call, std::move(completion), ready_);
  }
  const Clock::time_point now = Clock::now();
  while (!due_.empty() && due_.begin()->first <= now) {
    Call& call = calls_.at(due_.begin()->second);
    due_.erase(due_.begin());
    call.due.reset();
    if (in_flight_ == 0) heard_ = Inner().Now();
    Ask(call);
  }
}

void RetryLlm::CancelLate() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= Inner().Now()) {
    const uint64_t id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    calls_.at(id).timed_out = true;
    Inner().Cancel(id);
  }
}

void RetryLlm::Pause(Call& call, double retry_after_s) {
  const int doublings = std::min(call.failures + call.bad_answers - 1, 30);
  const double growing =
      std::min(options_.first_pause * static_cast<double>(1u << doublings), options_.longest_pause);
  const double spread = std::uniform_real_distribution<double>(0.75, 1.25)(jitter_);
  const double pause = std::max(growing * spread, retry_after_s + growing * (spread - 0.75));
  call.due = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(pause));
  due_.emplace(*call.due, call.request.id);
  if (pause >= kNoticed) Tell(*call.failure, fmt::format("asked again in {:.0f} s", pause), *call.due);
}

// Once for many calls that wait for the same.
void RetryLlm::Tell(const Error& failure, const std::string& then, Clock::time_point until) {
  const auto noticed = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(kNoticed));
  if (!options_.on_wait || until <= shown_until_ + noticed) return;
  shown_until_ = until;
  options_.on_wait(fmt::format("{}; {}", failure.what(), then));
}

// Fits the answer to its constraint, or says why it is not taken, and what the model is to know when it is
// asked again.
std::optional<Error> RetryLlm::Judge(Call& call, Completion& completion) {
  Request& request = call.request;
  if (request.kind != llm::Kind::kModel) return std::nullopt;  // what a repeated run's tools and people said
  std::string why;
  std::optional<std::string> fitting = checker_.Fit(request.constraint, completion.text, &why);
  // With stop strings an answer can end at once.
  if (fitting && fitting->empty() && request.constraint.Empty() && request.stop.empty() &&
      request.known_output_tokens < 0) {
    fitting.reset();
    why = "it has no text";
  }
  if (fitting) {
    completion.text = *std::move(fitting);
    return std::nullopt;
  }
  const bool cut = completion.finish == FinishReason::kLength;
  if (cut) {
    why += fmt::format("; it was cut off after {} tokens", request.max_tokens);
    if (request.max_tokens <= std::numeric_limits<int>::max() / kMaxGrowth &&
        call.bad_answers < 3) {  // 2, 4 and 8 times as many
      request.max_tokens *= 2;
    }
  }
  std::string remedy = cut ? " Be brief." : "";
  if (!request.constraint.choices.empty()) {
    remedy += " Answer with one of them alone.";
  } else if (!request.constraint.Empty()) {
    remedy += fmt::format(" Answer with {} alone.", DescribeConstraint(request.constraint));
  }
  std::string answer = completion.text;
  if (answer.size() > kMaxRefused) answer = OneLine(answer, kMaxRefused);
  request.refused = Refused{std::move(answer), fmt::format("That answer is not allowed: {}.{}", why, remedy)};
  return MakeError(ErrorCode::kBadAnswer, "{}: the answer {:?} is not allowed: {}",
                   completion.served_by.empty() ? Inner().Identity() : completion.served_by,
                   OneLine(completion.text), why);
}

void RetryLlm::Settle(Completion completion, std::vector<Completion>& done) {
  const auto found = calls_.find(completion.id);
  if (found == calls_.end()) return;
  Call& call = found->second;
  --in_flight_;
  deadlines_.erase({call.deadline, completion.id});
  const bool given_up = IsGivenUp(completion.id);
  const bool is_late = completion.finish == FinishReason::kCancelled && call.timed_out;
  // A server that is only busy says when to ask again, if only by its status.
  const bool is_silent =
      is_late || (completion.error && completion.error->Code() == ErrorCode::kUnavailable &&
                  completion.retry_after_s < 0);
  if (!is_silent && completion.finish != FinishReason::kCancelled) heard_ = Inner().Now();
  std::optional<Error> failure = completion.error;
  if (HasAnswer(completion)) {
    failure = Judge(call, completion);
    if (!failure) return Finish(call, std::move(completion), done);
    completion.retry_after_s = -1;
    completion.finish = given_up ? FinishReason::kCancelled : FinishReason::kError;
    completion.error = failure;
  } else if (is_late && !given_up) {
    failure = MakeError(
        ErrorCode::kUnavailable, "{}: no answer within {} s for call {} of agent {} in step {}{}{}",
        Inner().Identity(), options_.timeout, call.request.key.call, call.request.key.agent,
        call.request.key.step, call.failure ? "; before: " : "", call.failure ? call.failure->what() : "");
  }
  if (given_up || !failure) return Finish(call, std::move(completion), done);
  completion.finish = FinishReason::kError;
  // What a refused answer has added to the prompt is no fault of the question's.
  const bool grown = failure->Code() == ErrorCode::kExhausted && call.request.refused;
  if (grown) failure = call.failure;
  const bool bad = failure->Code() == ErrorCode::kBadAnswer;
  const bool unavailable = failure->Code() == ErrorCode::kUnavailable;
  call.bad_answers += bad;
  call.failures += unavailable;
  call.failure = failure;
  const bool too_long = completion.retry_after_s > options_.max_wait;
  const double silence = is_silent ? Inner().Now() - heard_ : 0;
  const bool too_silent = silence >= options_.longest_silence;
  const bool again = (bad && !grown && call.bad_answers < options_.answer_attempts) ||
                     (unavailable && call.failures < options_.call_attempts);
  if (again && !too_long && !too_silent) {
    if (silence >= kNoticedSilence) Tell(*failure, "asked again", Clock::now());
    call.spent_prompt_tokens += completion.prompt_tokens;
    call.spent_cached_tokens += completion.cached_prompt_tokens;
    call.spent_output_tokens += completion.output_tokens;
    if (completion.retry_after_s >= 0) return Pause(call, completion.retry_after_s);
    return Ask(call);
  }
  std::string end = Asked(call.attempts);
  if (again && too_long) {
    end = fmt::format("; it asks to wait {:.0f} s, allowed is {:.0f}", completion.retry_after_s,
                      options_.max_wait);
  } else if (again) {
    end += fmt::format("; nothing has come from it for {:.0f} s", silence);
  }
  completion.error = Error(failure->Code(), failure->what() + end);
  completion.text.clear();
  Finish(call, std::move(completion), done);
}

int RetryLlm::BadAnswersSoFar(const Kind& kind) const {
  if (text_.proven || choice_.proven || json_.proven) return kind.bad_in_a_row;
  return text_.bad_in_a_row + choice_.bad_in_a_row + json_.bad_in_a_row;
}

bool RetryLlm::IsBeyondIt(const Kind& kind) const {
  return !kind.proven && BadAnswersSoFar(kind) >= options_.unable_after;
}

// A backend that has failed call after call will go on so.
void RetryLlm::CheckHope(Completion& completion, Kind& kind) {
  if (HasAnswer(completion)) {
    failed_in_a_row_ = kind.bad_in_a_row = 0;
    kind.proven = true;
    return;
  }
  if (!completion.error || completion.finish != FinishReason::kError) return;
  const ErrorCode code = completion.error->Code();
  if (code == ErrorCode::kInvalid) return;
  const bool bad = code == ErrorCode::kBadAnswer;
  ++failed_in_a_row_;
  kind.bad_in_a_row += bad;
  std::string why;
  if (bad && IsBeyondIt(kind)) {
    const int so_far = BadAnswersSoFar(kind);
    why = fmt::format("none of {} calls{} has had an answer that is allowed", so_far,
                      so_far == kind.bad_in_a_row ? fmt::format(" for {}", kind.name) : "");
  } else if (failed_in_a_row_ >= kHopeless) {
    why = fmt::format("this is the {}th call in a row to fail", failed_in_a_row_);
  } else if (kind.bad_in_a_row >= kHopeless) {
    why = fmt::format("this is the {}th call for {} in a row to fail", kind.bad_in_a_row, kind.name);
  } else {
    return;
  }
  completion.error = MakeError(ErrorCode::kInvalid, "{}; {}", completion.error->what(), why);
  for (Kind* other : {&text_, &choice_, &json_}) {
    if (!IsBeyondIt(*other)) continue;
    for (Completion& held : other->held) {
      held.error = MakeError(ErrorCode::kInvalid, "{}; {}", held.error->what(), why);
    }
  }
}

void RetryLlm::Finish(Call& call, Completion completion, std::vector<Completion>& done) {
  const uint64_t id = completion.id;
  Kind& kind = KindOf(call.request.constraint);
  completion.key = call.request.key;
  completion.attempts = call.attempts;
  completion.spent_prompt_tokens = call.spent_prompt_tokens;
  completion.spent_cached_tokens = call.spent_cached_tokens;
  completion.spent_output_tokens = call.spent_output_tokens;
  calls_.erase(id);
  {
    const std::lock_guard lock(mutex_);
    given_up_.erase(id);
  }
  --kind.open;
  CheckHope(completion, kind);
  const bool bad = completion.error && completion.error->Code() == ErrorCode::kBadAnswer;
  (bad && !kind.proven ? kind.held : done).push_back(std::move(completion));
  for (Kind* other : {&text_, &choice_, &json_}) {
    if (!other->proven && other->open > 0 && !IsBeyondIt(*other)) continue;
    std::move(other->held.begin(), other->held.end(), std::back_inserter(done));
    other->held.clear();
  }
}

// Until a pause is over or a call is given up, `seconds` of wall time at most.
void RetryLlm::Sleep(double seconds) {
  std::unique_lock lock(mutex_);
  const auto given_up = [&] {
    return std::any_of(due_.begin(), due_.end(),
                       [&](const auto& entry) { return given_up_.at(entry.second); });
  };
  given_up_changed_.wait_for(lock, std::chrono::duration<double>(std::min(seconds, kLongestSleep)), given_up);
}

void RetryLlm::Wait(std::vector<Completion>& done, double seconds) {
  const double deadline = Inner().Now() + seconds;
  double slept = 0;  // while the backend was idle, and its clock may have stood still
  const size_t before = done.size();
  std::vector<Completion> inner;
  while (true) {
    CancelLate();
    AskDue();
    done.insert(done.end(), std::make_move_iterator(ready_.begin()), std::make_move_iterator(ready_.end()));
    ready_.clear();
    if (done.size() > before || calls_.empty()) return;
    const double pause =
        due_.empty()
            ? kForever
            : std::max(std::chrono::duration<double>(due_.begin()->first - Clock::now()).count(), 0.0);
    if (in_flight_ == 0) {
      if (slept >= seconds) return;
      const double nap = std::min(pause, seconds - slept);
      Sleep(nap);
      slept += nap;
      continue;
    }
    const double next = deadlines_.empty() ? deadline : std::min(deadline, deadlines_.begin()->first);
    const double left = next == kForever ? kForever : std::max(next - Inner().Now(), 0.0);
    inner.clear();
    Inner().Wait(inner, std::min(left, pause));
    for (Completion& completion : inner) Settle(std::move(completion), done);
    if (inner.empty() && Inner().Now() >= deadline) return;
  }
}

void RetryLlm::Raise(uint64_t id, int priority) {
  const auto call = calls_.find(id);
  if (call == calls_.end()) return;
  call->second.request.priority = priority;  // of later attempts
  Inner().Raise(id, priority);
}

std::optional<Standing> RetryLlm::StandingOf(uint64_t id) const {
  const auto call = calls_.find(id);
  if (call != calls_.end() && call->second.due) return Standing{.is_queued = true};
  return Inner().StandingOf(id);
}

void RetryLlm::Cancel(uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = given_up_.find(id);
    if (found == given_up_.end()) return;
    found->second = true;
  }
  given_up_changed_.notify_all();
  Inner().Cancel(id);
}

}  // namespace throng::llm
