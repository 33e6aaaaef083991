// True dependencies between the agent-steps of a recorded day, mined from the complete trace: what a
// scheduler would have to know in advance. oracle.h runs along them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "trace/trace.h"

namespace throng::trace {

// A directed acyclic graph with a node per agent-step. Agent A at step s depends on
//   - its own step s-1;
//   - step s-1 of every B that it perceives at s: dist(A, B) <= radius_p at the start of s;
//   - step t of every B that left a cell which A perceives at s, if nothing has changed there since
//     (read after write: A also sees that B is gone).
// Distances are Chebyshev. A conversation joins its members within one step and is not an edge. Out-of-order
// execution keeps the order of every edge too, so dependencies never make the oracle slower.
class TrueDependencies {
 public:
  // Covers the first `steps` steps. Throws kInvalid if there are more than 2^28 agent-steps.
  TrueDependencies(const Trace& trace, int radius_p, sim::Step steps);

  uint32_t NumAgents() const { return num_agents_; }
  sim::Step NumSteps() const { return num_steps_; }
  int Radius() const { return radius_p_; }
  uint32_t NumNodes() const { return num_agents_ * static_cast<uint32_t>(num_steps_); }

  // Nodes ascend by step, then agent: every edge leads to a larger one.
  uint32_t NodeOf(sim::AgentId agent, sim::Step step) const {
    return static_cast<uint32_t>(step) * num_agents_ + agent;
  }
  sim::AgentId AgentOf(uint32_t node) const { return node % num_agents_; }
  sim::Step StepOf(uint32_t node) const { return static_cast<sim::Step>(node / num_agents_); }

  // Edges between different agents; an agent's edge to its own next step is left out.
  std::span<const uint32_t> Successors(uint32_t node) const {
    return {successors_.data() + first_[node], successors_.data() + first_[node + 1]};
  }
  size_t NumEdges() const { return successors_.size(); }

 private:
  uint32_t num_agents_;
  sim::Step num_steps_;
  int radius_p_;
  std::vector<uint32_t> first_;       // [NumNodes() + 1], into successors_
  std::vector<uint32_t> successors_;  // [NumEdges()]
};

}  // namespace throng::trace
