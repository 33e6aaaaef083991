#include "cli/find_agent_of.h"

#include <vector>

#include "journal/read/reader.h"
#include "sim/find_agent.h"

namespace throng::cli {

sim::AgentId FindAgentOf(const journal::Journal& journal, const std::string& wanted) {
  std::vector<sim::NamedAgent> agents;
  for (const journal::AgentRow& row : journal::Reader(journal).Agents())
    agents.push_back({static_cast<sim::AgentId>(row.agent), row.name});
  return sim::FindAgent("--agent", wanted, agents);
}

}  // namespace throng::cli
