// Which agent of a journal a user means.
#pragma once

#include <string>

#include "journal/journal.h"
#include "sim/world.h"

namespace throng::cli {

// By name or number (sim/find_agent.h), as --agent says.
sim::AgentId FindAgentOf(const journal::Journal& journal, const std::string& wanted);

}  // namespace throng::cli
