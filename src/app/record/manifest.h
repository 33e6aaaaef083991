// Converts between a simulation and the manifest of its journal.
#pragma once

#include <functional>
#include <string>

#include "app/scenario.h"
#include "app/simulation.h"
#include "journal/journal.h"
#include "llm/llm.h"

namespace throng::app {

// Everything needed to resume the run later; paths become absolute.
journal::Manifest ManifestOf(const Simulation& simulation, const Scenario& scenario, const llm::Llm& llm);

// Whether the user gave a flag such as "--kv".
using GivenFlags = std::function<bool(const std::string& flag)>;

// Takes from the run whatever no given flag sets. Throws kCorrupt if a value cannot be read, and kInvalid if
// the world is not one that this program can load.
void FillFromManifest(const journal::Journal& journal, const GivenFlags& given, Simulation& simulation);

}  // namespace throng::app
