// The world as guessed: the steps that agents have run beyond their confirmed ones, the cells these steps
// wrote, and what each step read, so that wrong steps can be found once something turns out otherwise.
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

// Answers the reads of guessed steps: from the confirmed state where it is known, else from guesses, else
// from plans.
class HypotheticalWorld final : public StepReader {
 public:
  struct GuessedStep {
    std::vector<AgentId> members;  // agents that ran it together, ordered by id
    Body body;                     // body and mind: after the step; at its start while it runs
    MindPtr mind;
    Digest mind_digest;
    Pos from;  // position it perceived from
    bool looked = false;
    std::vector<Neighbour> seen;
    std::vector<std::pair<Pos, std::string>> cells;  // cells read
    std::vector<Pos> written;                        // cells written by any of the members
    std::vector<AgentId> authors;                    // whose posts it read, in this order
    Digest read_posts;                               // of what these were
    std::vector<Post> posts;                         // made in the step
    bool removed = false;
  };

  class Observer {
   public:
    virtual ~Observer() = default;
    // The reader guessed this step with a wrong view of `seen`: it is squashed from this step on.
    virtual void OnSeenOtherwise(AgentId reader, Step step, AgentId seen) = 0;
    // The agent's guesses are about to be squashed: the observer must stop (Stop) what it runs.
    virtual void OnSquash(AgentId agent) = 0;
  };

  // All arguments must outlive it. Guesses reach at most max_steps beyond an agent's confirmed step. Counts
  // the steps guessed and squashed in `stats`.
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
  void VisitPosts(AgentId member, AgentId author, Step step, const PostVisitor& visit) override;
  // Likes and messages that guessed steps would send are not guessed.
  int64_t LikesAt(const PostId& post, Step step) const override { return state_.Posts().LikesAt(post, step); }
  std::vector<Message> MessagesFor(AgentId member, Step step) const override {
    return state_.Posts().MessagesAt(member, step);
  }

  // The step after the agent's last guessed one, and the agent's body at its start.
  Step FrontOf(AgentId agent) const {
    return graph_.StepOf(agent) + static_cast<Step>(agents_[agent].chain.size());
  }
  const Body& FrontBody(AgentId agent) const;
  bool HasGuesses(AgentId agent) const { return !agents_[agent].chain.empty(); }
  bool IsRemoved(AgentId agent) const {  // by its last guessed step
    return HasGuesses(agent) && agents_[agent].chain.back().removed;
  }
  // The agents that run the agent's guessed step together, itself included.
  const std::vector<AgentId>& MembersOf(AgentId agent) const { return agents_[agent].reads.members; }
  int64_t MaxSpeed() const { return max_speed_; }  // of any agent

  // The agent at this step: as known, as guessed, or as its plans predict.
  World::Expectation Expect(AgentId agent, Step step);
  // All agents that can be within the distance of pos at this step, and possibly others.
  std::vector<AgentId> FindAround(Pos pos, int64_t distance, Step step) const;

  // The cluster that runs the step after the agent's last guessed one; null if none does.
  ClusterRun* RunningOf(AgentId agent) const { return agents_[agent].running; }
  void Begin(ClusterRun& cluster);
  void Stop(const ClusterRun& cluster);
  // Adds the guessed steps of a cluster that has resolved and still runs. Returns the members whose body
  // changed.
  std::vector<AgentId> Add(ClusterRun& cluster);

  // Takes the guess of the confirmed step that the agent has just done, if there was one.
  std::optional<GuessedStep> TakeConfirmed(AgentId agent, Step step);

  // What is known or expected of this agent has changed from this step on: squashes the steps that saw it
  // otherwise.
  void CheckReaders(AgentId agent, Step from);
  // The agent was born, which no guess knew: squashes the steps that should have seen it.
  void CheckBirth(const MemberCommit& born, Step step);
  // A confirmed step has written the cell.
  void NoteCellChange(Pos pos) { changed_cells_.push_back(pos); }
  void CheckCells();  // squashes steps that read a changed cell otherwise
  // Squashes the agent's guesses if the first of them read posts that have turned out otherwise. Call when it
  // has done a step: readers of somebody popular are too many to be told of each post.
  void CheckPosts(AgentId reader);

  // Drops the agent's guessed steps from this one on, and those of the agents that ran them with it.
  void Squash(AgentId agent, Step from);
  // Squashes, from this step on, the agents that ran `guessed` and whose guess of the step still stands.
  void SquashPartners(const GuessedStep& guessed, Step step);
  // Drops the guesses of an agent that is gone from `step` on, the first step of its chain. It must not be
  // running.
  void Abandon(AgentId agent, Step step);

 private:
  struct Agent {
    std::deque<GuessedStep> chain;  // guessed steps, from the agent's confirmed step on
    ClusterRun* running = nullptr;
    GuessedStep reads;  // of the running step
    // World::Expect for the steps after the chain, as far as requested.
    std::vector<World::Expectation> expected;
    std::vector<AgentId> watchers;  // agents whose guesses looked for it; may be outdated
  };
  struct CellGuess {
    Step step;  // version of the cell
    AgentId by;
    std::string value;
  };

  bool IsThere(AgentId agent, Step step) const {
    return step > graph_.StepOf(agent) || state_.FindBodyAt(agent, step) != nullptr;
  }
  bool IsGuessing(const Agent& agent) const { return !agent.chain.empty() || agent.running != nullptr; }
  std::string GuessCell(Pos pos, Step step) const;
  // All agents that can have perceived pos in a step they guessed, and possibly others.
  void FindReaders(Pos pos, std::vector<AgentId>& found) const;
  World::Expectation ExpectationOf(AgentId id, Step front, const MindPtr& mind, Step later) const;
  template <typename IsOtherwise>
  std::optional<Step> FirstWrong(AgentId reader, Step from, const IsOtherwise& is_otherwise) const;
  bool SawOtherwise(AgentId reader, const GuessedStep& reads, AgentId agent, const Body* body) const;
  void VisitGuessedPosts(AgentId author, Step step, const PostVisitor& visit) const;
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
  int64_t max_radius_ = 0;  // of any agent
  std::vector<Agent> agents_;
  std::map<Pos, std::vector<CellGuess>> cells_;
  std::vector<Pos> changed_cells_;  // cells whose known or guessed value changed since the last check
};

}  // namespace throng::sim
