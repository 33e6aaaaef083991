// Checks that a world gives the same result in every order of execution, or finds where it first does not.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "llm/llm.h"
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
  std::vector<VerifiedRun> runs;  // up to the first that differs from runs[0]
  std::string difference;         // empty: all are equal; else a sentence that names step and agent or cell
};

// Makes a new world and backend for each run, so that nothing leaks from one to the next; make_llm may return
// a shared backend.
VerifyReport Verify(const std::function<std::unique_ptr<World>()>& make_world,
                    const std::function<std::shared_ptr<llm::Llm>(const VerifyRun&)>& make_llm,
                    const std::vector<VerifyRun>& runs, const RunOptions& options);

}  // namespace throng::sim
