// What people outside want of a run: that somebody comes or goes, that something happens, that it stands
// still.
#pragma once

#include <string>
#include <vector>

#include "sim/space/ids.h"

namespace throng::sim {

// Happens when all agents have finished step - 1, before any begins `step` (World::Intervene).
struct Intervention {
  Step step;
  std::string what;  // in the world's own words
};

// Supplies interventions during a run, and says when it is to stand still.
class InterventionSource {
 public:
  virtual ~InterventionSource() = default;
  // Returns the interventions that arrived since the last call, in order, none of them before step `first`,
  // which no agent has begun. Their steps must be durable on return: from then on they are part of the run.
  virtual std::vector<Intervention> Take(Step first) = 0;
  // Whether the run is to start nothing for now. Asked after Take, as often.
  virtual bool IsPaused() { return false; }
};

}  // namespace throng::sim
