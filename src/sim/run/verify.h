// Checks that a world gives the same result in every order of execution, or finds where it first does not,
// and what was different there.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "llm/llm.h"
#include "sim/run/recorder.h"
#include "sim/run/recording.h"
#include "sim/run/run.h"
#include "sim/world.h"

namespace throng::sim {

// One of the runs to compare.
struct VerifyRun {
  std::string name;  // "single", "ooo, shuffled 2"
  Mode mode = Mode::kSingle;
  std::optional<uint64_t> shuffle;  // seed that delays and reorders answers
};

// Every mode, and ooo and speculative with this many shuffled timings each.
std::vector<VerifyRun> StandardRuns(int shuffled);

struct VerifiedRun {
  VerifyRun run;
  RunResult result;
};

struct VerifyReport {
  std::vector<VerifiedRun> runs;         // up to the first that differs from runs[0]
  std::optional<Difference> difference;  // nothing: all are equal
};

// Makes a new world and backend for each run, so that nothing leaks from one to the next; make_llm may return
// a shared backend. Records the first run in `recording`.
VerifyReport Verify(const std::function<std::unique_ptr<World>()>& make_world,
                    const std::function<std::shared_ptr<llm::Llm>(const VerifyRun&)>& make_llm,
                    const std::vector<VerifyRun>& runs, const RunOptions& options, Recording& recording);

struct RepeatReport {
  RunResult result;                      // empty if the run ended early
  std::optional<Difference> difference;  // nothing: it is the same run
};

// Runs a world, one call after the other, with the answers of a recorded run, up to the first call that
// differs. `name` is this run's in the difference, "the first run" the other's.
RepeatReport Repeat(const World& world, const Recording& first, const std::string& name,
                    const RunOptions& options);

}  // namespace throng::sim
