// Runs agents past the point to which they may safely run, on a guess of what they will perceive, so that
// their LLM calls are answered before they are needed. A guessed step commits nothing: once nobody blocks it,
// the run does it from the confirmed state like any other step, and only takes the answers to those calls
// that it asks again, word for word. So guesses can cost tokens, never exactness (docs/speculation.md).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
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
  // All must outlive it. Reads of `stats` the confirmed tokens, and counts in it what guesses did. Requests
  // are numbered on from last_request_id, which is the run's.
  Speculator(const World& world, llm::Llm& llm, const SpeculationOptions& options, Step end_step, Seeds seeds,
             const DependencyGraph& graph, const WorldState& state, RunStats& stats,
             uint64_t& last_request_id);

  // A cluster begins this step for good: guesses of the same step end, their answers stay. Members that have
  // asked nothing themselves may then be guessed to be done with it.
  void OnBegin(std::span<const AgentId> members, Step step);
  // It was committed; state and graph have it.
  void OnCommit(const CommitRecord& record);
  // It has happened: nothing that was guessed of its step, or later ones, is trusted.
  void OnIntervention(const InterventionRecord& record);
  // A call of a confirmed step: true if a guess has asked the same. Then it has its answer, or gets it
  // through Deliver.
  bool Answer(const llm::Request& request, PendingCall& call);
  // Calls of confirmed steps that no guess had asked: guesses of the same step use their answers.
  void OnAsked(uint64_t id, const llm::CallKey& key, const std::string& function, const Digest& digest);
  void OnAnswered(const llm::Completion& completion);

  // Goes on as far as room and budget allow beside so many confirmed calls in flight.
  void Run(size_t confirmed_in_flight);

  // A completion that the run does not know. Returns the confirmed call that waited for it, if one did.
  PendingCall* Deliver(llm::Completion& completion);

  size_t InFlight() const { return requests_.InFlight(); }
  // For the end of a run: cancels what is in flight, and forgets a call that is not any more.
  void CancelAll() { requests_.CancelAll(); }
  void Forget(uint64_t id) { requests_.Forget(id); }

 private:
  struct Agent {
    size_t confirmed_members = 0;  // of the cluster in which it runs its confirmed step; 0: it waits
    size_t confirmed_calls = 0;    // in flight
    bool halted = false;           // a guess failed: it begins nothing more alone before the next commit
    bool considered = false;       // in considered_
  };
  struct Parked {  // asked by a guessed step, not sent yet
    llm::Request request;
    PendingCall* call;
    double chance = 0;            // that it is right
    uint64_t weighed_before = 0;  // until so many commits the chance counts as known
  };

  // Of guessed steps.
  void Submit(llm::Request&& request, PendingCall& call) override;
  void OnSeenOtherwise(AgentId reader, Step step, AgentId seen) override;
  void OnSquash(AgentId agent) override;

  void Consider(AgentId agent);
  bool MayJoin(AgentId agent) const;
  bool MayBegin(AgentId agent) const;
  std::vector<AgentId> ClusterOf(AgentId agent) const;
  void Begin(AgentId agent);
  void Advance(ClusterRun& cluster);
  void Finish(ClusterRun& cluster);
  void Release(ClusterRun& cluster);
  void ReleaseRunOf(AgentId agent);
  void Halt(ClusterRun& cluster);
  void Wake(PendingCall& call, llm::Completion completion);
  void Abandon(AgentId agent, Step step);
  void CheckCommit(const MemberCommit& commit, Step step,
                   const std::optional<HypotheticalWorld::GuessedStep>& guess);
  void NoteConfirmedAnswer(AgentId agent);

  void Weigh(Parked& parked);
  void SendParked(size_t confirmed_in_flight);

  const SpeculationOptions options_;
  const Step end_step_;
  const DependencyGraph& graph_;
  const WorldState& state_;
  RunStats& stats_;
  HypotheticalWorld hypothetical_;
  GuessedRequests requests_;
  Forecasts forecasts_;
  RunContext context_;
  std::vector<Agent> agents_;
  std::vector<ClusterPtr> clusters_;
  std::vector<Parked> asked_;           // since the last SendParked
  std::multimap<Step, Parked> parked_;  // those behind first
  llm::Completion answer_;              // for a call that is answered at its issue
  std::vector<AgentId> considered_;     // may have become able to begin a step
  uint64_t commits_ = 0;
};

}  // namespace throng::sim
