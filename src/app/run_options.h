// Sets how a simulation runs: mode, steps, seed, events.
#pragma once

#include "app/scenario.h"
#include "app/simulation.h"
#include "sim/run/run.h"

namespace throng::app {

// Ctrl-C or SIGTERM will stop the run. Throws kInvalid for impossible options, including limits.
sim::RunOptions MakeRunOptions(const Simulation& simulation, const Scenario& scenario);

}  // namespace throng::app
