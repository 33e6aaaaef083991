// Reads the interventions that users request for a run, and their times.
#pragma once

#include <string>
#include <vector>

#include "app/scenario.h"
#include "app/simulation.h"
#include "sim/intervention.h"

namespace throng::app {

// A step such as 500, or a time of the first day such as 09:30, if the scenario has a clock. Throws kInvalid.
sim::Step ParseMoment(const std::string& text, const Scenario& scenario);

// The interventions of a simulation, checked; all lie before step `end`. Throws kInvalid, or kIo for their
// file.
std::vector<sim::Intervention> ReadInterventions(const Simulation& simulation, const Scenario& scenario,
                                                 sim::Step end);

// Asks the run of this journal, which goes on or is stopped, for an event at `at` or as soon after as
// possible. Throws kInvalid if the world does not understand it, or it would be after the run's end
// (simulation.steps).
void Inject(const std::string& journal, const Simulation& simulation, const Scenario& scenario,
            const std::string& what, sim::Step at);

}  // namespace throng::app
