// Which agent a user means.
#pragma once

#include <string>
#include <vector>

#include "sim/world.h"

namespace throng::sim {

struct NamedAgent {
  AgentId agent;
  std::string name;
};

// Those of a world that has not begun.
std::vector<NamedAgent> AgentsOf(const World& world);

// The agent with that name or, as several agents may have one name, that number; a name comes before a
// number. Throws kInvalid, with the option where it was given (--agent), if there is none or more than one.
AgentId FindAgent(const std::string& option, const std::string& wanted,
                  const std::vector<NamedAgent>& agents);

}  // namespace throng::sim
