// Between the flags of a simulation and the manifest of its journal.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/simulate.h"
#include "llm/llm.h"
#include "sim/journal.h"

namespace throng::cli {

// All that is needed to go on with the run later; paths become absolute.
sim::Manifest ManifestOf(const Simulation& simulation, const Scenario& scenario, const llm::Llm& llm);

// What the flags of `command` do not say is as it was in the run. Throws kCorrupt if a value cannot be read.
void FillFromManifest(const sim::Journal& journal, const CLI::App& command, Simulation& simulation);

}  // namespace throng::cli
