// Spaces as JSON, for viewers.
#pragma once

#include <string>

#include "sim/space/space.h"

namespace throng::sim {

// Returns {"width", "height", "unit"}: the size in coordinates, and how many coordinates are drawn one wide
// (kUnitsPerMetre on planes, else 1). For a network, returns {"follows"}: a list of nodes for each node.
std::string SpaceJson(const Space& space, int unit);

}  // namespace throng::sim
