// What run, resume, replay and verify share: the flags that say which simulation, and how one is run and
// reported.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/scenario.h"
#include "engine/local_model.h"
#include "journal/journal.h"
#include "llm/decorators/budget.h"
#include "llm/decorators/interactive.h"
#include "llm/llm.h"
#include "sim/scheduler.h"

namespace throng::cli {

struct Simulation {
  std::string scenario;  // a folder, or the name of an example; empty: the built-in town
  std::string trace;     // instead of a scenario: a recorded day,
  int radius = -1;       // and how far its agents perceive; negative: as the trace says
  uint32_t agents = 0;   // 0: as many as the scenario has
  int steps = 0;         // 0: as long as the scenario says
  std::string until;     // instead of steps: a time of day
  uint64_t seed = 1;
  std::vector<sim::SeedChange> seed_changes;  // of a fork
  std::vector<std::string> events;            // "TIME WHAT"
  std::string events_file;
  std::string mode = "ooo";
  std::string coupling = "paper";
  std::string llm = "local";
  bool real_time = false;
  engine::LocalOptions local;
  std::vector<std::string> model_for;  // "say=FILE_OR_BACKEND"
  double call_timeout_s = 0;           // 0: none
  int call_attempts = 3;
  bool fallback = false;
  uint64_t max_tokens = 0;  // 0: no limit
  double max_cost = 0;      // 0: no limit
  std::string price;        // "IN,OUT" of a million tokens
  std::string interactive;  // an agent's name
  double target_ms = 1000;
  bool json = false;
  bool quiet = false;
};

// Flags that say what is simulated: not for resume, which reads it in the journal.
void AddWorldFlags(CLI::App& command, Simulation& simulation);
void AddLlmFlags(CLI::App& command, Simulation& simulation);
void AddOutputFlags(CLI::App& command, Simulation& simulation);

sim::RunOptions MakeRunOptions(const Simulation& simulation, const Scenario& scenario);
std::unique_ptr<llm::Llm> MakeLlm(const Simulation& simulation);

// The engine of this process, if the calls go to it; else null.
const engine::LocalModel* LocalOf(const llm::Llm& llm);

// True from the first Ctrl-C or SIGTERM on; a second one kills.
const std::atomic<bool>& StopOnSignal();

// What guesses were worth, for reports: nothing is added for modes without.
void AddSpeculation(const sim::RunStats& stats, nlohmann::ordered_json& json);
std::string DescribeSpeculation(const sim::RunStats& stats);

// A line of progress: time of day, steps, agents ahead, requests in flight, tokens per second, bytes of the
// cache.
std::string DescribeProgress(const sim::Progress& progress, const Scenario& scenario, sim::Step steps,
                             const llm::Stats& stats);

struct Outcome {
  sim::RunResult result;
  uint64_t replayed = 0;                             // calls that the journal answered
  llm::TokensUsed used;                              // by all sessions, with guesses that were wrong
  const llm::InteractiveLlm* interactive = nullptr;  // null: nobody is
};

// A limit that the user set has stopped the run; it is no failure, and has an exit code of its own.
class Stopped : public Error {
 public:
  static constexpr int kExitCode = 3;
  using Error::Error;
};

// Runs on a journal that was begun (null: without one), and reports on stdout. Ends the journal's session in
// any case; errors say how to resume. Throws Stopped when a budget is used up.
void RunAndReport(const Simulation& simulation, const Scenario& scenario, sim::RunOptions options,
                  std::unique_ptr<llm::Llm> backend, journal::Journal* journal);

}  // namespace throng::cli
