// Between the flags of a simulation and the manifest of its journal.
#pragma once

#include "cli/cli11.h"
#include "cli/simulate.h"
#include "journal/journal.h"
#include "llm/llm.h"

namespace throng::cli {

// All that is needed to go on with the run later; paths become absolute.
journal::Manifest ManifestOf(const Simulation& simulation, const Scenario& scenario, const llm::Llm& llm);

// What the flags of `command` do not say is as it was in the run. Throws kCorrupt if a value cannot be read.
void FillFromManifest(const journal::Journal& journal, const CLI::App& command, Simulation& simulation);

}  // namespace throng::cli
