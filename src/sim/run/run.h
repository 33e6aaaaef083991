// Runs a world in one of the modes of execution, which all give the same canonical hash. One thread resumes
// the agents' coroutines and waits for their completions.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
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
#include "sim/snapshot.h"
#include "sim/space/proximity.h"
#include "sim/world.h"

namespace throng::sim {

struct Progress {
  RunStats stats;  // so far
  Step base_step = 0;
  Step front_step = 0;        // the step of the agent furthest ahead
  uint32_t agents_ahead = 0;  // agents beyond the base step
  uint64_t in_flight = 0;
  double longest_wait_s = 0;    // longest wait of a call in flight, on the backend's clock
  AgentId longest_waiting = 0;  // the agent of that call
  bool is_paused = false;       // nothing starts; the statistics leave out the time since
};

// A model of a deployment where a controller hands clusters to workers (AI Metropolis, section 3). The
// default has no limits.
struct DispatchOptions {
  size_t pool = 0;  // workers, with a cluster each; 0: all that are ready run
  double ack_s =
      0;  // of the controller for each finished cluster; above 0 only with backends in virtual time
  bool by_step = true;  // smaller steps first; false: out of order and speculative serve whoever came first
};

struct RunOptions {
  Mode mode = Mode::kOutOfOrder;
  Step steps = 0;  // run until every agent has done this many
  uint64_t seed = 0;
  std::vector<SeedChange> seed_changes;  // of a forked run
  // Known from the start; those of one step happen in this order, those beyond the last step never. More may
  // come from the source (null: none), which is asked about once per source_interval_s, and may pause the
  // run: no step starts and no call is sent, answers in flight arrive. No hash depends on pauses.
  std::vector<Intervention> interventions;
  InterventionSource* source = nullptr;
  double source_interval_s = 0.2;
  Coupling coupling = Coupling::kPaper;
  DispatchOptions dispatch;
  SpeculationOptions speculation;
  std::vector<RunObserver*> observers;
  const Snapshot* from = nullptr;     // where the run begins; null: at the world's start
  SnapshotSink* snapshots = nullptr;  // null: none are taken; else the world must have a MindForm
  std::function<void(const Progress&)> on_progress;  // called about once per progress_interval_s
  double progress_interval_s = 1.0;
  // Says of a failed call (kError) that it does not end the run: then its completion, with the error, goes to
  // the agent, and the world decides what the agent does. Not set: each failure ends the run. on_fall_back is
  // called with one sentence for each call that fell back.
  std::function<bool(const llm::Completion&)> falls_back;
  std::function<void(const std::string&)> on_fall_back;
  // Of the run's tools. What is done at commit is held back while `ends_after` may still end the run before
  // the step that asks for it.
  EffectOf effect_of;
  // If set, it is asked about each step that all agents have done, after the observers: true ends the run
  // with that step. Agents may have been further; what they did then is in no hash.
  std::function<bool(Step)> ends_after;
  const std::atomic<bool>* stop = nullptr;  // when it becomes true, the run ends with kCancelled
};

// The run's memory at its peak, without what minds point to, observers and the backend.
struct RunMemory {
  size_t scheduler_bytes = 0;  // graph, clusters, queues, calls by agent, version bookkeeping, mind digests
  size_t world_bytes = 0;      // bodies, cells, posts
  size_t call_bytes = 0;       // coroutines that await answers
};

struct RunResult {
  Digest hash;                      // over start_hash and step_hashes
  Digest start_hash;                // of the state before step 0
  std::vector<Digest> step_hashes;  // equal in every mode
  RunStats stats;
  RunMemory memory;
};

class Runner;

// A run that stands still between steps, for a caller who looks at the world there and decides something. It
// has the hash of a run without halts. Not thread-safe; an Error ends it.
class SteppedRun {
 public:
  // All arguments must outlive it.
  SteppedRun(const World& world, llm::Llm& llm, const RunOptions& options);
  SteppedRun(const SteppedRun&) = delete;
  SteppedRun& operator=(const SteppedRun&) = delete;
  ~SteppedRun();  // cancels the calls in flight

  // Runs until every agent has done this many steps, which is at least as many as before and at most
  // options.steps. Throws as RunWorld does.
  void RunTo(Step step);
  // What each agent that is there sees at the start of its next step, ordered by id. Valid until the next
  // RunTo.
  std::vector<const View*> Views();
  RunResult Result();  // so far

 private:
  std::unique_ptr<Runner> runner_;
};

// Runs `world` from its start, or from the options' snapshot. Throws the Error of what failed, naming agent
// and step, after cancelling the calls in flight. A failed completion ends the run without resuming its
// agent, unless it falls back.
RunResult RunWorld(const World& world, llm::Llm& llm, const RunOptions& options);

}  // namespace throng::sim
