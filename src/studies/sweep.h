// Runs a scenario over seeds and values of flags, each run in its own process of this program, with a
// journal.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace throng::studies {

struct Variation {
  std::string flag;                 // of throng run, without dashes: "kv"
  std::vector<std::string> values;  // at least one
};

// A number or a text that a run leaves: the first column of the first row of a query on its journal.
struct SweepOutcome {
  std::string name;
  std::string sql;
};

struct SweepPlan {
  std::vector<uint64_t> seeds;
  std::vector<Variation> variations;  // every combination is run
  std::vector<SweepOutcome> outcomes;
  std::string out;                 // folder of the journals
  int jobs = 1;                    // runs at a time
  std::vector<std::string> flags;  // flags passed to throng run
};

struct SweptRun {
  uint64_t seed;
  std::vector<std::string> values;  // one per variation
  std::string journal;
  int exit_code = -1;
  std::string error;                             // the process's message, if its exit code is not 0
  nlohmann::ordered_json report;                 // output of throng run --json
  std::vector<nlohmann::ordered_json> outcomes;  // one per outcome, if it ended
};

inline constexpr size_t kMaxSweptRuns = 100000;

// Runs every combination with every seed; the last variation changes fastest, and seeds faster still. Runs
// that ended in an earlier sweep of the same plan are not repeated; stopped ones are resumed. on_done: called
// for each run that ended, by any thread, one at a time. Throws kInvalid for a plan that names a run twice or
// has more than kMaxSweptRuns, or a query that journals do not understand, kIo for a folder that cannot be
// made.
std::vector<SweptRun> RunSweep(const SweepPlan& plan,
                               const std::function<void(size_t done, size_t all, const SweptRun&)>& on_done);

// A line per run; with several seeds also the mean of each outcome, and its 95 % confidence interval.
void PrintSweep(const SweepPlan& plan, const std::vector<SweptRun>& runs);
nlohmann::ordered_json SweepJson(const SweepPlan& plan, const std::vector<SweptRun>& runs);

}  // namespace throng::studies
