#include "sim/find_agent.h"

#include <algorithm>
#include <cstddef>

#include "base/error.h"

namespace throng::sim {
namespace {

constexpr size_t kMostShown = 30;

std::string Listed(const std::vector<std::string>& words) {
  const auto end = words.begin() + static_cast<std::ptrdiff_t>(std::min(words.size(), kMostShown));
  return fmt::format("{}{}", fmt::join(words.begin(), end, ", "), end == words.end() ? "" : ", ...");
}

}  // namespace

std::vector<NamedAgent> AgentsOf(const World& world) {
  std::vector<NamedAgent> agents;
  for (AgentId agent = 0; agent < world.NumAgents(); ++agent)
    agents.push_back({agent, world.AgentName(agent)});
  return agents;
}

AgentId FindAgent(const std::string& option, const std::string& wanted,
                  const std::vector<NamedAgent>& agents) {
  std::vector<std::string> numbers;  // of those who have the name
  std::vector<std::string> names;
  AgentId found = 0;
  for (const NamedAgent& each : agents) {
    names.push_back(each.name);
    if (each.name != wanted) continue;
    numbers.push_back(std::to_string(each.agent));
    found = each.agent;
  }
  if (numbers.size() == 1) return found;
  if (numbers.size() > 1) {
    throw MakeError(ErrorCode::kInvalid, "{} {}: {} agents have this name, allowed: a number of theirs: {}",
                    option, wanted, numbers.size(), Listed(numbers));
  }
  for (const NamedAgent& each : agents) {
    if (std::to_string(each.agent) == wanted) return each.agent;
  }
  throw MakeError(ErrorCode::kInvalid, "{} {}: there is nobody of this name, allowed: {}, or a number",
                  option, wanted, Listed(names));
}

}  // namespace throng::sim
