// What scheduling costs when calls cost nothing: the dependency graph alone, driven in virtual time by agents
// that walk at random and whose every step is one call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/digest.h"
#include "sim/dependency_graph.h"
#include "sim/scheduler.h"

namespace throng::sim {

struct ScheduleLoad {
  uint32_t agents = 1000;
  double tiles_per_agent = 140;  // of a square grid with the Chebyshev metric
  Step steps = 40;               // that every agent does
  Rules rules;
  Coupling coupling = Coupling::kPaper;
  uint64_t seed = 1;
  // Agents let what they perceive decide where they go, so that any wrong order shows in where they end.
  bool perceives = false;
};

struct ScheduleCost {
  uint64_t agent_steps = 0;
  double seconds = 0;    // of committing and starting clusters; without the load's own preparation and checks
  double virtual_s = 0;  // until the last agent has done its last step
  uint64_t clusters = 0;
  uint32_t largest_cluster = 0;
  Step max_spread = 0;          // largest difference of two agents' steps at any moment
  size_t bytes_per_agent = 0;   // of the dependency graph
  uint64_t checked_agents = 0;  // for which the invariant was tested against all others while it ran
  Digest end;                   // of where everybody is at the end
};

// Runs the load in lockstep or out of order. Throws kCorrupt if the invariant of temporal causality fails for
// an agent that was sampled.
ScheduleCost MeasureSchedule(const ScheduleLoad& load, Mode mode);

}  // namespace throng::sim
