// Runs a scenario over seeds, models and codecs, each run in its own process of this program, with a journal.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace throng::studies {

struct SweepPlan {
  std::vector<uint64_t> seeds;
  std::vector<std::string> codecs;  // empty: the default of throng run
  std::vector<std::string> models;  // empty: the default of throng run
  std::string out;                  // folder of the journals
  int jobs = 1;                     // runs at a time
  std::vector<std::string> flags;   // flags passed to throng run
};

struct SweptRun {
  uint64_t seed;
  std::string kv;     // empty: the default of throng run
  std::string model;  // empty: the default of throng run
  std::string journal;
  int exit_code = -1;
  std::string error;              // the process's message, if its exit code is not 0
  nlohmann::ordered_json report;  // output of throng run --json
};

inline constexpr size_t kMaxSweptRuns = 100000;

// Runs models first, then codecs, then seeds. Runs that ended in an earlier sweep of the same plan are not
// repeated; stopped ones are resumed. on_done: called for each run that ended, by any thread, one at a time.
// Throws kInvalid for a plan that names a run twice or has more than kMaxSweptRuns, kIo for a folder that
// cannot be made.
std::vector<SweptRun> RunSweep(const SweepPlan& plan,
                               const std::function<void(size_t done, size_t all, const SweptRun&)>& on_done);

void PrintSweep(const std::vector<SweptRun>& runs);
nlohmann::ordered_json SweepJson(const std::vector<SweptRun>& runs);

}  // namespace throng::studies
