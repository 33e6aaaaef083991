// Decides which agents can affect which: the queries about a space that the dependency graph makes. The
// implementations hold all that differs between grids, planes and networks; steps, waiting and clusters
// belong to the graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/huge_pages.h"
#include "sim/space/ids.h"
#include "sim/space/reach.h"
#include "sim/space/space.h"

namespace throng::sim {

// C(A,B): agents of one step within this distance are coupled, and B behind blocks A ahead within
// (step_A - step_B) * v_B + C(A,B).
enum class Coupling {
  kPaper,      // max(r_A + v_B, r_B + v_A, v_A + v_B): no agent ever perceives one at another step
  kVersioned,  // max(r_A, r_B, v_A + v_B): enough when cells are read in the version of the reader's step
};

const char* CouplingName(Coupling coupling);      // "paper", "versioned"
Coupling ParseCoupling(const std::string& name);  // throws kInvalid for another name

class Proximity {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr Step kAbsent = INT32_MAX;  // the step of absent agents: behind no agent

  virtual ~Proximity() = default;

  // Appends the agents at the agent's step that must run it together with the agent, each once and in no
  // particular order, possibly the agent itself.
  virtual void FindCoupled(AgentId agent, std::vector<AgentId>& found) const = 0;
  // Whether two agents at these positions in one step must run it together; for guessed positions.
  virtual bool AreCoupledAt(AgentId a, Pos at_a, AgentId b, Pos at_b) const = 0;
  // Whether `behind`, by where it can get and what it can write, keeps `ahead` from its step.
  virtual bool Blocks(AgentId behind, AgentId ahead) const = 0;
  // One agent that blocks this one, or kNone.
  virtual uint32_t FindBlocker(AgentId agent) const = 0;
  // Checks the invariant of section 3 for two agents at different steps; true if it holds.
  virtual bool MayDiffer(AgentId behind, AgentId ahead) const = 0;
  // Appends the agents that this agent sees in its step, possibly itself. They may be ahead: their state at
  // the agent's step counts.
  virtual void FindPerceived(AgentId agent, std::vector<AgentId>& found) const = 0;
  // Appends all agents whose latest position is within the radius of pos, at any step, and possibly others.
  virtual void FindNear(Pos pos, int64_t radius, std::vector<AgentId>& found) const = 0;
  // The agent has done its step, and is now at pos.
  virtual void Advance(AgentId agent, Pos pos) = 0;
  // All agents are present at first. A removed agent is found only by agents that read its older states; only
  // removed agents can be added.
  virtual void Remove(AgentId agent) = 0;
  virtual void Add(AgentId agent, Pos pos, Step step) = 0;
  virtual size_t Bytes() const = 0;  // memory, declared lookahead included

  AgentId NumAgents() const { return static_cast<AgentId>(places_.size()); }
  Pos PosOf(AgentId agent) const { return places_[agent].pos; }
  Step StepOf(AgentId agent) const { return places_[agent].step; }
  const Rules& RulesOf(AgentId agent) const { return rules_[rules_.size() == 1 ? 0 : agent]; }

  // Hint: the agent will be queried soon. PrefetchAgent fetches its place, PrefetchNeighbours then the agents
  // near it.
  void PrefetchAgent(AgentId agent) const { Prefetch(&places_[agent]); }
  virtual void PrefetchNeighbours(AgentId) const {}

  // The lookahead in force; `until` <= the agent's step: none.
  Lookahead LookaheadOf(AgentId agent) const { return lookahead_.empty() ? Lookahead() : lookahead_[agent]; }
  void SetLookahead(AgentId agent, const Lookahead& lookahead);
  void DropLookahead(AgentId agent) {
    if (!lookahead_.empty()) lookahead_[agent] = {};
  }

 protected:
  // rules: one for all agents, or one for each.
  Proximity(const Space& space, std::vector<Rules> rules, std::span<const Pos> start, Step first_step);

  struct Place {
    Pos pos;
    Step step = 0;
  };
  size_t BaseBytes() const;

  Space space_;
  std::vector<Rules> rules_;
  HugeVector<Place> places_;
  std::vector<Lookahead> lookahead_;  // by agent; empty until any agent declares one
};

// All agents begin with first_step. Throws kInvalid for positions outside the space, negative rules, and
// rules that the space does not support.
std::unique_ptr<Proximity> MakeProximity(const Space& space, std::vector<Rules> rules, Coupling coupling,
                                         std::span<const Pos> start, Step first_step = 0);

}  // namespace throng::sim
