#include "sim/space/network_proximity.h"

#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace throng::sim {

NetworkProximity::NetworkProximity(const Space& space, std::vector<Rules> rules, std::span<const Pos> start,
                                   Step first_step)
    : Proximity(space, std::move(rules), start, first_step) {
  for (const Rules& rule : rules_) {
    if (rule.max_vel == 0) continue;
    throw MakeError(ErrorCode::kInvalid, "world: speed {} on a network, where nobody moves: it must be 0",
                    rule.max_vel);
  }
  nodes_.Resize(space.GetNetwork().NumNodes());
  for (AgentId agent = 0; agent < NumAgents(); ++agent) {
    nodes_.Add(NodeOf(agent), {places_[agent].pos, first_step, agent});
  }
}

template <typename Visit>
void NetworkProximity::VisitRead(AgentId agent, Visit visit) const {
  const auto visit_node = [&](NodeId node) { return nodes_.Visit(node, visit); };
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
  nodes_.Visit(NodeOf(agent), [&](const AgentBuckets::Entry& other) {
    if (other.step == StepOf(agent)) found.push_back(other.id);
    return false;
  });
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
  VisitRead(agent, [&](const AgentBuckets::Entry& other) {
    if (other.step >= StepOf(agent)) return false;
    blocker = other.id;
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
  VisitRead(agent, [&](const AgentBuckets::Entry& other) {
    found.push_back(other.id);
    return false;
  });
}

void NetworkProximity::FindNear(Pos pos, int64_t radius, std::vector<AgentId>& found) const {
  const Network& network = space_.GetNetwork();
  for (const NodeId node : network.Within(static_cast<NodeId>(pos.x), radius)) {
    nodes_.Visit(node, [&](const AgentBuckets::Entry& other) {
      found.push_back(other.id);
      return false;
    });
  }
}

void NetworkProximity::SetStep(AgentId agent, Step step) {
  places_[agent].step = nodes_.Find(NodeOf(agent), agent).step = step;
}

void NetworkProximity::Advance(AgentId agent, Pos pos) {
  THRONG_CHECK(pos == places_[agent].pos);
  SetStep(agent, StepOf(agent) + 1);
}

// The agent stays at its node, because readers behind see its older states.
void NetworkProximity::Remove(AgentId agent) { SetStep(agent, kAbsent); }

void NetworkProximity::Add(AgentId agent, Pos pos, Step step) {
  nodes_.Remove(NodeOf(agent), agent);
  places_[agent] = {pos, step};
  nodes_.Add(NodeOf(agent), {pos, step, agent});
}

size_t NetworkProximity::Bytes() const { return BaseBytes() + nodes_.Bytes(); }

}  // namespace throng::sim
