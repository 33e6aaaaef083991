// Agents on grids and planes, where distance decides: kept in square buckets under a pyramid of smallest
// steps, so that a query visits only what is near enough to matter.
#pragma once

#include <span>
#include <vector>

#include "sim/space/agent_buckets.h"
#include "sim/space/proximity.h"

namespace throng::sim {

class MetricProximity final : public Proximity {
 public:
  MetricProximity(const Space& space, std::vector<Rules> rules, Coupling coupling, std::span<const Pos> start,
                  Step first_step);

  void FindCoupled(AgentId agent, std::vector<AgentId>& found) const override;
  bool AreCoupledAt(AgentId a, Pos at_a, AgentId b, Pos at_b) const override;
  bool Blocks(AgentId behind, AgentId ahead) const override;
  uint32_t FindBlocker(AgentId agent) const override;
  bool MayDiffer(AgentId behind, AgentId ahead) const override;
  void FindPerceived(AgentId agent, std::vector<AgentId>& found) const override;
  void FindNear(Pos pos, int64_t radius, std::vector<AgentId>& found) const override;
  void Advance(AgentId agent, Pos pos) override;
  void PrefetchNeighbours(AgentId agent) const override;
  void Remove(AgentId agent) override;
  void Add(AgentId agent, Pos pos, Step step) override;
  size_t Bytes() const override;

 private:
  static constexpr Step kNoStep = INT32_MAX;

  using Entry = AgentBuckets::Entry;

  // One level of the pyramid of smallest steps: level 0 has a node per bucket, each further level a node per
  // 2 x 2 nodes of the level below, which are stored together.
  struct Level {
    int32_t width = 0;
    int32_t height = 0;
    HugeVector<Step> min_step;  // [(height + 1) / 2][(width + 1) / 2][2][2]

    size_t IndexOf(int32_t x, int32_t y) const {
      const size_t block =
          static_cast<size_t>(y >> 1) * static_cast<size_t>((width + 1) >> 1) + static_cast<size_t>(x >> 1);
      return 4 * block + 2 * static_cast<size_t>(y & 1) + static_cast<size_t>(x & 1);
    }
  };
  // A node of some level, or a bucket.
  struct Node {
    int32_t x;
    int32_t y;
    bool operator==(const Node&) const = default;
  };

  int64_t Speed(AgentId agent) const { return RulesOf(agent).max_vel; }
  int64_t Radius(AgentId agent) const { return RulesOf(agent).radius_p; }
  int64_t Reach(AgentId a, AgentId b) const;  // C(A,B)
  int64_t ReachOf(const Rules& a, const Rules& b) const;
  bool MayMeet(Pos pos, Step step, const Entry& behind, int64_t reach) const;
  Entry EntryOf(AgentId agent) const { return {places_[agent].pos, places_[agent].step, agent}; }

  void BuildLevels();
  Node BucketOf(Pos pos) const { return {pos.x >> bucket_shift_, pos.y >> bucket_shift_}; }
  void UpdateMin(Node bucket);
  uint32_t FindBlockerBelow(AgentId agent, int level, Node node) const;
  // Calls visit(node) for the nodes of a level that the square around pos touches, until it returns true.
  template <typename Visit>
  void VisitNodes(Pos pos, int64_t radius, int level, Visit visit) const;
  // Calls visit(entry) for all agents of the buckets that the square around pos touches.
  template <typename Visit>
  void VisitBuckets(Pos pos, int64_t radius, Visit visit) const;
  // Calls visit(entry) for all agents at `step` whose distance from pos is at most the radius.
  template <typename Visit>
  void VisitWithin(Pos pos, int64_t radius, Step step, Visit visit) const;

  Coupling coupling_;
  int64_t max_reach_ = 0;  // no less than any Reach
  int64_t max_speed_ = 0;
  int bucket_shift_ = 0;  // a bucket is 2^bucket_shift_ wide
  AgentBuckets buckets_;  // indexed like levels_[0]
  std::vector<Level> levels_;
};

}  // namespace throng::sim
