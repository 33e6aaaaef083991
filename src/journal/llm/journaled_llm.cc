#include "journal/llm/journaled_llm.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "llm/request_digest.h"

namespace throng::journal {

namespace {

// While waiting for answers, commits become visible to readers after this time.
constexpr std::chrono::milliseconds kFlushInterval(100);
// How often readers are told of the calls in flight; less often if that would take more of the time than one
// part in kTellingShare.
constexpr std::chrono::milliseconds kTellInterval(500);
constexpr int kTellingShare = 100;

Error AnotherQuestion(const Journal& journal, const llm::Request& request) {
  return MakeError(
      ErrorCode::kInvalid,
      "journal {}: it answers another question than the one that is asked now ({}): the scenario or "
      "the program has changed since",
      journal.Path(), request.function);
}

}  // namespace

JournaledLlm::JournaledLlm(llm::Llm& below, Journal& journal, KeepsFailure keeps_failure)
    : below_(below),
      journal_(journal),
      keeps_failure_(std::move(keeps_failure)),
      may_replay_(journal.NumAnswers() > 0) {}

bool JournaledLlm::Keeps(const llm::Completion& completion) const {
  if (completion.finish == llm::FinishReason::kCancelled) return false;
  return completion.finish != llm::FinishReason::kError || (keeps_failure_ && keeps_failure_(completion));
}

// Whether the journal has the answer, which then comes from there.
bool JournaledLlm::Replays(const llm::Request& request) {
  if (!may_replay_) return false;
  std::optional<JournaledAnswer> answer = journal_.FindAnswer(request.key);
  if (!answer.has_value()) return false;
  const bool is_same = answer->digest == llm::DigestOfRequest(request);
  if (request.guess && !is_same) return false;
  if (!is_same) throw AnotherQuestion(journal_, request);
  if (!answer->is_of_this_session) ++num_replayed_;  // a late guess may ask what a step has just asked
  answer->completion.id = request.id;
  if (answer->completion.error) kept_failures_.insert(request.key);
  replayed_.push_back(std::move(answer->completion));
  return true;
}

// The process that began it has not lived to write down how it ended.
void JournaledLlm::TellUnknown(const llm::Request& request) {
  llm::Completion completion;
  completion.id = request.id;
  completion.key = request.key;
  completion.finish = llm::FinishReason::kUnknown;
  completion.text = "the run was interrupted while this was being done";
  journal_.AddAnswer(completion, journal_.AddQuestion(request), below_.Now(), below_.Now());
  journal_.Flush();
  replayed_.push_back(std::move(completion));
}

void JournaledLlm::Submit(llm::Request request) {
  if (Replays(request)) return;
  const uint64_t id = request.id;
  if (request.guess) {
    guesses_.emplace(id, Guess{request.key, request.function, below_.Now()});
    return below_.Submit(std::move(request));
  }
  if (request.effect == llm::Effect::kAtCommit) {
    if (const std::optional<Digest> begun = journal_.FindIntention(request.key)) {
      if (*begun != llm::DigestOfRequest(request)) throw AnotherQuestion(journal_, request);
      return TellUnknown(request);
    }
  }
  InFlight call{request.key, journal_.AddQuestion(request), below_.Now()};
  if (request.effect == llm::Effect::kAtCommit) journal_.AddIntention(request.key, call.asked);
  below_.Submit(std::move(request));
  in_flight_.emplace(id, std::move(call));
}

// Guesses alone are raised, once their steps ask the same.
void JournaledLlm::Raise(uint64_t id, int priority) {
  const auto guess = guesses_.find(id);
  if (guess != guesses_.end()) guess->second.is_needed = true;
  below_.Raise(id, priority);
}

void JournaledLlm::FlushOften() {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_flush_ < kFlushInterval) return;
  last_flush_ = now;
  if (now >= next_telling_) TellInFlight();
  journal_.Flush();
}

void JournaledLlm::TellInFlight() {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<CallInFlight> calls;
  for (const auto& [id, call] : in_flight_) {
    calls.push_back({.key = call.key,
                     .function = call.asked.function,
                     .issued_s = call.issued_s,
                     .standing = below_.StandingOf(id)});
  }
  for (const auto& [id, guess] : guesses_) {
    calls.push_back({guess.key, guess.function, guess.issued_s, guess.arrived_s, !guess.is_needed,
                     below_.StandingOf(id)});
  }
  journal_.TellInFlight(below_.Now(), std::move(calls));
  const auto took = std::chrono::steady_clock::now() - begin;
  next_telling_ = begin + std::max<std::chrono::steady_clock::duration>(kTellInterval, kTellingShare * took);
}

void JournaledLlm::Wait(std::vector<llm::Completion>& done, double seconds) {
  if (!replayed_.empty()) {
    for (llm::Completion& completion : replayed_) done.push_back(std::move(completion));
    replayed_.clear();
    return;
  }
  FlushOften();
  const size_t begin = done.size();
  below_.Wait(done, seconds);
  bool added = false;
  for (size_t i = begin; i < done.size(); ++i) {
    const llm::Completion& completion = done[i];
    const auto it = in_flight_.find(completion.id);
    if (it == in_flight_.end()) {
      const auto guess = guesses_.find(completion.id);
      if (guess != guesses_.end()) guess->second.arrived_s = below_.Now();
      continue;
    }
    if (Keeps(completion)) {
      const InFlight& call = it->second;
      journal_.AddAnswer(completion, call.asked, call.issued_s, below_.Now());
      ++num_asked_;
      added = true;
    } else if (it->second.asked.effect == llm::Effect::kAtCommit) {
      journal_.DropIntention(completion.key);  // cancelled: it was not begun
    }
    in_flight_.erase(it);
  }
  if (added) journal_.Flush();
}

void JournaledLlm::EndGuess(uint64_t id, bool used) {
  const auto found = guesses_.find(id);
  if (found == guesses_.end()) return;  // its answer came from the journal
  const Guess& guess = found->second;
  journal_.AddGuess(guess.key, guess.function, guess.issued_s, guess.arrived_s.value_or(below_.Now()), used);
  guesses_.erase(found);
}

void JournaledLlm::Discard(uint64_t id) {
  below_.Discard(id);
  EndGuess(id, false);
}

void JournaledLlm::Confirm(const llm::Request& request, const llm::Completion& completion) {
  if (may_replay_) {
    const std::optional<JournaledAnswer> answer = journal_.FindAnswer(request.key);
    if (answer.has_value() && answer->digest == llm::DigestOfRequest(request)) return;  // it came from there
  }
  below_.Confirm(request, completion);
  EndGuess(completion.id, true);
  if (!Keeps(completion)) return;
  journal_.AddAnswer(completion, journal_.AddQuestion(request), below_.Now(), below_.Now());
  ++num_asked_;
  journal_.Flush();
}

}  // namespace throng::journal
