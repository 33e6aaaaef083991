// Runs agents past the point they may safely reach, on a guess of what they will perceive, so that their LLM
// calls are answered before they are needed. A guessed step commits nothing: once no agent blocks it, the run
// does it from the confirmed state like any other step, and reuses only the answers to calls that it asks
// again word for word. So guesses can cost tokens, never exactness (docs/speculation.md).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llm/llm.h"
#include "sim/cluster_run.h"
#include "sim/dependency_graph.h"
#include "sim/guess/forecasts.h"
#include "sim/guess/guessed_requests.h"
#include "sim/guess/hypothetical_world.h"
#include "sim/guess/speculation_options.h"
#include "sim/run_observer.h"
#include "sim/run_stats.h"
#include "sim/seeds.h"
#include "sim/world_state.h"

namespace throng::sim {

class Speculator final : private CallSink, private HypotheticalWorld::Observer {
 public:
  // `run` is that of the confirmed steps. All arguments must outlive it. Reads the confirmed tokens from
  // `stats`, and counts there what guesses did. Numbers requests on from last_request_id, which it shares
  // with the run.
  Speculator(const RunContext& run, llm::Llm& llm, const SpeculationOptions& options, Step end_step,
             const WorldState& state, RunStats& stats, uint64_t& last_request_id);

  // A cluster begins its confirmed run of this step: guesses of the same step end, and their answers stay.
  // Members without calls in flight may then be guessed to be done with it.
  void OnBegin(std::span<const AgentId> members, Step step);
  // A cluster's step was committed; state and graph have it.
  void OnCommit(const CommitRecord& record);
  // An intervention has happened: drops what was guessed of its step and later ones.
  void OnIntervention(const InterventionRecord& record);
  // Answers a call of a confirmed step from a guess that asked the same; false if there is none. The call has
  // its answer at once, or gets it through Deliver.
  bool Answer(const llm::Request& request, PendingCall& call);
  // Notes a confirmed step's call that no guess had asked, and its answer: guesses of the same step use it.
  void OnAsked(uint64_t id, const llm::CallKey& key, const std::string& function, const Digest& digest);
  void OnAnswered(const llm::Completion& completion);
  // A confirmed step waits for what is done elsewhere (Caller::Await), and no longer does.
  void OnBegunElsewhere(AgentId agent) { ++agents_[agent].confirmed_calls; }
  void OnEndedElsewhere(AgentId agent) { NoteConfirmedAnswer(agent); }

  // Advances the guesses as far as room and budget allow beside the confirmed calls in flight.
  void Run(size_t confirmed_in_flight);

  // Takes a completion that the run does not know. Returns the confirmed call that waited for it, or null.
  PendingCall* Deliver(llm::Completion& completion);

  size_t InFlight() const { return requests_.InFlight(); }
  size_t NumElsewhere() const { return elsewhere_.size(); }  // what guessed steps wait for, or have cancelled
  // For the end of a run: CancelAll cancels what is in flight; Forget drops a call that no longer is.
  void CancelAll();
  void Forget(uint64_t id) {
    if (elsewhere_.erase(id) == 0) requests_.Forget(id);
  }

 private:
  struct Agent {
    size_t confirmed_members = 0;  // size of the cluster running its confirmed step; 0: it waits
    size_t confirmed_calls = 0;    // confirmed calls in flight, and what is done elsewhere
    bool halted = false;           // a guess failed: begins none on its own until its next commit
    bool considered = false;       // is in considered_
  };
  struct Parked {  // asked by a guessed step, not sent yet
    llm::Request request;
    PendingCall* call;
    double chance = 0;            // of being right
    uint64_t weighed_before = 0;  // the chance stays valid until this many commits
  };

  // CallSink and Observer of the guessed steps.
  void Submit(llm::Request&& request, PendingCall& call) override;
  void Begin(const std::function<void(uint64_t id, bool guess)>& begin, PendingCall& call) override;
  void OnSeenOtherwise(AgentId reader, Step step, AgentId seen) override;
  void OnSquash(AgentId agent) override;

  void Consider(AgentId agent);
  bool MayJoin(AgentId agent) const;
  bool MayBegin(AgentId agent) const;
  std::vector<AgentId> ClusterOf(AgentId agent) const;
  bool HasRoom(size_t confirmed_in_flight) const;
  void BeginGuesses(size_t confirmed_in_flight);
  void Begin(AgentId agent);
  void Advance(ClusterRun& cluster);
  void Finish(ClusterRun& cluster);
  void Release(ClusterRun& cluster);
  void End(ClusterRun& cluster);
  void ReleaseRunOf(AgentId agent);
  void CancelElsewhere(const ClusterRun& cluster);
  void Halt(ClusterRun& cluster);
  void Wake(PendingCall& call, llm::Completion completion);
  void Abandon(AgentId agent, Step step);
  void CheckCommit(const MemberCommit& commit, Step step,
                   const std::optional<HypotheticalWorld::GuessedStep>& guess);
  void NoteConfirmedAnswer(AgentId agent);

  PendingCall* TakeParked(const llm::CallKey& key, const Digest& digest);
  void Weigh(Parked& parked);
  void SendParked(size_t confirmed_in_flight);

  llm::Llm& llm_;
  const SpeculationOptions options_;
  const Step end_step_;
  const DependencyGraph& graph_;
  const WorldState& state_;
  RunStats& stats_;
  uint64_t& last_request_id_;
  HypotheticalWorld hypothetical_;
  GuessedRequests requests_;
  Forecasts forecasts_;
  RunContext context_;
  std::vector<Agent> agents_;
  std::vector<ClusterPtr> clusters_;
  std::vector<Parked> asked_;           // asked since the last SendParked
  std::multimap<Step, Parked> parked_;  // by step, earliest first
  // By id: what guessed steps wait for; null: nobody does any more.
  std::unordered_map<uint64_t, PendingCall*> elsewhere_;
  llm::Completion answer_;                     // of a call that is answered when issued
  std::vector<AgentId> considered_;            // agents that may have become able to begin a step
  using Candidate = std::pair<Step, AgentId>;  // an agent that was, and its step then
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates_;
  uint64_t commits_ = 0;
};

}  // namespace throng::sim
