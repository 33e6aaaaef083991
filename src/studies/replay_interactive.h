// throng replay --interactive: what priority for one agent's calls gains, and what it costs the others.
#pragma once

#include <functional>
#include <string>

#include "app/simulation.h"

namespace throng::studies {

// Runs a recorded day (simulation.trace) on the same modelled server without and with priority for the calls
// of the interactive agent, and prints the latencies of its calls. As a lower bound, also prints their
// latencies when the server has nothing else to do (mode single). Throws kCorrupt if the runs left different
// hashes.
void ReplayInteractive(const app::Simulation& simulation, bool json,
                       const std::function<void(const std::string&)>& on_progress);

}  // namespace throng::studies
