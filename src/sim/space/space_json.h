// Spaces as viewers draw them.
#pragma once

#include <string>

#include "sim/space/space.h"

namespace throng::sim {

// {"width", "height", "unit"}, the first two in coordinates, of which `unit` are as wide as one is drawn (on
// planes kUnitsPerMetre, else 1); of a network {"follows"}, a list of nodes for each node.
std::string SpaceJson(const Space& space, int unit);

}  // namespace throng::sim
