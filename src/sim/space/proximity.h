// Who can affect whom: the questions about a space that the dependency graph asks. All that differs between
// grids, planes and networks is in the implementations; steps, waiting and clusters are the graph's.
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
  kPaper,      // max(r_A + v_B, r_B + v_A, v_A + v_B): nobody ever perceives what lives at another time
  kVersioned,  // max(r_A, r_B, v_A + v_B): enough when cells are read in the version of the reader's step
};

const char* CouplingName(Coupling coupling);      // "paper", "versioned"
Coupling ParseCoupling(const std::string& name);  // throws kInvalid for another name

class Proximity {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr Step kAbsent = INT32_MAX;  // the step of agents that are not there: behind nobody

  virtual ~Proximity() = default;

  // Appends, each once and in no particular order, those at the agent's step that it cannot run this step
  // without; perhaps also itself.
  virtual void FindCoupled(AgentId agent, std::vector<AgentId>& found) const = 0;
  // Whether two agents that stand there at one step must run it together: for guesses where they will stand.
  virtual bool AreCoupledAt(AgentId a, Pos at_a, AgentId b, Pos at_b) const = 0;
  // Whether the one behind, by where it can get and what it can write, keeps the one ahead from its step.
  virtual bool Blocks(AgentId behind, AgentId ahead) const = 0;
  // One agent that blocks this one, or kNone.
  virtual uint32_t FindBlocker(AgentId agent) const = 0;
  // Section 3 for two agents at different steps; true if it holds.
  virtual bool MayDiffer(AgentId behind, AgentId ahead) const = 0;
  // Appends whom the agent sees in its step, perhaps also itself. They may be ahead: their state at the
  // agent's step counts.
  virtual void FindPerceived(AgentId agent, std::vector<AgentId>& found) const = 0;
  // Appends all whose latest position is within the radius of pos, at whatever step, and perhaps others.
  virtual void FindNear(Pos pos, int64_t radius, std::vector<AgentId>& found) const = 0;
  // The agent has done its step, and is now here.
  virtual void Advance(AgentId agent, Pos pos) = 0;
  // All are present at first. Whoever is removed is found no more, except by who reads older states of it;
  // only then can it be added.
  virtual void Remove(AgentId agent) = 0;
  virtual void Add(AgentId agent, Pos pos, Step step) = 0;
  virtual size_t Bytes() const = 0;  // of memory, what agents declared included

  AgentId NumAgents() const { return static_cast<AgentId>(places_.size()); }
  Pos PosOf(AgentId agent) const { return places_[agent].pos; }
  Step StepOf(AgentId agent) const { return places_[agent].step; }
  const Rules& RulesOf(AgentId agent) const { return rules_[rules_.size() == 1 ? 0 : agent]; }

  // The agent will be asked about soon: fetches where it is, and then who is near it.
  void PrefetchAgent(AgentId agent) const { Prefetch(&places_[agent]); }
  virtual void PrefetchNeighbours(AgentId) const {}

  // What binds the agent now; until <= its step: nothing.
  Lookahead LookaheadOf(AgentId agent) const { return lookahead_.empty() ? Lookahead() : lookahead_[agent]; }
  void SetLookahead(AgentId agent, const Lookahead& lookahead);
  void DropLookahead(AgentId agent) {
    if (!lookahead_.empty()) lookahead_[agent] = {};
  }

 protected:
  // rules: one for all agents, or one for each.
  Proximity(const Space& space, std::vector<Rules> rules, std::span<const Pos> start);

  struct Place {
    Pos pos;
    Step step = 0;
  };
  size_t BaseBytes() const;

  Space space_;
  std::vector<Rules> rules_;
  HugeVector<Place> places_;
  std::vector<Lookahead> lookahead_;  // by agent; empty until one declares something
};

// Throws kInvalid for positions outside the space, negative rules, and rules that the space does not have.
std::unique_ptr<Proximity> MakeProximity(const Space& space, std::vector<Rules> rules, Coupling coupling,
                                         std::span<const Pos> start);

}  // namespace throng::sim
