// Agents on grids and planes, where distance decides: in buckets, under a pyramid of the smallest steps, so
// that a question looks only at what is near enough to matter.
#pragma once

#include <span>
#include <vector>

#include "sim/proximity.h"

namespace throng::sim {

class MetricProximity final : public Proximity {
 public:
  MetricProximity(const Space& space, std::vector<Rules> rules, Coupling coupling,
                  std::span<const Pos> start);

  void FindCoupled(AgentId agent, std::vector<AgentId>& found) const override;
  bool AreCoupledAt(AgentId a, Pos at_a, AgentId b, Pos at_b) const override;
  bool Blocks(AgentId behind, AgentId ahead) const override;
  uint32_t FindBlocker(AgentId agent) const override;
  bool MayDiffer(AgentId behind, AgentId ahead) const override;
  void FindPerceived(AgentId agent, std::vector<AgentId>& found) const override;
  void FindNear(Pos pos, int64_t radius, std::vector<AgentId>& found) const override;
  void Advance(AgentId agent, Pos pos) override;
  void PrefetchPlaces(AgentId agent) const override;
  void PrefetchNeighbours(AgentId agent) const override;
  void Remove(AgentId agent) override;
  void Add(AgentId agent, Pos pos, Step step) override;
  size_t Bytes() const override;

 private:
  static constexpr Step kNoStep = INT32_MAX;

  // One level of the pyramid of smallest steps: level 0 has a node per bucket, each further one a node per 2
  // x 2 of the level below.
  struct Level {
    int32_t width = 0;
    int32_t height = 0;
    HugeVector<Step> min_step;  // [height x width]
  };

  int64_t Speed(AgentId agent) const { return RulesOf(agent).max_vel; }
  int64_t Radius(AgentId agent) const { return RulesOf(agent).radius_p; }
  int64_t Reach(AgentId a, AgentId b) const;  // C(A,B)
  int64_t ReachOf(const Rules& a, const Rules& b) const;
  bool MayMeet(Pos pos, Step step, AgentId behind, int64_t reach) const;

  void BuildLevels();
  uint32_t BucketOf(Pos pos) const;
  int32_t NodeIndex(int64_t at, int32_t size, int level) const;
  void UpdateMin(uint32_t bucket);
  uint32_t FindBlockerBelow(AgentId agent, int level, int32_t x, int32_t y) const;
  // Calls visit(bucket) for the 3 x 3 buckets around a position, as far as they exist.
  template <typename Visit>
  void VisitBucketsAround(Pos pos, Visit visit) const;
  // Calls visit(other) for all agents of the buckets that the square around pos touches.
  template <typename Visit>
  void VisitBuckets(Pos pos, int64_t radius, Visit visit) const;
  // The same for all agents of that step whose distance is at most the radius.
  template <typename Visit>
  void VisitWithin(Pos pos, int64_t radius, Step step, Visit visit) const;

  Coupling coupling_;
  int64_t max_reach_ = 0;  // no less than any Reach
  int64_t max_speed_ = 0;
  int32_t bucket_side_ = 1;
  HugeVector<uint32_t> bucket_head_;  // [levels_[0].height x levels_[0].width]
  std::vector<Level> levels_;
};

}  // namespace throng::sim
