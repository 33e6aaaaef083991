// Whom agents read, for viewers of worlds in which nothing else tells where to draw them.
#pragma once

#include <vector>

#include "sim/world.h"

namespace throng::sim {

// For each agent those whom it follows at the start, if nobody moves or sees others and all know of each
// other by posts, but not in a network, whose nodes say the same. Empty for other worlds, and for more agents
// than can be told apart.
std::vector<std::vector<AgentId>> DrawnReaders(const World& world);

}  // namespace throng::sim
