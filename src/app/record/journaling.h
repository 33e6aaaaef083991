// Begins the journal of a run, and goes on with one: what it was made from goes into it.
#pragma once

#include <memory>
#include <string>

#include "app/scenario.h"
#include "app/simulation.h"
#include "effects/embedder.h"
#include "journal/journal.h"
#include "llm/llm.h"
#include "sim/run/run.h"

namespace throng::app {

// embedder: null: nobody embeds. Throws what Journal::Create and reading the files throw.
std::unique_ptr<journal::Journal> BeginJournal(const std::string& path,
                                               const journal::JournalOptions& options,
                                               const Simulation& simulation, const Scenario& scenario,
                                               const sim::RunOptions& run, const llm::Llm& llm,
                                               const effects::Embedder* embedder);

// See Journal::Continue. Throws kInvalid for another embedder than the run had.
void ContinueJournal(journal::Journal& journal, const Simulation& simulation, const Scenario& scenario,
                     const sim::RunOptions& run, const llm::Llm& llm, const effects::Embedder* embedder,
                     bool other_backend);

}  // namespace throng::app
