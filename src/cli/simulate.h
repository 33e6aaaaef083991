// What run, resume and verify share: the flags that say which simulation, and how one is run and reported.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/local_llm.h"
#include "llm/llm.h"
#include "sim/journal.h"
#include "sim/scheduler.h"
#include "town/town.h"

namespace throng::cli {

struct Simulation {
  std::string scenario;  // a folder; empty: the built-in town
  uint32_t agents = 0;   // 0: as many as the scenario has
  int steps = 0;         // 0: as long as the scenario says
  std::string until;     // instead of steps: a time of day
  uint64_t seed = 1;
  std::string mode = "ooo";
  std::string coupling = "paper";
  std::string llm = "local";
  bool real_time = false;
  engine::LocalOptions local;
  bool json = false;
  bool quiet = false;
};

// Flags that say what is simulated: not for resume, which reads it in the journal.
void AddWorldFlags(CLI::App& command, Simulation& simulation);
void AddLlmFlags(CLI::App& command, Simulation& simulation);
void AddOutputFlags(CLI::App& command, Simulation& simulation);

std::unique_ptr<town::Town> LoadWorld(const Simulation& simulation);
sim::RunOptions MakeRunOptions(const Simulation& simulation, const town::Town& town);
std::unique_ptr<llm::Llm> MakeLlm(const Simulation& simulation);

// The codecs that were chosen for this model (auto, flashq-mixed, a file) and their digest, so that nothing
// has to be probed or read again to go on.
void StoreCodecs(const llm::Llm& llm, sim::Manifest& manifest);
// Throws kCorrupt if what a journal says does not fit its digest.
void LoadCodecs(const sim::Journal& journal, engine::LocalOptions& options);

// True from the first Ctrl-C or SIGTERM on; a second one kills.
const std::atomic<bool>& StopOnSignal();

// A line of progress: time of day, steps, agents ahead, requests in flight, tokens per second, bytes of the
// cache.
std::string DescribeProgress(const sim::Progress& progress, const town::Town& town, sim::Step steps,
                             const llm::Stats& stats);

struct Outcome {
  sim::RunResult result;
  uint64_t replayed = 0;  // calls that the journal answered
};

// Runs on a journal that was begun (null: without one), and reports on stdout. Ends the journal's session in
// any case; errors say how to resume.
void RunAndReport(const Simulation& simulation, const town::Town& town, sim::RunOptions options,
                  llm::Llm& llm, sim::Journal* journal);

}  // namespace throng::cli
