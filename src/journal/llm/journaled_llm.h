// A backend that remembers: answers that the journal has are returned from there at once; the others come
// from the backend below and are in the journal before anyone sees them. An effect at commit is in there
// before it is begun: one that has no answer was interrupted, completes with kUnknown, and is never begun
// again.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "journal/journal.h"
#include "llm/llm.h"

namespace throng::journal {

class JournaledLlm final : public llm::Llm {
 public:
  // Which failed calls (kError) count as answers and are not asked again: those whose agents fall back.
  using KeepsFailure = std::function<bool(const llm::Completion&)>;

  // Both must outlive this. keeps_failure: not set: no failure is kept.
  JournaledLlm(llm::Llm& below, Journal& journal, KeepsFailure keeps_failure = {});

  // Throws kInvalid if the journal has the answer to a different request under this key.
  void Submit(llm::Request request) override;
  void Wait(std::vector<llm::Completion>& done, double seconds) override;
  void Cancel(uint64_t id) override { below_.Cancel(id); }  // answers from the journal have already arrived
  void Raise(uint64_t id, int priority) override;
  std::optional<llm::Standing> StandingOf(uint64_t id) const override { return below_.StandingOf(id); }
  // Writes an answered guess to the journal; issue and arrival are both the time of the confirmation. When it
  // was asked and answered is in the table of guesses, as for those discarded.
  void Confirm(const llm::Request& request, const llm::Completion& completion) override;
  void Discard(uint64_t id) override;
  bool WantsExpectations() const override { return below_.WantsExpectations(); }
  void ExpectNext(uint32_t agent, int32_t step) override { below_.ExpectNext(agent, step); }
  double Now() const override { return below_.Now(); }
  std::string Identity() const override { return below_.Identity(); }
  llm::Stats GetStats() const override { return below_.GetStats(); }

  uint64_t NumReplayed() const { return num_replayed_; }  // calls answered by the journal
  // Whether the failure of this call was kept by an earlier session, and came from the journal.
  bool IsKeptFailure(const llm::CallKey& key) const { return kept_failures_.contains(key); }
  uint64_t NumAsked() const { return num_asked_; }  // answers that came from the backend

 private:
  bool Replays(const llm::Request& request);
  void TellUnknown(const llm::Request& request);
  struct InFlight {
    llm::CallKey key;
    AskedCall asked;
    double issued_s;
  };
  struct Guess {
    llm::CallKey key;
    std::string function;
    double issued_s;
    std::optional<double> arrived_s{};
    bool is_needed = false;  // its step has asked it
  };
  void FlushOften();
  void TellInFlight();
  void EndGuess(uint64_t id, bool used);
  bool Keeps(const llm::Completion& completion) const;

  llm::Llm& below_;
  Journal& journal_;
  KeepsFailure keeps_failure_;
  bool may_replay_;  // false: the journal has no answers to look up
  std::unordered_map<uint64_t, InFlight> in_flight_;
  std::unordered_map<uint64_t, Guess> guesses_;  // neither confirmed nor discarded
  std::vector<llm::Completion> replayed_;
  std::set<llm::CallKey> kept_failures_;  // among those replayed
  std::chrono::steady_clock::time_point last_flush_{};
  std::chrono::steady_clock::time_point next_telling_{};
  uint64_t num_replayed_ = 0;
  uint64_t num_asked_ = 0;
};

}  // namespace throng::journal
