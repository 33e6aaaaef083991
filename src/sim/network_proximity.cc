#include "sim/network_proximity.h"

#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace throng::sim {

NetworkProximity::NetworkProximity(const Space& space, std::vector<Rules> rules, std::span<const Pos> start)
    : Proximity(space, std::move(rules), start), head_(space.GetNetwork().NumNodes(), kNone) {
  for (const Rules& rule : rules_) {
    if (rule.max_vel == 0) continue;
    throw MakeError(ErrorCode::kInvalid, "world: speed {} on a network, where nobody moves: it must be 0",
                    rule.max_vel);
  }
  for (AgentId agent = 0; agent < NumAgents(); ++agent) Link(agent, head_[NodeOf(agent)]);
}

template <typename Visit>
void NetworkProximity::VisitRead(AgentId agent, Visit visit) const {
  const auto visit_node = [&](NodeId node) {
    for (uint32_t other = head_[node]; other != kNone; other = places_[other].next) {
      if (visit(other)) return true;
    }
    return false;
  };
  const Network& network = space_.GetNetwork();
  const int radius = RulesOf(agent).radius_p;
  if (radius > 1) {
    for (const NodeId node : network.Within(NodeOf(agent), radius)) {
      if (visit_node(node)) return;
    }
    return;
  }
  if (visit_node(NodeOf(agent)) || radius == 0) return;
  for (const NodeId node : network.Follows(NodeOf(agent))) {
    if (visit_node(node)) return;
  }
}

void NetworkProximity::FindCoupled(AgentId agent, std::vector<AgentId>& found) const {
  for (uint32_t other = head_[NodeOf(agent)]; other != kNone; other = places_[other].next) {
    if (places_[other].step == places_[agent].step) found.push_back(other);
  }
}

bool NetworkProximity::AreCoupledAt(AgentId, Pos at_a, AgentId, Pos at_b) const { return at_a == at_b; }

bool NetworkProximity::Reads(AgentId reader, NodeId node) const {
  return space_.GetNetwork().IsWithin(NodeOf(reader), node, RulesOf(reader).radius_p);
}

bool NetworkProximity::Blocks(AgentId behind, AgentId ahead) const {
  return places_[behind].step < places_[ahead].step && Reads(ahead, NodeOf(behind));
}

uint32_t NetworkProximity::FindBlocker(AgentId agent) const {
  uint32_t blocker = kNone;
  VisitRead(agent, [&](AgentId other) {
    if (places_[other].step >= places_[agent].step) return false;
    blocker = other;
    return true;
  });
  return blocker;
}

bool NetworkProximity::MayDiffer(AgentId behind, AgentId ahead) const {
  const Step gap = places_[ahead].step - places_[behind].step;
  if (NodeOf(ahead) == NodeOf(behind)) return gap == 0;
  return gap <= 1 || !Reads(ahead, NodeOf(behind));
}

void NetworkProximity::FindPerceived(AgentId agent, std::vector<AgentId>& found) const {
  VisitRead(agent, [&](AgentId other) {
    found.push_back(other);
    return false;
  });
}

void NetworkProximity::FindNear(Pos pos, int64_t radius, std::vector<AgentId>& found) const {
  const Network& network = space_.GetNetwork();
  for (const NodeId node : network.Within(static_cast<NodeId>(pos.x), radius)) {
    for (uint32_t other = head_[node]; other != kNone; other = places_[other].next) found.push_back(other);
  }
}

void NetworkProximity::Advance(AgentId agent, Pos pos) {
  THRONG_CHECK(pos == places_[agent].pos);
  ++places_[agent].step;
}

// It stays in the list of its node: readers behind see what it was.
void NetworkProximity::Remove(AgentId agent) { places_[agent].step = kAbsent; }

void NetworkProximity::Add(AgentId agent, Pos pos, Step step) {
  Unlink(agent, head_[NodeOf(agent)]);
  places_[agent].pos = pos;
  places_[agent].step = step;
  Link(agent, head_[NodeOf(agent)]);
}

size_t NetworkProximity::Bytes() const { return BaseBytes() + head_.capacity() * sizeof(uint32_t); }

}  // namespace throng::sim
