#include "app/run_options.h"

#include "app/limits.h"
#include "app/record/event_condition.h"
#include "app/record/interventions.h"
#include "app/stop_signal.h"
#include "base/error.h"

namespace throng::app {

sim::RunOptions MakeRunOptions(const Simulation& simulation, const Scenario& scenario) {
  CheckLimits(simulation.limits, *scenario.world);
  sim::RunOptions options;
  options.mode = sim::ParseMode(simulation.mode);
  options.coupling = sim::ParseCoupling(simulation.coupling);
  options.seed = simulation.seed;
  options.seed_changes = simulation.seed_changes;
  options.steps = simulation.steps > 0 ? simulation.steps : scenario.default_steps;
  if (!simulation.until.empty()) {
    if (scenario.town == nullptr) {
      throw MakeError(ErrorCode::kInvalid, "--until {}: {} has no time of day, allowed: --steps",
                      simulation.until, scenario.world->Name());
    }
    options.steps = scenario.town->StepAt(simulation.until);
  }
  options.interventions = ReadInterventions(simulation, scenario, options.steps);
  options.stop = &StopOnSignal();
  if (!simulation.until_event.empty()) {
    EndAtEvent(simulation.until_event, simulation.until_event_from, options);
  }
  return options;
}

}  // namespace throng::app
