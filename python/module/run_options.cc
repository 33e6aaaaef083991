#include "python/module/run_options.h"

#include <atomic>

namespace throng::python {

namespace {

// Never set: a run that has a flag to check waits for short times only.
const std::atomic<bool> g_never_stop = false;

}  // namespace

sim::RunOptions MakeRunOptions(sim::Step steps, uint64_t seed, const std::string& coupling,
                               const Events& events) {
  sim::RunOptions options;
  options.steps = steps;
  options.seed = seed;
  options.coupling = sim::ParseCoupling(coupling);
  options.stop = &g_never_stop;
  for (const auto& [step, what] : events) options.interventions.push_back({step, what});
  return options;
}

}  // namespace throng::python
