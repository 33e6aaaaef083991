#include "sim/metric_proximity.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace throng::sim {

MetricProximity::MetricProximity(const Space& space, std::vector<Rules> rules, Coupling coupling,
                                 std::span<const Pos> start)
    : Proximity(space, std::move(rules), start), coupling_(coupling) {
  Rules largest{0, 0};
  for (const Rules& rule : rules_) {
    largest.radius_p = std::max(largest.radius_p, rule.radius_p);
    largest.max_vel = std::max(largest.max_vel, rule.max_vel);
  }
  max_reach_ = ReachOf(largest, largest);
  max_speed_ = largest.max_vel;
  BuildLevels();
  for (AgentId agent = 0; agent < NumAgents(); ++agent) {
    const uint32_t bucket = BucketOf(places_[agent].pos);
    Link(agent, bucket_head_[bucket]);
    if (levels_[0].min_step[bucket] == kNoStep) UpdateMin(bucket);
  }
}

// Buckets are at least as wide as the reach, so that a search for coupled agents looks at 3 x 3 of them, and
// at most about two for each agent.
void MetricProximity::BuildLevels() {
  int64_t side = std::max<int64_t>(1, max_reach_);
  const auto count = [](int64_t cells, int64_t width) { return (cells + width - 1) / width; };
  const int64_t max_buckets = std::max<int64_t>(64, 2 * int64_t{NumAgents()});
  while (count(space_.Width(), side) * count(space_.Height(), side) > max_buckets) side += side / 4 + 1;
  bucket_side_ = static_cast<int32_t>(std::min<int64_t>(side, INT32_MAX));
  Level level;
  level.width = static_cast<int32_t>(count(space_.Width(), side));
  level.height = static_cast<int32_t>(count(space_.Height(), side));
  bucket_head_.assign(static_cast<size_t>(level.width) * level.height, kNone);
  while (true) {
    level.min_step.assign(static_cast<size_t>(level.width) * level.height, kNoStep);
    levels_.push_back(level);
    if (level.width == 1 && level.height == 1) break;
    level.width = (level.width + 1) / 2;
    level.height = (level.height + 1) / 2;
  }
}

int64_t MetricProximity::ReachOf(const Rules& a, const Rules& b) const {
  const int64_t writes = int64_t{a.max_vel} + b.max_vel;
  if (coupling_ == Coupling::kVersioned) return std::max<int64_t>({a.radius_p, b.radius_p, writes});
  return std::max({int64_t{a.radius_p} + b.max_vel, int64_t{b.radius_p} + a.max_vel, writes});
}

int64_t MetricProximity::Reach(AgentId a, AgentId b) const {
  return rules_.size() == 1 ? max_reach_ : ReachOf(rules_[a], rules_[b]);
}

// Whether the agent that is behind can come within `reach` of pos before it begins that step: by its speed,
// and by what it declared.
bool MetricProximity::MayMeet(Pos pos, Step step, AgentId behind, int64_t reach) const {
  const Place& b = places_[behind];
  if (!space_.Within(pos, b.pos, int64_t{step - b.step} * Speed(behind) + reach)) return false;
  if (lookahead_.empty() || lookahead_[behind].until <= b.step) return true;
  const Lookahead& declared = lookahead_[behind];
  const int64_t free_steps = std::max<int64_t>(0, int64_t{step} - declared.until);
  return space_.WithinOfBox(pos, declared.low, declared.high, free_steps * Speed(behind) + reach);
}

bool MetricProximity::AreCoupledAt(AgentId a, Pos at_a, AgentId b, Pos at_b) const {
  return space_.Within(at_a, at_b, Reach(a, b));
}

bool MetricProximity::Blocks(AgentId behind, AgentId ahead) const {
  const Place& a = places_[ahead];
  return places_[behind].step < a.step && MayMeet(a.pos, a.step, behind, Reach(ahead, behind));
}

bool MetricProximity::MayDiffer(AgentId behind, AgentId ahead) const {
  const Place& a = places_[ahead];
  return !MayMeet(a.pos, a.step - 1, behind, Reach(ahead, behind) - Speed(ahead));
}

uint32_t MetricProximity::BucketOf(Pos pos) const {
  return static_cast<uint32_t>(pos.y / bucket_side_) * static_cast<uint32_t>(levels_[0].width) +
         static_cast<uint32_t>(pos.x / bucket_side_);
}

