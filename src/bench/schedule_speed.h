// Measures what scheduling costs when calls cost nothing: the dependency graph alone, driven in virtual time
// by agents that walk at random with one call per step; and the same agents in a whole run.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/digest.h"
#include "sim/dependency_graph.h"
#include "sim/run/run.h"

namespace throng::bench {

struct ScheduleLoad {
  uint32_t agents = 1000;
  double tiles_per_agent = 140;  // the grid is square, with the Chebyshev metric
  sim::Step steps = 40;          // steps of every agent
  sim::Rules rules;
  sim::Coupling coupling = sim::Coupling::kPaper;
  uint64_t seed = 1;
  // What agents perceive decides where they go, so that any wrong order shows in their final positions.
  bool perceives = false;

  // The duration of the agent's call in that step, in ticks of 0.05 s of virtual time.
  uint32_t TicksOf(sim::AgentId agent, sim::Step step) const;
  sim::Space Grid() const;  // throws kInvalid if the grid is too small or too large
  sim::Pos StartOf(sim::AgentId agent, const sim::Space& grid) const;
  // Where the agent is after that step; `perceived` changes where it goes.
  sim::Pos Move(sim::AgentId agent, sim::Step step, sim::Pos from, const sim::Space& grid,
                uint64_t perceived) const;
};

struct ScheduleCost {
  uint64_t agent_steps = 0;
  // Wall time to commit and start clusters, without the load's own preparation and checks; of a whole run,
  // all of its wall time.
  double seconds = 0;
  double cpu_seconds = 0;  // in a whole run: processor time of its thread, the run's end included
  double virtual_s = 0;    // until the last agent has done its last step
  uint64_t clusters = 0;
  uint32_t largest_cluster = 0;
  sim::Step max_spread = 0;  // largest difference of two agents' steps at any moment
  // Memory. bytes_per_agent: the dependency graph; in a whole run, everything that schedules. The others, in
  // a whole run only: the world's bodies, coroutines that await calls, and the fake backend with its calls
  // and events.
  size_t bytes_per_agent = 0;
  size_t world_bytes_per_agent = 0;
  size_t call_bytes_per_agent = 0;
  size_t backend_bytes_per_agent = 0;
  uint64_t checked_agents = 0;  // agents checked against all others for the invariant during the run
  Digest end;                   // digest of all final positions; of a whole run, its canonical hash
};

// Runs the load in lockstep or out of order. Throws kInvalid for mode single, kCorrupt if the invariant of
// temporal causality fails for a sampled agent.
ScheduleCost MeasureSchedule(const ScheduleLoad& load, sim::Mode mode);

// The same agents in a whole run, without a journal: coroutines, versions of the world's state, hashes, and
// one call of the fake backend for each agent step, with the same duration. Without checks.
ScheduleCost MeasureWholeRun(const ScheduleLoad& load, sim::Mode mode);

}  // namespace throng::bench
