// Takes snapshots of a run in progress, without stopping anybody: each agent's state is copied when the agent
// gets to the snapshot's step, and the snapshot is complete once all are there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "sim/dependency_graph.h"
#include "sim/snapshot.h"
#include "sim/world_state.h"

namespace throng::sim {

class SnapshotTaker {
 public:
  // All must outlive this. No snapshot is taken of end_step, where the run ends. largest_cluster: of the
  // steps before the run's first.
  SnapshotTaker(SnapshotSink& sink, const World& world, const WorldState& state, const DependencyGraph& graph,
                Step end_step, uint32_t largest_cluster)
      : sink_(sink),
        world_(world),
        state_(state),
        graph_(graph),
        end_step_(end_step),
        largest_cluster_(largest_cluster) {}

  // Something was done in `step`, by one cluster at most.
  void Count(Step step, const StepCounts& counts) {
    uint32_t& largest = step < step_ ? largest_cluster_ : largest_beyond_;
    largest = std::max(largest, static_cast<uint32_t>(counts.agent_steps));
    if (step >= step_) beyond_ += counts;
  }
  // State and graph have the agent, or its leaving, as of the start of `next`.
  void OnAgent(AgentId agent, Step next);
  // Call after every commit, before versions are pruned.
  void OnCommit(const RunStats& stats);
  // Call when all agents have reached a step, its earlier steps are closed and no intervention in it has
  // happened. Hands the snapshot over if it is complete.
  void OnBase(const Digest& start_hash, const std::vector<Digest>& step_hashes);

 private:
  static constexpr Step kNone = std::numeric_limits<Step>::max();

  void Copy(AgentId agent);
  void BeginIfDue();
  void Complete(const RunStats& stats);

  SnapshotSink& sink_;
  const World& world_;
  const WorldState& state_;
  const DependencyGraph& graph_;
  const Step end_step_;
  Step due_ = kNone;   // of the next snapshot, which begins once an agent is about to reach it
  Step step_ = kNone;  // of the one being taken
  bool is_complete_ = false;
  StepCounts beyond_;  // of steps from step_ on
  uint32_t largest_cluster_;
  uint32_t largest_beyond_ = 0;
  Snapshot snapshot_;
};

}  // namespace throng::sim
