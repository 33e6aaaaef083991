// How far agents perceive and act: their rules, and the lookahead they promise on top of these.
#pragma once

#include "sim/space/ids.h"
#include "sim/space/space.h"

namespace throng::sim {

struct Rules {
  int radius_p = 4;  // perception radius
  int max_vel = 1;   // furthest that anything moves or writes in one step
  bool operator==(const Rules&) const = default;
};

// An agent's promise for the steps before `until`, a function of its committed state alone: at the start of
// all steps up to `until` it is in the box [low, high], and before `until` it writes cells only inside the
// box.
struct Lookahead {
  Step until = 0;  // at or before the agent's own step: no promise
  Pos low;
  Pos high;

  bool Contains(Pos pos) const {
    return pos.x >= low.x && pos.x <= high.x && pos.y >= low.y && pos.y <= high.y;
  }
};

}  // namespace throng::sim
