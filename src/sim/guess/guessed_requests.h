// Manages the calls of guessed steps: which to ask, their answers, and what calls cost that no confirmed step
// used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/digest.h"
#include "llm/llm.h"
#include "sim/cluster_run.h"
#include "sim/guess/speculation_options.h"
#include "sim/run_stats.h"

namespace throng::sim {

class GuessedRequests {
 public:
  // A call that was asked, on a guess or by a confirmed step.
  struct Guess {
    llm::Request request;
    Digest digest;
    uint64_t id = 0;
    uint64_t tokens = 0;        // expected until answered, then counted
    double expected_waste = 0;  // tokens
    bool real = false;          // asked by a confirmed step
    bool done = false;
    llm::Completion completion;
    PendingCall* guessing = nullptr;   // waits for the answer in a guessed step
    PendingCall* confirmed = nullptr;  // waits for the answer in a confirmed step
  };

  // All arguments must outlive it. Reads the confirmed tokens from `stats`, and counts there the calls asked
  // and wasted. Numbers requests on from last_request_id, which it shares with the run.
  GuessedRequests(llm::Llm& llm, const SpeculationOptions& options, RunStats& stats,
                  uint64_t& last_request_id)
      : llm_(llm), options_(options), stats_(stats), last_request_id_(last_request_id) {}

  // Null if no step has asked this.
  Guess* Find(const llm::CallKey& key, const Digest& digest);

  // In how many steps the agent has asked on guesses that are neither confirmed nor dropped.
  int NumSteps(AgentId agent) const;

  // Whether budget and waste allow a guess with this chance of being right. The more of the allowed waste is
  // used, the higher the chance must be.
  bool IsWorthAsking(const llm::Request& request, double chance) const;
  void Ask(llm::Request&& request, PendingCall& guessing, double chance);

  // A confirmed step's request is the same as a guess in flight, but for what belongs to no digest. It waits
  // for its answer.
  void Adopt(Guess& guess, const llm::Request& request, PendingCall& confirmed);
  // Confirms a guess that is done: a confirmed step asks the same and takes its answer.
  void Confirm(Guess& guess, const llm::Request& request);

  // Notes a confirmed step's call that no guess had asked, and its answer: guesses of the same step use it.
  // guessing: the guessed call that waits for it already; may be null.
  void NoteAsked(uint64_t id, const llm::CallKey& key, const Digest& digest, PendingCall* guessing);
  void NoteAnswered(const llm::Completion& completion);
  // Returns the next answer to a confirmed step's call that a guessed step waits for; nullopt if none is
  // left.
  struct Answered {
    PendingCall* guessing;
    llm::Completion completion;
  };
  std::optional<Answered> TakeAnswered();

  // The answer to a guess. If the guess was cancelled before, both calls are null. If it failed, the guessed
  // step gets no completion.
  struct Delivery {
    PendingCall* confirmed = nullptr;
    PendingCall* guessing = nullptr;
    std::optional<llm::Completion> completion;  // for `guessing`
  };
  Delivery Deliver(llm::Completion& completion);

  // The guessed step has ended and waits for no more answers.
  void Detach(const ClusterRun& cluster);
  // The agent's steps up to `until` are done: counts the guesses they did not use as wasted, and cancels
  // those in flight.
  void Drop(AgentId agent, Step until);

  size_t InFlight() const { return by_id_.size() + cancelled_.size(); }
  void CancelAll();
  void Forget(uint64_t id);

 private:
  void Close(const Guess& guess);
  void Waste(const Guess& guess);
  void Erase(const Guess& guess);

  llm::Llm& llm_;
  const SpeculationOptions& options_;
  RunStats& stats_;
  uint64_t& last_request_id_;
  std::map<llm::CallKey, std::vector<std::unique_ptr<Guess>>> guesses_;
  std::unordered_map<uint64_t, Guess*> by_id_;  // in flight
  std::unordered_set<uint64_t> cancelled_;      // in flight, but cancelled
  std::unordered_map<uint64_t, Guess*> real_;   // asked by confirmed steps, answer not taken yet
  std::deque<uint64_t> answered_;               // ids in real_, in order of their answers
  uint64_t open_calls_ = 0;                     // guesses neither confirmed nor wasted
  uint64_t open_tokens_ = 0;                    // of the same guesses
  double expected_waste_ = 0;                   // of the same guesses, in tokens
};

}  // namespace throng::sim
