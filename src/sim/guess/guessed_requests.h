// The calls of guessed steps on their way: which are asked, what their answers are, and what those cost that
// no confirmed step used.
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
    uint64_t tokens = 0;        // expected at first, then counted
    double expected_waste = 0;  // tokens
    bool real = false;          // asked by a confirmed step
    bool done = false;
    llm::Completion completion;
    PendingCall* guessing = nullptr;   // waits for it in a guessed step
    PendingCall* confirmed = nullptr;  // waits for it in a confirmed one
  };

  // All must outlive it. Reads of `stats` the confirmed tokens, and counts in it the calls asked and wasted.
  // Requests are numbered on from last_request_id, which is the run's.
  GuessedRequests(llm::Llm& llm, const SpeculationOptions& options, RunStats& stats,
                  uint64_t& last_request_id)
      : llm_(llm), options_(options), stats_(stats), last_request_id_(last_request_id) {}

  // Null if nobody has asked this.
  Guess* Find(const llm::CallKey& key, const Digest& digest);

  // Whether budget and waste allow a guess that is right with this chance. The more of the allowed waste is
  // used, the likelier it must be.
  bool IsWorthAsking(const llm::Request& request, double chance) const;
  void Ask(llm::Request&& request, PendingCall& guessing, double chance);

  // A confirmed step asks the same: it takes the answer of a guess that is done.
  void Confirm(Guess& guess);

  // A confirmed step has asked what no guess had: guesses of the same step use its answer.
  void NoteAsked(uint64_t id, const llm::CallKey& key, const Digest& digest);
  void NoteAnswered(const llm::Completion& completion);
  // The next of these answers that a guessed step waits for; none is left: nullopt.
  struct Answered {
    PendingCall* guessing;
    llm::Completion completion;
  };
  std::optional<Answered> TakeAnswered();

  // The answer to a guess. Cancelled before: both are null. Failed: the guessed step gets no completion.
  struct Delivery {
    PendingCall* confirmed = nullptr;
    PendingCall* guessing = nullptr;
    std::optional<llm::Completion> completion;  // for `guessing`
  };
  Delivery Deliver(llm::Completion& completion);

  // The guessed step has ended: nobody waits for the answers to its calls.
  void Detach(const ClusterRun& cluster);
  // The agent's steps up to this one are done: what they did not ask was asked in vain.
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
  std::unordered_set<uint64_t> cancelled_;      // in flight, but given up
  std::unordered_map<uint64_t, Guess*> real_;   // in flight, asked by confirmed steps
  std::deque<uint64_t> answered_;               // of real_
  uint64_t open_tokens_ = 0;                    // of guesses neither confirmed nor wasted
  double expected_waste_ = 0;                   // of these
};

}  // namespace throng::sim
