// A scenario over seeds, models and codecs, each run in a process of this program, with a journal.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace throng::studies {

struct SweepPlan {
  std::vector<uint64_t> seeds;
  std::vector<std::string> codecs;  // none: as throng run has it
  std::vector<std::string> models;  // likewise
  std::string out;                  // folder of the journals
  int jobs = 1;                     // runs at once
  std::vector<std::string> flags;   // of throng run
};

struct SweptRun {
  uint64_t seed;
  std::string kv;     // empty: as throng run has it
  std::string model;  // likewise
  std::string journal;
  int exit_code = -1;
  std::string error;              // what the process said, if its exit code is not 0
  nlohmann::ordered_json report;  // what throng run --json printed
};

inline constexpr size_t kMaxSweptRuns = 100000;

// Models first, then codecs, then seeds. Runs that ended in an earlier sweep of the same plan are not run
// again, those that were stopped go on. on_done: called for each that ended, by any thread, one at a time.
// Throws kInvalid for a plan that names a run twice or has more than kMaxSweptRuns, kIo for a folder that
// cannot be made.
std::vector<SweptRun> RunSweep(const SweepPlan& plan,
                               const std::function<void(size_t done, size_t all, const SweptRun&)>& on_done);

void PrintSweep(const std::vector<SweptRun>& runs);
nlohmann::ordered_json SweepJson(const std::vector<SweptRun>& runs);

}  // namespace throng::studies
