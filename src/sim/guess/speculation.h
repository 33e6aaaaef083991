// Runs agents past the point to which they may safely run, on a guess of what they will perceive, so that
// their LLM calls are answered before they are needed. A guessed step commits nothing: once nobody blocks it,
// the scheduler runs it from the confirmed state like any other step, and only takes the answers to those
// calls that it asks again, word for word. So guesses can cost tokens, never exactness (docs/speculation.md).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "llm/llm.h"
#include "sim/cluster_run.h"
#include "sim/dependency_graph.h"
#include "sim/guess/guess_record.h"
#include "sim/scheduler.h"
#include "sim/world_state.h"

namespace throng::sim {

class Speculator final : public CallSink, private StepReader {
 public:
  // All must outlive it. Reads of `stats` the confirmed tokens, and counts in it what guesses did. Requests
  // are numbered on from `last_request_id`, which is the run's.
  Speculator(const World& world, llm::Llm& llm, const RunOptions& options, const DependencyGraph& graph,
             const WorldState& state, RunStats& stats, uint64_t& last_request_id);

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

  // A completion that the scheduler does not know. Returns the confirmed call that waited for it, if one did.
  PendingCall* Deliver(llm::Completion& completion);

  size_t InFlight() const { return by_id_.size() + cancelled_.size(); }
  // For the end of a run: cancels what is in flight, and forgets a call that is not any more.
  void CancelAll();
  void Forget(uint64_t id);

 private:
  struct GuessedStep {
    std::vector<AgentId> members;  // who ran it together, ordered by id
    Body body;                     // after it
    MindPtr mind;
    Digest mind_digest;
    Pos from;  // where it perceived
    bool looked = false;
    std::vector<Neighbour> seen;
    std::vector<std::pair<Pos, std::string>> cells;  // read
    std::vector<Pos> written;                        // cells, by any of the members
    bool removed = false;
  };
  // Another agent on which a guess rests, and the class of what is expected of it.
  struct Risk {
    AgentId agent;
    size_t guess_class;
  };
  // What a guess said that the first call of a step would be.
  struct Forecast {
    Step step;
    Digest digest;
    std::vector<Risk> risks;
    AgentId spoiled_by = kNobody;  // who turned out otherwise first
  };
  struct Agent {
    std::deque<GuessedStep> chain;  // steps from the agent's confirmed one on
    ClusterRun* running = nullptr;  // guesses the step after the chain
    size_t confirmed_members = 0;   // of the cluster in which it runs its confirmed step; 0: it waits
    size_t confirmed_calls = 0;     // in flight
    std::string asks;               // function of its latest call since its last commit
    bool halted = false;            // a guess failed: it begins nothing more alone before the next commit
    bool considered = false;        // in considered_
    // Of the world, for the steps after the chain, as far as somebody has asked.
    std::vector<World::Expectation> expected;
    GuessedStep reads;                // of the running step; body and mind are those at its start
    std::vector<AgentId> watchers;    // whose guesses looked for it; some perhaps no more
    std::vector<Forecast> forecasts;  // of steps that are not confirmed yet
    Digest first_call;                // of the confirmed step that runs; Digest(): none yet
  };
  struct CellGuess {
    Step step;  // the version
    AgentId by;
    std::string value;
  };
  struct Guess {  // a call of a guessed step
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
  struct Parked {  // asked by a guessed step, not sent yet
    llm::Request request;
    PendingCall* call;
    double chance = 0;            // that it is right
    uint64_t weighed_before = 0;  // until so many commits the chance counts as known
  };

  // CallSink of guessed steps.
  void Submit(llm::Request&& request, PendingCall& call) override;

  // StepReader of guessed steps.
  const Body& BodyOf(AgentId member) const override { return agents_[member].reads.body; }
  const MindPtr& MindOf(AgentId member) const override { return agents_[member].reads.mind; }
  const Digest& MindDigest(AgentId member) const override { return agents_[member].reads.mind_digest; }
  std::vector<Neighbour> NeighboursOf(AgentId member, Step step) override;
  std::string CellFor(AgentId member, Pos pos, Step step) override;
  std::vector<Announcement> AnnouncedAt(Step step, size_t known) const override {
    return state_.AnnouncedAt(step, known);
  }

