// Decides which agents may run (AI Metropolis, sections 2 and 3): tracks agents' positions and steps, which
// agents are coupled and which block which, incrementally. A commit costs time only in proportion to the
// nearby agents that it may release.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/huge_pages.h"
#include "sim/space/proximity.h"
#include "sim/space/space.h"
#include "sim/world.h"

namespace throng::sim {

// Clusters, flattened: the members of cluster i are members[ends[i-1] .. ends[i]), ordered by id.
struct ClusterList {
  std::vector<AgentId> members;
  std::vector<uint32_t> ends;

  size_t Size() const { return ends.size(); }
  std::span<const AgentId> operator[](size_t i) const {
    const uint32_t begin = i == 0 ? 0 : ends[i - 1];
    return {members.data() + begin, ends[i] - begin};
  }
  size_t Bytes() const { return members.capacity() * sizeof(AgentId) + ends.capacity() * sizeof(uint32_t); }
  void Clear() {
    members.clear();
    ends.clear();
  }
};

// An agent born in a commit, at its step after the commit.
struct Newborn {
  AgentId id;
  Pos pos;
};

class DependencyGraph {
 public:
  // rules: one for all agents, or one for each. All agents start at first_step; an agent that reaches
  // end_step is done and never reported again. Throws kInvalid for positions outside the space and for rules
  // that the space does not support.
  DependencyGraph(const Space& space, std::vector<Rules> rules, Coupling coupling, std::span<const Pos> start,
                  Step end_step, Step first_step = 0);
  DependencyGraph(const Space& space, Rules rules, Coupling coupling, std::span<const Pos> start,
                  Step end_step)
      : DependencyGraph(space, std::vector<Rules>{rules}, coupling, start, end_step) {}

  // Adds dependencies that distances do not show (World::Links and Barriers). Call before Start. Throws
  // kInvalid for agents that do not exist, negative steps, links of an agent to itself, and barriers that do
  // not ascend.
  void AddDependencies(std::span<const sim::Link> links, std::vector<Step> barriers);
  bool IsBarrier(Step step) const { return std::binary_search(barriers_.begin(), barriers_.end(), step); }

  // Sets what World::Declare returned for the agent's state at `step`: its current step, or the one that the
  // next Commit brings it to. Throws kInvalid, naming the step, if pos is outside the declared box.
  void Declare(AgentId agent, Step step, Pos pos, const Lookahead& lookahead);
  // Sets what LookaheadOf has returned in another graph at this step. Call before Start.
  void SetLookahead(AgentId agent, const Lookahead& lookahead) { proximity_->SetLookahead(agent, lookahead); }
  Lookahead LookaheadOf(AgentId agent) const { return proximity_->LookaheadOf(agent); }

  // Sets World::Horizon. Call before Start. Throws kInvalid if negative or beyond kMostDelay.
  void SetHorizon(Step horizon);

  // Whose posts an agent reads in its next step, ascending; asked again after each of its commits.
  using FollowsOf = std::function<std::span<const AgentId>(AgentId)>;
  // Lets agents read what those they follow wrote `latency` steps ago and earlier: nobody begins a step s
  // before they have done step s - latency. Call before Start.
  void SetFollows(Step latency, FollowsOf follows);

  // Makes the agent absent at the start, and its id free unless it was present before. Call before Start.
  void Reserve(AgentId agent, bool was_present = false);

  // Appends the clusters that are ready at the start. Call once, before the first Commit.
  void Start(ClusterList& ready);

  // Commits the step of a cluster that was reported ready: its members advance one step and move to new_pos
  // (parallel to members), the agents in `born` join them, and those in `removed`, members too, leave.
  // Appends to `ready` the clusters that this released.
  void Commit(std::span<const AgentId> members, std::span<const Pos> new_pos, ClusterList& ready,
              std::span<const Newborn> born = {}, std::span<const AgentId> removed = {});

  // Stops all agents before this step until ResumeAtPause. No agent may have begun the step.
  void AddPause(Step step);
  // Whether all agents stand at the next pause. Then agents may be removed, added anywhere at the base step,
  // and freed of their lookahead.
  bool AtPause() const {
    return !pauses_.empty() && *pauses_.begin() == base_step_ && base_step_ < end_step_;
  }
  void ResumeAtPause(ClusterList& ready);
  void Remove(AgentId agent);
  void Add(AgentId agent, Pos pos, Step step);
  void DropLookahead(AgentId agent) { proximity_->DropLookahead(agent); }

