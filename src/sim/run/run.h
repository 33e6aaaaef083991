// Runs a world: one thread resumes the agents' coroutines and waits for their completions, in one of the
// modes of execution, which all leave the same canonical hash.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "llm/llm.h"
#include "sim/guess/speculation_options.h"
#include "sim/intervention.h"
#include "sim/mode.h"
#include "sim/run_observer.h"
#include "sim/run_stats.h"
#include "sim/seeds.h"
#include "sim/space/proximity.h"
#include "sim/world.h"

namespace throng::sim {

struct Progress {
  RunStats stats;  // so far
  Step base_step = 0;
  Step front_step = 0;        // the step of the agent that is furthest ahead
  uint32_t agents_ahead = 0;  // agents beyond the base step
  uint64_t in_flight = 0;
  double longest_wait_s = 0;    // of the calls in flight, on the backend's clock,
  AgentId longest_waiting = 0;  // and who waits
};

struct RunOptions {
  Mode mode = Mode::kOutOfOrder;
  Step steps = 0;  // run until every agent has done so many
  uint64_t seed = 0;
  std::vector<SeedChange> seed_changes;  // of a fork
  // Known from the start, in the order in which those of one step happen; beyond the last step none does.
  // Others may come from the source (null: none), which is asked about once per source_interval_s.
  std::vector<Intervention> interventions;
  InterventionSource* source = nullptr;
  double source_interval_s = 0.2;
  Coupling coupling = Coupling::kPaper;
  SpeculationOptions speculation;
  std::vector<RunObserver*> observers;
  std::function<void(const Progress&)> on_progress;  // about once per progress_interval_s
  double progress_interval_s = 1.0;
  // A call that failed does not end the run: its completion, with the error, goes to the agent, whose world
  // knows what it does then. Called with one sentence for each.
  bool fall_back = false;
  std::function<void(const std::string&)> on_fall_back;
  const std::atomic<bool>* stop = nullptr;  // when it becomes true, the run ends with kCancelled
};

// What the run held when it held most; what minds point to, observers and the backend have apart.
struct RunMemory {
  size_t scheduler_bytes = 0;  // the graph, clusters, queues, calls by agent, versions' bookkeeping, hashes
  size_t world_bytes = 0;      // bodies, cells
  size_t call_bytes = 0;       // coroutines that await answers
};

struct RunResult {
  Digest hash;                      // over start_hash and step_hashes
  Digest start_hash;                // of the state before step 0
  std::vector<Digest> step_hashes;  // equal in every mode
  RunStats stats;
  RunMemory memory;
};

// Runs `world` from its start. Throws the Error of whatever failed, naming agent and step; calls in flight
// are then cancelled. A completion that failed ends the run, and its
// agent is not resumed, unless the options say fall_back.
RunResult RunWorld(const World& world, llm::Llm& llm, const RunOptions& options);

}  // namespace throng::sim
