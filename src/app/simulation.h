// The settings of a run that flags, Python or a sweep give, as plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/limits.h"
#include "engine/local_options.h"
#include "sim/run/run.h"

namespace throng::app {

struct Simulation {
  static constexpr int kAutomatic = -1;

  std::string scenario;      // a folder, or the name of an example; empty: the built-in town
  std::string trace;         // a recorded day, instead of a scenario
  int radius = -1;           // perception radius in a recorded day; negative: the trace's own
  uint32_t agents = 0;       // 0: as many as the scenario has
  int steps = 0;             // 0: as long as the scenario says
  std::string until;         // time of day to stop at, instead of steps
  std::string until_event;   // "KIND" or "KIND=TEXT": the run ends with the first step in which that happens
  int until_event_from = 0;  // not counting earlier steps
  uint64_t seed = 1;
  std::vector<sim::SeedChange> seed_changes;  // seed changes of a fork
  std::vector<std::string> without;           // "KINDS@STEP" of forks: town::ParseHidden, from that step on
  std::vector<std::string> events;            // "TIME WHAT"
  std::string events_file;
  std::string mode = "ooo";
  std::string coupling = "paper";
  std::string llm = "local";
  // Who makes the embeddings by which people of a town recall: "local", a GGUF file, a server's address,
  // "fake"; empty: nobody, they recall by words.
  std::string embed;
  bool real_time = false;
  int snapshot_every = kAutomatic;  // steps between snapshots in the journal; 0: none
  engine::LocalOptions local;
  std::vector<std::string> model_for;  // "say=FILE_OR_BACKEND"
  Limits limits;
};

}  // namespace throng::app
