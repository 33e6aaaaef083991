// One run of a world on a backend, with limits, and with a journal if there is one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "app/limits.h"
#include "base/error.h"
#include "journal/journal.h"
#include "llm/decorators/budget.h"
#include "llm/llm.h"
#include "sim/run/run.h"
#include "sim/world.h"

namespace throng::app {

struct RunSetup {
  Limits limits;
  journal::Journal* journal = nullptr;  // begun, or opened to go on; null: nothing is kept
  // Goes around everything else that answers the agents; none by default.
  std::function<std::unique_ptr<llm::Llm>(std::unique_ptr<llm::Llm>)> wrap;
};

struct RunOutcome {
  sim::RunResult result;
  uint64_t replayed = 0;                // calls that the journal answered
  llm::TokensUsed used;                 // by all sessions, wrong guesses included
  std::vector<double> interactive_s{};  // latencies of the interactive agent's calls
};

// A limit that the user set has stopped the run; it is no failure, and can go on.
class Stopped : public Error {
 public:
  using Error::Error;
  static constexpr int kExitCode = 3;  // of programs that it stops
};

// Events from outside are those of the journal, if there is one. The journal's session ends in any case, with
// "done" or with what went wrong, and with the tokens that were used in vain. Throws Stopped when a budget is
// used up.
RunOutcome Run(const sim::World& world, llm::Llm& backend, sim::RunOptions options, const RunSetup& setup);

}  // namespace throng::app
