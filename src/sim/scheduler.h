// Runs a world: one thread resumes the agents' coroutines and waits for their completions, in one of three
// orders of execution that all leave the same canonical hash (specs of out-of-order simulation: what differs
// is only the time it takes).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "llm/llm.h"
#include "sim/dependency_graph.h"
#include "sim/intervention.h"
#include "sim/seeds.h"
#include "sim/world.h"

namespace throng::sim {

enum class Mode {
  kSingle,       // one agent at a time, one call in flight
  kLockstep,     // all agents of a step at once, then a barrier
  kOutOfOrder,   // every cluster as soon as nobody blocks it
  kSpeculative,  // the same, and calls of blocked steps are asked ahead on a guess (speculation.h)
};

const char* ModeName(Mode mode);                  // "single", "lockstep", "ooo", "speculative"
Mode ParseMode(const std::string& name);          // throws kInvalid for another name
const char* CouplingName(Coupling coupling);      // "paper", "versioned"
Coupling ParseCoupling(const std::string& name);  // likewise

struct CellWrite {
  Pos pos;
  std::string value;
};

struct MemberCommit {
  AgentId id = 0;
  bool body_changed = false;
  bool mind_changed = false;
  bool removed = false;  // this was its last step
  Body body;             // at the start of the next step
  MindPtr mind;          // likewise
  Digest mind_digest;    // of the mind alone
  Digest digest;         // of the member's step: body, mind, events, calls
};

// What one cluster's step changed. The spans live only during the callback.
struct CommitRecord {
  Step step = 0;
  std::span<const MemberCommit> members;  // ordered by id
  std::span<const MemberCommit> born;     // likewise: their first state, at the start of the next step
  std::span<const Event> events;          // in the order in which Resolve added them
  std::span<const CellWrite> cells;       // ordered by position, one for each
  Digest digest;                          // of members and cells
};

// What an intervention changed, at the start of `step`. The spans live only during the callback.
struct InterventionRecord {
  Step step = 0;
  std::string_view what;
  // What they are now, or, removed, what they were; ordered by id. The body is changed of who came or went.
  std::span<const MemberCommit> agents;
  std::span<const CellWrite> cells;  // ordered by position
  Digest digest;
};

// Sees a run as it happens, on the run's thread. An exception ends the run.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void OnCommit(const CommitRecord& record) = 0;
  virtual void OnStep(Step step,
                      const Digest& hash) = 0;  // all agents have done this step; called in order of steps
  virtual void OnIntervention(const InterventionRecord& record) { static_cast<void>(record); }
};

struct RunStats {
  uint64_t calls = 0;
  uint64_t prompt_tokens = 0;
  uint64_t cached_prompt_tokens = 0;
  uint64_t output_tokens = 0;
  uint64_t failed_calls = 0;  // whose agents fell back
  // Mode speculative: agent-steps run on a guess; of these, what turned out right and what did not. Calls
  // asked on a guess; those never used, with the tokens of their prompts and answers (expected ones of
  // cancelled calls). The sums above have none of these.
  uint64_t speculated_steps = 0;
  uint64_t confirmed_steps = 0;
  uint64_t squashed_steps = 0;
  uint64_t speculated_calls = 0;
  uint64_t wasted_calls = 0;
  uint64_t wasted_tokens = 0;
  uint64_t clusters = 0;
  uint64_t agent_steps = 0;
  uint32_t largest_cluster = 0;
  uint64_t births = 0;
  uint64_t deaths = 0;
  uint64_t interventions = 0;
  Step max_spread = 0;     // largest difference of two agents' steps at any moment
  double parallelism = 0;  // requests in flight, averaged over the backend's time
  double backend_s = 0;    // the backend's clock from start to end (virtual in models of servers)
  double wall_s = 0;
};

struct Progress {
  RunStats stats;  // so far
  Step base_step = 0;
  Step front_step = 0;        // the step of the agent that is furthest ahead
  uint32_t agents_ahead = 0;  // agents beyond the base step
  uint64_t in_flight = 0;
  double longest_wait_s = 0;    // of the calls in flight, on the backend's clock,
  AgentId longest_waiting = 0;  // and who waits
};

struct SpeculationOptions {
  int max_in_flight = 256;  // requests, confirmed ones included, up to which guesses are asked
  Step max_steps = 40;      // that an agent's guesses reach beyond its confirmed step
  // That a guess is right, by what became of those like it, for it to be asked: at first this, and the more
  // of the allowed waste is used, the closer to 1.
  double least_chance = 0.6;
  // Allowed waste: this share of the confirmed tokens plus the burst. Waste uses it, and so does what may be
  // expected of guesses whose outcome is open. These have at most so many tokens in all: by that much waste
  // could exceed what is allowed at worst.
  double waste_share = 0.05;
  uint64_t waste_burst = 20'000;
  uint64_t max_open_tokens = 1'000'000;
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
