// throng replay --interactive: what priority for one agent's calls is worth, and what it costs the others.
#pragma once

#include "cli/simulate.h"

namespace throng::cli {

// Runs a recorded day (simulation.trace) on the same modelled server without and with priority for the
// calls of simulation.interactive, and prints the latencies of its calls; beside them, what they take when
// the server has nothing else to do (mode single), which no priority can better. Throws kCorrupt if they left
// different hashes.
void ReplayInteractive(const Simulation& simulation);

}  // namespace throng::cli
