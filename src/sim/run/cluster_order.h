// The order in which clusters wait for a worker, and for the controller.
#pragma once

#include <cstdint>
#include <tuple>

#include "sim/cluster_run.h"

namespace throng::sim {

// The first one is the largest, as std::priority_queue has it.
struct OrderedCluster {
  uint64_t turn;  // 0: by step, then by id; else a number that grows: first come, first served
  Step step;
  AgentId first;  // member
  ClusterRun* cluster;
  bool operator<(const OrderedCluster& other) const {
    return std::tie(turn, step, first) > std::tie(other.turn, other.step, other.first);
  }
};

}  // namespace throng::sim
