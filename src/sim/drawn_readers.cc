#include "sim/drawn_readers.h"

#include <span>

namespace throng::sim {
namespace {

constexpr uint32_t kMostDrawn = 1000;  // of more, lines would show nothing

}  // namespace

std::vector<std::vector<AgentId>> DrawnReaders(const World& world) {
  std::vector<std::vector<AgentId>> readers;
  const uint32_t num_agents = world.NumAgents();
  if (world.GetPostRules().latency == 0 || num_agents > kMostDrawn) return {};
  if (world.GetSpace().GetMetric() == Metric::kHops) return {};
  for (AgentId agent = 0; agent < num_agents; ++agent) {
    const Rules rules = world.RulesOf(agent);
    if (rules.radius_p != 0 || rules.max_vel != 0) return {};
    const MindPtr mind = world.StartMind(agent);
    const std::span<const AgentId> follows = world.Follows(agent, mind);
    readers.emplace_back(follows.begin(), follows.end());
  }
  return readers;
}

}  // namespace throng::sim
