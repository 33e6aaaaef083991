// Agents on a network: each stays at its node, writes only there, and reads the nodes up to its radius in
// hops along the network. Reads are of versions, so an agent runs step s as soon as those it reads have done
// step s - 1: agents h hops apart may differ by h steps, and followers never block those they follow. Only
// agents at the same node are coupled.
#pragma once

#include <span>
#include <vector>

#include "sim/space/agent_buckets.h"
#include "sim/space/proximity.h"

namespace throng::sim {

class NetworkProximity final : public Proximity {
 public:
  // Throws kInvalid for a speed other than 0.
  NetworkProximity(const Space& space, std::vector<Rules> rules, std::span<const Pos> start, Step first_step);

  void FindCoupled(AgentId agent, std::vector<AgentId>& found) const override;
  bool AreCoupledAt(AgentId a, Pos at_a, AgentId b, Pos at_b) const override;
  bool Blocks(AgentId behind, AgentId ahead) const override;
  uint32_t FindBlocker(AgentId agent) const override;
  bool MayDiffer(AgentId behind, AgentId ahead) const override;
  void FindPerceived(AgentId agent, std::vector<AgentId>& found) const override;
  void FindNear(Pos pos, int64_t radius, std::vector<AgentId>& found) const override;
  void Advance(AgentId agent, Pos pos) override;
  void Remove(AgentId agent) override;
  void Add(AgentId agent, Pos pos, Step step) override;
  size_t Bytes() const override;

 private:
  NodeId NodeOf(AgentId agent) const { return static_cast<NodeId>(places_[agent].pos.x); }
  bool Reads(AgentId reader, NodeId node) const;
  void SetStep(AgentId agent, Step step);
  // Calls visit(entry) for all agents at the nodes that this one reads, its own included, until it returns
  // true.
  template <typename Visit>
  void VisitRead(AgentId agent, Visit visit) const;

  AgentBuckets nodes_;
};

}  // namespace throng::sim
