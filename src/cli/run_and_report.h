// Makes a run on the command line: progress on stderr, the report on stdout.
#pragma once

#include <memory>

#include "app/embedder.h"
#include "app/scenario.h"
#include "app/simulation.h"
#include "cli/flags/run_flags.h"
#include "journal/journal.h"
#include "llm/llm.h"
#include "sim/run/run.h"

namespace throng::cli {

// Like app::Run, on a journal that was begun (null: no journal); errors say how to resume. embedder: null:
// nobody embeds.
void RunAndReport(const app::Simulation& simulation, const OutputFlags& output, const app::Scenario& scenario,
                  sim::RunOptions options, llm::Llm& backend, std::shared_ptr<effects::Embedder> embedder,
                  journal::Journal* journal);

}  // namespace throng::cli
