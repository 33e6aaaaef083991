// What flags, Python or a sweep say about a run, as plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/limits.h"
#include "engine/local_options.h"
#include "sim/run/run.h"

namespace throng::app {

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
  Limits limits;
};

}  // namespace throng::app
