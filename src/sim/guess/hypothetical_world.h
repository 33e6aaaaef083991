// The world as guesses have it: the steps that agents have run past their confirmed ones, the cells that
// these wrote, and what each of them read, so that it is known which are wrong once something turns out
// otherwise.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/cluster_run.h"
#include "sim/dependency_graph.h"
#include "sim/run_observer.h"
#include "sim/run_stats.h"
#include "sim/world_state.h"

namespace throng::sim {

// What guessed steps read: the confirmed state where it is known, else what guesses left, else what plans
// say.
class HypotheticalWorld final : public StepReader {
 public:
  struct GuessedStep {
    std::vector<AgentId> members;  // who ran it together, ordered by id
    Body body;                     // after it; while it runs, at its start, like the mind
    MindPtr mind;
    Digest mind_digest;
    Pos from;  // where it perceived
    bool looked = false;
    std::vector<Neighbour> seen;
    std::vector<std::pair<Pos, std::string>> cells;  // read
    std::vector<Pos> written;                        // cells, by any of the members
    bool removed = false;
  };

  class Observer {
   public:
    virtual ~Observer() = default;
    // In this step the reader perceives an agent otherwise than it guessed: it is squashed from there on.
    virtual void OnSeenOtherwise(AgentId reader, Step step, AgentId seen) = 0;
    // The agent's guesses are about to be squashed: whatever it runs must be stopped (Stop).
    virtual void OnSquash(AgentId agent) = 0;
  };

  // All must outlive it. Guesses reach at most max_steps beyond an agent's confirmed step. Counts in `stats`
  // the steps guessed and squashed.
  HypotheticalWorld(const World& world, const DependencyGraph& graph, const WorldState& state, Step max_steps,
                    Observer& observer, GuessStats& stats);

  const Body& BodyOf(AgentId member) const override { return agents_[member].reads.body; }
  const MindPtr& MindOf(AgentId member) const override { return agents_[member].reads.mind; }
  const Digest& MindDigest(AgentId member) const override { return agents_[member].reads.mind_digest; }
  std::vector<Neighbour> NeighboursOf(AgentId member, Step step) override;
  std::string CellFor(AgentId member, Pos pos, Step step) override;
  std::vector<Announcement> AnnouncedAt(Step step, size_t known) const override {
    return state_.AnnouncedAt(step, known);
  }

  // The step after the agent's last guessed one, and what it is at its start.
  Step FrontOf(AgentId agent) const {
    return graph_.StepOf(agent) + static_cast<Step>(agents_[agent].chain.size());
  }
  const Body& FrontBody(AgentId agent) const;
  bool HasGuesses(AgentId agent) const { return !agents_[agent].chain.empty(); }
  bool IsRemoved(AgentId agent) const {  // by its last guessed step
    return HasGuesses(agent) && agents_[agent].chain.back().removed;
  }
  // Who runs the agent's step with it.
  const std::vector<AgentId>& MembersOf(AgentId agent) const { return agents_[agent].reads.members; }
  int64_t MaxSpeed() const { return max_speed_; }  // of any agent

  // Known, guessed, or as its plans say.
  World::Expectation Expect(AgentId agent, Step step);
  // All agents that can be within the distance of pos at this step, and others.
  std::vector<AgentId> FindAround(Pos pos, int64_t distance, Step step) const;

  // The cluster whose run guesses the step after the agent's last guessed one; null if none does.
  ClusterRun* RunningOf(AgentId agent) const { return agents_[agent].running; }
  void Begin(ClusterRun& cluster);
  void Stop(const ClusterRun& cluster);
  // It has resolved, and still runs: its members' steps are guessed. Returns those whose body changed.
  std::vector<AgentId> Add(ClusterRun& cluster);

  // The agent's confirmed step is done: takes what was guessed of it.
  std::optional<GuessedStep> TakeConfirmed(AgentId agent, Step step);

  // What is known or expected of this agent has changed from this step on.
  void CheckReaders(AgentId agent, Step from);
  // Nobody who guessed these steps knew of it.
  void CheckBirth(const MemberCommit& born, Step step);
  // The cell was written by a confirmed step.
  void NoteCellChange(Pos pos) { changed_cells_.push_back(pos); }
  void CheckCells();  // all that have changed

  // The agent's guessed steps from this one on did not happen, nor did they for who ran them together with
  // it.
  void Squash(AgentId agent, Step from);
  // Squashes from this step on those who ran it together and have guessed it.
  void SquashPartners(const GuessedStep& guessed, Step step);
  // It is not there any more, from this step on, which is the first of its chain. It runs nothing.
  void Abandon(AgentId agent, Step step);

 private:
  struct Agent {
    std::deque<GuessedStep> chain;  // steps from the agent's confirmed one on
    ClusterRun* running = nullptr;
    GuessedStep reads;  // of the running step
    // Of the world, for the steps after the chain, as far as somebody has asked.
    std::vector<World::Expectation> expected;
    std::vector<AgentId> watchers;  // whose guesses looked for it; some perhaps no more
  };
  struct CellGuess {
    Step step;  // the version
    AgentId by;
    std::string value;
  };

  bool IsThere(AgentId agent, Step step) const {
    return step > graph_.StepOf(agent) || state_.FindBodyAt(agent, step) != nullptr;
  }
  bool IsGuessing(const Agent& agent) const { return !agent.chain.empty() || agent.running != nullptr; }
  std::string GuessCell(Pos pos, Step step) const;
  // All agents that can have perceived pos in a step that they have guessed, and others.
  void FindReaders(Pos pos, std::vector<AgentId>& found) const;
  template <typename IsOtherwise>
  std::optional<Step> FirstWrong(AgentId reader, Step from, const IsOtherwise& is_otherwise) const;
  bool SawOtherwise(AgentId reader, const GuessedStep& reads, AgentId agent, const Body* body) const;
  void CheckChangedCells();
  void DropCells(const GuessedStep& guessed, Step step);

  const World& world_;
  const Space& space_;
  const DependencyGraph& graph_;
  const WorldState& state_;
  const Step max_steps_;
  Observer& observer_;
  GuessStats& stats_;
  int64_t max_speed_ = 0;   // of any agent
  int64_t max_radius_ = 0;  // likewise
  std::vector<Agent> agents_;
  std::map<Pos, std::vector<CellGuess>> cells_;
  std::vector<Pos> changed_cells_;  // what is known or guessed of them, since readers were last checked
};

}  // namespace throng::sim