  Step FrontOf(AgentId agent) const {
    return graph_.StepOf(agent) + static_cast<Step>(agents_[agent].chain.size());
  }
  const Body& FrontBody(AgentId agent) const;
  World::Expectation Expect(AgentId agent, Step step);
  bool IsThere(AgentId agent, Step step) const {
    return step > graph_.StepOf(agent) || state_.FindBodyAt(agent, step) != nullptr;
  }
  std::string GuessCell(Pos pos, Step step) const;
  // All agents that can be within the distance of pos at this step, and others.
  std::vector<AgentId> FindAround(Pos pos, int64_t distance, Step step) const;
  // All agents that can have perceived pos in a step that they have guessed, and others.
  void FindReaders(Pos pos, std::vector<AgentId>& found) const;

  void Consider(AgentId agent);
  bool MayJoin(AgentId agent) const;
  bool MayBegin(AgentId agent) const;
  std::vector<AgentId> ClusterOf(AgentId agent) const;
  void Begin(AgentId agent);
  void Advance(ClusterRun& cluster);
  void Finish(ClusterRun& cluster);
  void Release(ClusterRun& cluster);
  void Halt(ClusterRun& cluster);
  void Wake(PendingCall& call, llm::Completion completion);

  bool SawOtherwise(AgentId reader, const GuessedStep& reads, AgentId agent, const Body* body) const;
  void CheckReaders(AgentId agent, Step from);
  void CheckBirth(const MemberCommit& born, Step step);
  void CheckCells();
  void Squash(AgentId agent, Step from);
  void Abandon(AgentId agent, Step step);
  void DropCells(const GuessedStep& guessed, Step step);

  std::vector<Risk> RisksOf(AgentId agent, Step step, std::span<const AgentId> members);
  double ChanceOf(std::span<const Risk> risks) const;
  void Weigh(Parked& parked);
  void LearnFrom(AgentId agent, Step step);

  void SendParked(size_t confirmed_in_flight);
  bool IsWorth(uint64_t tokens, double chance) const;
  Guess* Find(const llm::CallKey& key, const Digest& digest);
  void Close(const Guess& guess);
  void Drop(AgentId agent, Step until);
  void Waste(const Guess& guess);
  void Erase(const Guess& guess);

  const World& world_;
  llm::Llm& llm_;
  const SpeculationOptions options_;
  const Step end_step_;
  int64_t max_speed_ = 0;   // of any agent
  int64_t max_radius_ = 0;  // likewise
  const DependencyGraph& graph_;
  const WorldState& state_;
  RunStats& stats_;
  uint64_t& last_request_id_;
  RunContext context_;
  GuessRecord record_;
  std::vector<Agent> agents_;
  std::map<Pos, std::vector<CellGuess>> cells_;
  std::vector<Pos> changed_cells_;  // what is known or guessed of them, since readers were last checked
  std::vector<ClusterPtr> clusters_;
  std::vector<Parked> asked_;           // since the last SendParked
  std::multimap<Step, Parked> parked_;  // those behind first
  std::map<llm::CallKey, std::vector<std::unique_ptr<Guess>>> guesses_;
  std::unordered_map<uint64_t, Guess*> by_id_;  // in flight
  std::unordered_set<uint64_t> cancelled_;      // in flight, but given up
  std::unordered_map<uint64_t, Guess*> real_;   // in flight, asked by confirmed steps
  llm::Completion answer_;                      // for a call that is answered at its issue
  std::vector<uint64_t> answered_;              // of real_
  std::vector<AgentId> considered_;             // may have become able to begin a step
  uint64_t commits_ = 0;
  uint64_t open_tokens_ = 0;   // of guesses neither confirmed nor wasted
  double expected_waste_ = 0;  // of these
};

}  // namespace throng::sim