  bool IsPresent(AgentId agent) const { return StepOf(agent) != Proximity::kAbsent; }
  bool WasPresent(AgentId agent) const { return agents_[agent].was_present; }  // now or earlier
  uint32_t NumPresent() const { return num_present_; }

  uint32_t NumAgents() const { return proximity_->NumAgents(); }
  Pos PosOf(AgentId agent) const { return proximity_->PosOf(agent); }
  Step StepOf(AgentId agent) const { return proximity_->StepOf(agent); }
  const Rules& RulesOf(AgentId agent) const { return proximity_->RulesOf(agent); }
  // The smallest step of any agent; without agents, the next pause or the end step.
  Step BaseStep() const { return base_step_; }
  Step FrontStep() const { return front_step_; }  // the largest any agent has reached
  uint32_t AgentsAtBase() const { return at_step_.front(); }

  // Appends the agents that this agent sees in its step (Proximity::FindPerceived).
  void FindPerceived(AgentId agent, std::vector<AgentId>& found) const {
    proximity_->FindPerceived(agent, found);
  }

  // Appends all agents whose latest position is near pos (Proximity::FindNear).
  void FindNear(Pos pos, int64_t radius, std::vector<AgentId>& found) const {
    proximity_->FindNear(pos, radius, found);
  }

  // The agents that must run this step of the agent with it, however far away (World::Links).
  std::span<const AgentId> LinkedTo(AgentId agent, Step step) const;

  // Whether the two would be coupled at these positions in one step (Proximity::AreCoupledAt).
  bool AreCoupledAt(AgentId a, Pos at_a, AgentId b, Pos at_b) const {
    return proximity_->AreCoupledAt(a, at_a, b, at_b);
  }

  // Checks the invariant of section 3 for this agent against all others, by brute force; true if it holds.
  bool InvariantHolds(AgentId agent) const;

  // Hint: the agent will be committed soon. PrefetchNeighbours reads what PrefetchAgent has fetched.
  void PrefetchAgent(AgentId agent) const {
    Prefetch(&agents_[agent]);
    proximity_->PrefetchAgent(agent);
  }
  void PrefetchNeighbours(AgentId agent) const { proximity_->PrefetchNeighbours(agent); }

  size_t Bytes() const;

 private:
  static constexpr uint32_t kNone = Proximity::kNone;
  static constexpr uint32_t kUnborn = kNone - 1;  // as a blocker: one that was never present

  struct Agent {
    bool running = false;  // reported ready, not yet committed
    bool was_present = true;
    bool is_new = false;           // no step done since it was added
    uint32_t waiters = kNone;      // head of the list of agents waiting for this one
    uint32_t waiter_next = kNone;  // next in the list of agents waiting for `blocker`
    uint32_t waiter_prev = kNone;
    uint32_t blocker = kNone;  // set: this agent stands for its cluster in the blocker's list
    uint32_t blocked = kNone;  // the cluster member that `blocker` blocks
    uint64_t visit = 0;        // the last search that reached this agent
  };

  bool Blocks(AgentId behind, AgentId ahead) const;
  uint32_t FindBlocker(AgentId agent) const;
  bool IsReadBehind(AgentId behind, AgentId ahead) const;
  uint32_t FindReadBehind(AgentId agent) const;
  void Wait(AgentId agent, AgentId blocked, AgentId blocker);
  void StopWaiting(AgentId agent);
  void CountStep(Step from);
  void AdvanceBase();
  void Examine(AgentId agent, uint64_t first_visit, ClusterList& ready);
  bool VisitNeighbours(AgentId agent, uint64_t first_visit);
  bool AreLinked(AgentId agent, AgentId other) const;  // at the step of `agent`

  std::unique_ptr<Proximity> proximity_;
  Step end_step_;
  HugeVector<Agent> agents_;
  // By step and agent: the agents that must run the step with it.
  std::unordered_map<uint64_t, std::vector<AgentId>> links_;
  std::vector<Step> barriers_;  // ascending
  std::set<Step> pauses_;
  Step horizon_ = 0;  // 0: none
  // Agents held at a barrier, a pause or the horizon, or by an agent that is not yet born.
  std::vector<AgentId> held_;
  Step latency_ = 0;  // of posts; 0: there are none
  FollowsOf follows_;
  uint32_t num_present_;
  std::deque<uint32_t> at_step_;  // number of agents at base_step_ + i
  Step base_step_;
  Step front_step_;
  uint64_t visit_ = 0;
  std::vector<AgentId> queue_;                         // of the current search: the cluster found so far
  std::vector<std::pair<AgentId, AgentId>> released_;  // scratch of Commit: waiter, blocker
};

}  // namespace throng::sim
