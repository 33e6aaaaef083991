// What the runs of throng.run, throng.verify and throng.Env have in common.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sim/run/run.h"

namespace throng::python {

using Events = std::vector<std::pair<sim::Step, std::string>>;  // from outside

// Waits of the run are short, so that Ctrl-C is noticed. Throws kInvalid for an unknown coupling.
sim::RunOptions MakeRunOptions(sim::Step steps, uint64_t seed, const std::string& coupling,
                               const Events& events);

}  // namespace throng::python
