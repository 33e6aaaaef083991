// An intervention in progress: reads the state at the start of its step, and writes to it at once.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "base/digest.h"
#include "sim/dependency_graph.h"
#include "sim/run_observer.h"
#include "sim/world_state.h"

namespace throng::sim {

class StateChange final : public Change {
 public:
  // Only while the graph is at a pause.
  StateChange(const World& world, DependencyGraph& graph, WorldState& state)
      : world_(world), graph_(graph), state_(state) {}

  Step Now() const override { return graph_.BaseStep(); }
  bool IsPresent(AgentId agent) const override;
  const Body& BodyOf(AgentId agent) const override;
  const MindPtr& MindOf(AgentId agent) const override;
  std::string Cell(Pos pos) const override;
  void SetMind(AgentId agent, MindPtr mind) override;
  void WriteCell(Pos pos, std::string value) override;
  void Add(AgentId id, Body body, MindPtr mind) override;
  void Remove(AgentId agent) override;
  void Announce(std::string text) override;

  // Call last: returns what the intervention changed. `index` is its place among all interventions of the
  // run; `what` must outlive the record.
  const InterventionRecord& Finish(const std::string& what, size_t index);

 private:
  void MustBePresent(AgentId agent) const;
  void MustContain(Pos pos) const;
  void SetAgent(AgentId agent, Body body, MindPtr mind);

  const World& world_;
  DependencyGraph& graph_;
  WorldState& state_;
  std::set<AgentId> touched_;
  std::set<AgentId> came_or_went_;  // subset of touched_
  std::vector<CellWrite> cells_;
  Digest announced_;
  std::vector<MemberCommit> agents_;
  Hasher hasher_;
  InterventionRecord record_;
};

}  // namespace throng::sim
