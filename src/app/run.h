// Runs a world on a backend, with limits, and with a journal if there is one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
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
  Limits limits{};
  journal::Journal* journal = nullptr;  // begun, or opened to resume; null: nothing is kept
  // Steps between snapshots in the journal, if the world can have them; 0: none; not set: whenever it costs
  // little.
  std::optional<sim::Step> snapshot_every{};
  // Told, in one sentence, of pauses that a user would notice; not set: they are logged.
  std::function<void(const std::string&)> on_wait{};
  // Told, in one sentence, if no snapshots can be taken after all; not set: it is logged.
  std::function<void(const std::string&)> on_warning{};
  // Wraps everything else that answers the agents; none by default.
  std::function<std::unique_ptr<llm::Llm>(std::unique_ptr<llm::Llm>)> wrap{};
  effects::ToolTable tools{};                 // for the world's agents
  std::shared_ptr<effects::Tool> embedder{};  // of texts; null: nobody makes embeddings
  // Who answers for agents that ask people; null: whoever does in the journal, if there is one (throng play).
  effects::People* people = nullptr;
};

struct RunOutcome {
  sim::RunResult result;
  uint64_t replayed = 0;                // calls answered by the journal
  llm::TokensUsed used;                 // tokens of all sessions, including wrong guesses
  std::vector<double> interactive_s{};  // latencies of the interactive agent's calls
};

// A limit set by the user has stopped the run; this is no failure, and the run can be resumed.
class Stopped : public Error {
 public:
  using Error::Error;
  static constexpr int kExitCode = 3;  // of a program stopped by it
};

// Where a run that is not done begins, if it is to begin with a snapshot of its journal rather than at its
// start. Says so, or why there is none, in one sentence.
struct Beginning {
  std::optional<sim::Snapshot> snapshot;
  std::string note;
  bool is_problem = false;  // there is a snapshot that cannot be used
};
Beginning FindBeginning(const journal::Journal& journal, const sim::World& world, sim::Step steps);

// Interventions come from the journal, if there is one. The journal's session ends in any case, with "done"
// or with what went wrong, and with the tokens used in vain. Throws Stopped when a budget is used up.
RunOutcome Run(const sim::World& world, llm::Llm& backend, sim::RunOptions options, const RunSetup& setup);

}  // namespace throng::app