int32_t MetricProximity::NodeIndex(int64_t at, int32_t size, int level) const {
  return static_cast<int32_t>(std::clamp<int64_t>(at, 0, size - 1) / bucket_side_) >> level;
}

void MetricProximity::UpdateMin(uint32_t bucket) {
  Step min_step = kNoStep;
  for (uint32_t id = bucket_head_[bucket]; id != kNone; id = places_[id].next) {
    min_step = std::min(min_step, places_[id].step);
  }
  if (levels_[0].min_step[bucket] == min_step) return;
  levels_[0].min_step[bucket] = min_step;
  int32_t x = static_cast<int32_t>(bucket % static_cast<uint32_t>(levels_[0].width));
  int32_t y = static_cast<int32_t>(bucket / static_cast<uint32_t>(levels_[0].width));
  for (size_t l = 1; l < levels_.size(); ++l) {
    const Level& below = levels_[l - 1];
    x /= 2;
    y /= 2;
    Step smallest = kNoStep;
    for (int32_t by = 2 * y; by < std::min(2 * y + 2, below.height); ++by) {
      for (int32_t bx = 2 * x; bx < std::min(2 * x + 2, below.width); ++bx) {
        smallest = std::min(smallest, below.min_step[static_cast<size_t>(by) * below.width + bx]);
      }
    }
    Step& here = levels_[l].min_step[static_cast<size_t>(y) * levels_[l].width + x];
    if (here == smallest) break;
    here = smallest;
  }
}

uint32_t MetricProximity::FindBlockerBelow(AgentId id, int level, int32_t x, int32_t y) const {
  const Place& place = places_[id];
  const Step min_step = levels_[level].min_step[static_cast<size_t>(y) * levels_[level].width + x];
  if (min_step >= place.step) return kNone;
  const int64_t side = int64_t{bucket_side_} << level;
  const auto gap = [side](int64_t at, int64_t index) {
    return std::max<int64_t>({index * side - at, at - ((index + 1) * side - 1), 0});
  };
  if (!space_.WithinDelta(gap(place.pos.x, x), gap(place.pos.y, y),
                          int64_t{place.step - min_step} * max_speed_ + max_reach_)) {
    return kNone;
  }
  if (level == 0) {
    uint32_t other = bucket_head_[static_cast<size_t>(y) * levels_[0].width + x];
    while (other != kNone && !Blocks(other, id)) other = places_[other].next;
    return other;
  }
  const Level& below = levels_[level - 1];
  for (int32_t by = 2 * y; by < std::min(2 * y + 2, below.height); ++by) {
    for (int32_t bx = 2 * x; bx < std::min(2 * x + 2, below.width); ++bx) {
      const uint32_t found = FindBlockerBelow(id, level - 1, bx, by);
      if (found != kNone) return found;
    }
  }
  return kNone;
}

// Starts at the level whose nodes are about as wide as what a blocker may be away, at most 3 x 3 of them.
uint32_t MetricProximity::FindBlocker(AgentId id) const {
  const Place& place = places_[id];
  const int64_t gap = int64_t{place.step} - levels_.back().min_step[0];
  if (gap <= 0) return kNone;
  const int64_t radius = gap * max_speed_ + max_reach_;
  int level = 0;
  while (level + 1 < static_cast<int>(levels_.size()) && (int64_t{bucket_side_} << level) < radius) ++level;
  const int32_t x_end = NodeIndex(place.pos.x + radius, space_.Width(), level);
  const int32_t y_end = NodeIndex(place.pos.y + radius, space_.Height(), level);
  for (int32_t y = NodeIndex(place.pos.y - radius, space_.Height(), level); y <= y_end; ++y) {
    for (int32_t x = NodeIndex(place.pos.x - radius, space_.Width(), level); x <= x_end; ++x) {
      const uint32_t found = FindBlockerBelow(id, level, x, y);
      if (found != kNone) return found;
    }
  }
  return kNone;
}

