// What users let happen in a run from outside: flags, files, and times.
#pragma once

#include <string>
#include <vector>

#include "cli/cli11.h"
#include "cli/simulate.h"
#include "sim/intervention.h"

namespace throng::cli {

// A step such as 500, or a time of the first day such as 09:30, if the scenario has a clock. Throws kInvalid.
sim::Step ParseMoment(const std::string& text, const Scenario& scenario);

void AddEventFlags(CLI::App& command, Simulation& simulation);

// Those of the flags --event and --events, checked; they lie before step `end`.
std::vector<sim::Intervention> ReadInterventions(const Simulation& simulation, const Scenario& scenario,
                                                 sim::Step end);

}  // namespace throng::cli
