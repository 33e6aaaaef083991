// Changes from outside a run: a person adds or removes an agent, or lets something happen.
#pragma once

#include <string>
#include <vector>

#include "sim/space/ids.h"

namespace throng::sim {

// Happens when all agents have done step - 1, before any begins `step` (World::Intervene).
struct Intervention {
  Step step;
  std::string what;  // in the words of the world
};

// Where interventions come from while a run goes on.
class InterventionSource {
 public:
  virtual ~InterventionSource() = default;
  // Those that have come since the last call, in order; none of them before step `first`, which no agent has
  // begun. Their steps must be durable when this returns: they are part of the run from here on.
  virtual std::vector<Intervention> Take(Step first) = 0;
};

}  // namespace throng::sim