template <typename Visit>
void MetricProximity::VisitBuckets(Pos pos, int64_t radius, Visit visit) const {
  const int32_t x_end = NodeIndex(pos.x + radius, space_.Width(), 0);
  const int32_t y_end = NodeIndex(pos.y + radius, space_.Height(), 0);
  const int32_t x_begin = NodeIndex(pos.x - radius, space_.Width(), 0);
  for (int32_t y = NodeIndex(pos.y - radius, space_.Height(), 0); y <= y_end; ++y) {
    for (int32_t x = x_begin; x <= x_end; ++x) {
      uint32_t id = bucket_head_[static_cast<size_t>(y) * levels_[0].width + x];
      for (; id != kNone; id = places_[id].next) visit(id);
    }
  }
}

template <typename Visit>
void MetricProximity::VisitWithin(Pos pos, int64_t radius, Step step, Visit visit) const {
  VisitBuckets(pos, radius, [&](AgentId id) {
    if (places_[id].step == step && space_.Within(pos, places_[id].pos, radius)) visit(id);
  });
}

void MetricProximity::FindCoupled(AgentId agent, std::vector<AgentId>& found) const {
  const Place& place = places_[agent];
  VisitWithin(place.pos, max_reach_, place.step, [&](AgentId other) {
    if (rules_.size() == 1 || space_.Within(place.pos, places_[other].pos, Reach(agent, other))) {
      found.push_back(other);
    }
  });
}

// Agents at other steps are out of sight: that is what blocking guarantees.
void MetricProximity::FindPerceived(AgentId agent, std::vector<AgentId>& found) const {
  const Place& place = places_[agent];
  VisitWithin(place.pos, Radius(agent), place.step, [&](AgentId other) { found.push_back(other); });
}

void MetricProximity::FindNear(Pos pos, int64_t radius, std::vector<AgentId>& found) const {
  VisitBuckets(pos, radius, [&](AgentId other) { found.push_back(other); });
}

void MetricProximity::Advance(AgentId id, Pos pos) {
  Place& place = places_[id];
  const uint32_t from = BucketOf(place.pos);
  const uint32_t to = BucketOf(pos);
  const Step step = place.step++;
  place.pos = pos;
  if (from != to) {
    Unlink(id, bucket_head_[from]);
    Link(id, bucket_head_[to]);
    if (place.step < levels_[0].min_step[to]) UpdateMin(to);
  }
  if (step == levels_[0].min_step[from]) UpdateMin(from);
}

template <typename Visit>
void MetricProximity::VisitBucketsAround(Pos pos, Visit visit) const {
  const int32_t width = levels_[0].width;
  const int32_t x = pos.x / bucket_side_;
  const int32_t y = pos.y / bucket_side_;
  for (int32_t by = std::max(y - 1, 0); by <= std::min(y + 1, levels_[0].height - 1); ++by) {
    for (int32_t bx = std::max(x - 1, 0); bx <= std::min(x + 1, width - 1); ++bx) {
      visit(static_cast<size_t>(by) * width + bx);
    }
  }
}

void MetricProximity::PrefetchPlaces(AgentId agent) const {
  VisitBucketsAround(places_[agent].pos, [this](size_t bucket) {
    Prefetch(&bucket_head_[bucket]);
    Prefetch(&levels_[0].min_step[bucket]);
  });
}

void MetricProximity::PrefetchNeighbours(AgentId agent) const {
  VisitBucketsAround(places_[agent].pos, [this](size_t bucket) {
    if (bucket_head_[bucket] != kNone) Prefetch(&places_[bucket_head_[bucket]]);
  });
}

void MetricProximity::Remove(AgentId id) {
  const uint32_t bucket = BucketOf(places_[id].pos);
  Unlink(id, bucket_head_[bucket]);
  places_[id].step = kAbsent;
  UpdateMin(bucket);
}

void MetricProximity::Add(AgentId id, Pos pos, Step step) {
  places_[id].pos = pos;
  places_[id].step = step;
  const uint32_t bucket = BucketOf(pos);
  Link(id, bucket_head_[bucket]);
  if (step < levels_[0].min_step[bucket]) UpdateMin(bucket);
}

size_t MetricProximity::Bytes() const {
  size_t bytes = BaseBytes() + bucket_head_.capacity() * sizeof(uint32_t);
  for (const Level& level : levels_) bytes += level.min_step.capacity() * sizeof(Step);
  return bytes;
}

}  // namespace throng::sim
