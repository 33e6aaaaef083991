#include "sim/space/metric_proximity.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace throng::sim {

MetricProximity::MetricProximity(const Space& space, std::vector<Rules> rules, Coupling coupling,
                                 std::span<const Pos> start, Step first_step)
    : Proximity(space, std::move(rules), start, first_step), coupling_(coupling) {
  Rules largest{0, 0};
  for (const Rules& rule : rules_) {
    largest.radius_p = std::max(largest.radius_p, rule.radius_p);
    largest.max_vel = std::max(largest.max_vel, rule.max_vel);
  }
  max_reach_ = ReachOf(largest, largest);
  max_speed_ = largest.max_vel;
  BuildLevels();
  for (AgentId agent = 0; agent < NumAgents(); ++agent) {
    Add(agent, places_[agent].pos, first_step);
  }
}

// Buckets are at least as wide as the reach, so that a search for coupled agents visits at most 3 x 3 of
// them, and few enough to hold one agent or more each.
void MetricProximity::BuildLevels() {
  const auto count = [this](int32_t cells) {
    return static_cast<int32_t>((int64_t{cells} + (int64_t{1} << bucket_shift_) - 1) >> bucket_shift_);
  };
  const int64_t max_buckets = std::max<int64_t>(64, int64_t{NumAgents()} * 3 / 4);
  while ((int64_t{1} << bucket_shift_) < max_reach_ ||
         int64_t{count(space_.Width())} * count(space_.Height()) > max_buckets) {
    ++bucket_shift_;
  }
  int32_t width = count(space_.Width());
  int32_t height = count(space_.Height());
  while (true) {
    Level& level = levels_.emplace_back();
    level.width = width;
    level.height = height;
    width = (width + 1) / 2;
    height = (height + 1) / 2;
    level.min_step.assign(4 * static_cast<size_t>(width) * static_cast<size_t>(height), kNoStep);
    if (level.width == 1 && level.height == 1) break;
  }
  buckets_.Resize(levels_[0].min_step.size());
}

int64_t MetricProximity::ReachOf(const Rules& a, const Rules& b) const {
  const int64_t writes = int64_t{a.max_vel} + b.max_vel;
  if (coupling_ == Coupling::kVersioned) return std::max<int64_t>({a.radius_p, b.radius_p, writes});
  return std::max({int64_t{a.radius_p} + b.max_vel, int64_t{b.radius_p} + a.max_vel, writes});
}

int64_t MetricProximity::Reach(AgentId a, AgentId b) const {
  return rules_.size() == 1 ? max_reach_ : ReachOf(rules_[a], rules_[b]);
}

// Whether `behind` can come within `reach` of pos before it begins `step`, by its speed and by what it
// declared.
bool MetricProximity::MayMeet(Pos pos, Step step, const Entry& behind, int64_t reach) const {
  const int64_t speed = Speed(behind.id);
  if (!space_.Within(pos, behind.pos, int64_t{step - behind.step} * speed + reach)) return false;
  if (lookahead_.empty() || lookahead_[behind.id].until <= behind.step) return true;
  const Lookahead& declared = lookahead_[behind.id];
  const int64_t free_steps = std::max<int64_t>(0, int64_t{step} - declared.until);
  return space_.WithinOfBox(pos, declared.low, declared.high, free_steps * speed + reach);
}

bool MetricProximity::AreCoupledAt(AgentId a, Pos at_a, AgentId b, Pos at_b) const {
  return space_.Within(at_a, at_b, Reach(a, b));
}

bool MetricProximity::Blocks(AgentId behind, AgentId ahead) const {
  const Place& a = places_[ahead];
  return places_[behind].step < a.step && MayMeet(a.pos, a.step, EntryOf(behind), Reach(ahead, behind));
}

bool MetricProximity::MayDiffer(AgentId behind, AgentId ahead) const {
  const Place& a = places_[ahead];
  return !MayMeet(a.pos, a.step - 1, EntryOf(behind), Reach(ahead, behind) - Speed(ahead));
}

void MetricProximity::UpdateMin(Node bucket) {
  const size_t index = levels_[0].IndexOf(bucket.x, bucket.y);
  Step smallest = kNoStep;
  buckets_.Visit(index, [&](const Entry& entry) {
    smallest = std::min(smallest, entry.step);
    return false;
  });
  Step* at = &levels_[0].min_step[index];
  for (size_t l = 1; *at != smallest; ++l) {
    *at = smallest;
    if (l == levels_.size()) return;
    const Step* block = &levels_[l - 1].min_step[levels_[l - 1].IndexOf(bucket.x & ~1, bucket.y & ~1)];
    smallest = std::min({block[0], block[1], block[2], block[3]});
    bucket = {bucket.x >> 1, bucket.y >> 1};
    at = &levels_[l].min_step[levels_[l].IndexOf(bucket.x, bucket.y)];
  }
}

// The node must contain an agent that is behind.
uint32_t MetricProximity::FindBlockerBelow(AgentId id, int level, Node node) const {
  const Place& place = places_[id];
  const Level& nodes = levels_[static_cast<size_t>(level)];
  const size_t index = nodes.IndexOf(node.x, node.y);
  const int shift = bucket_shift_ + level;
  const auto gap = [shift](int64_t at, int64_t node_at) {
    return std::max<int64_t>({(node_at << shift) - at, at - (((node_at + 1) << shift) - 1), 0});
  };
  if (!space_.WithinDelta(gap(place.pos.x, node.x), gap(place.pos.y, node.y),
                          int64_t{place.step - nodes.min_step[index]} * max_speed_ + max_reach_)) {
    return kNone;
  }
  uint32_t found = kNone;
  if (level == 0) {
    buckets_.Visit(index, [&](const Entry& other) {
      if (other.step >= place.step || !MayMeet(place.pos, place.step, other, Reach(id, other.id)))
        return false;
      found = other.id;
      return true;
    });
    return found;
  }
  const Level& below = levels_[static_cast<size_t>(level) - 1];
  const Step* block = &below.min_step[below.IndexOf(2 * node.x, 2 * node.y)];
  for (int i = 0; i < 4 && found == kNone; ++i) {
    if (block[i] < place.step)
      found = FindBlockerBelow(id, level - 1, {2 * node.x + (i & 1), 2 * node.y + (i >> 1)});
  }
  return found;
}

// Starts at the level whose nodes are about as wide as the distance at which an agent can block; visits at
// most 3 x 3 of them.
uint32_t MetricProximity::FindBlocker(AgentId id) const {
  const Place& place = places_[id];
  const int64_t gap = int64_t{place.step} - levels_.back().min_step[0];
  if (gap <= 0) return kNone;
  const int64_t radius = gap * max_speed_ + max_reach_;
  int level = 0;
  while (level + 1 < static_cast<int>(levels_.size()) && (int64_t{1} << (bucket_shift_ + level)) < radius) {
    ++level;
  }
  const Level& nodes = levels_[static_cast<size_t>(level)];
  uint32_t found = kNone;
  VisitNodes(place.pos, radius, level, [&](Node node) {
    if (nodes.min_step[nodes.IndexOf(node.x, node.y)] < place.step) found = FindBlockerBelow(id, level, node);
    return found != kNone;
  });
  return found;
}

template <typename Visit>
void MetricProximity::VisitNodes(Pos pos, int64_t radius, int level, Visit visit) const {
  const auto node_at = [shift = bucket_shift_ + level](int64_t at, int32_t size) {
    return static_cast<int32_t>(std::clamp<int64_t>(at, 0, size - 1) >> shift);
  };
  const int32_t x_begin = node_at(pos.x - radius, space_.Width());
  const int32_t x_end = node_at(pos.x + radius, space_.Width());
  const int32_t y_end = node_at(pos.y + radius, space_.Height());
  for (int32_t y = node_at(pos.y - radius, space_.Height()); y <= y_end; ++y) {
    for (int32_t x = x_begin; x <= x_end; ++x) {
      if (visit(Node{x, y})) return;
    }
  }
}

template <typename Visit>
void MetricProximity::VisitBuckets(Pos pos, int64_t radius, Visit visit) const {
  VisitNodes(pos, radius, 0, [&](Node bucket) {
    return buckets_.Visit(levels_[0].IndexOf(bucket.x, bucket.y), [&](const Entry& entry) {
      visit(entry);
      return false;
    });
  });
}

template <typename Visit>
void MetricProximity::VisitWithin(Pos pos, int64_t radius, Step step, Visit visit) const {
  VisitBuckets(pos, radius, [&](const Entry& entry) {
    if (entry.step == step && space_.Within(pos, entry.pos, radius)) visit(entry);
  });
}

void MetricProximity::FindCoupled(AgentId agent, std::vector<AgentId>& found) const {
  const Place& place = places_[agent];
  VisitWithin(place.pos, max_reach_, place.step, [&](const Entry& other) {
    if (rules_.size() == 1 || space_.Within(place.pos, other.pos, Reach(agent, other.id))) {
      found.push_back(other.id);
    }
  });
}

// Blocking guarantees that agents at other steps are out of sight.
void MetricProximity::FindPerceived(AgentId agent, std::vector<AgentId>& found) const {
  const Place& place = places_[agent];
  VisitWithin(place.pos, Radius(agent), place.step, [&](const Entry& other) { found.push_back(other.id); });
}

void MetricProximity::FindNear(Pos pos, int64_t radius, std::vector<AgentId>& found) const {
  VisitBuckets(pos, radius, [&](const Entry& other) { found.push_back(other.id); });
}

void MetricProximity::Advance(AgentId id, Pos pos) {
  Place& place = places_[id];
  const Node from = BucketOf(place.pos);
  const Node to = BucketOf(pos);
  const size_t from_index = levels_[0].IndexOf(from.x, from.y);
  const Step step = place.step;
  if (from == to) {
    place = {pos, step + 1};
    buckets_.Find(from_index, id) = EntryOf(id);
  } else {
    buckets_.Remove(from_index, id);
    Add(id, pos, step + 1);
  }
  if (step == levels_[0].min_step[from_index]) UpdateMin(from);
}

void MetricProximity::PrefetchNeighbours(AgentId agent) const {
  VisitNodes(places_[agent].pos, max_reach_, 0, [this](Node bucket) {
    const size_t index = levels_[0].IndexOf(bucket.x, bucket.y);
    buckets_.PrefetchBucket(index);
    Prefetch(&levels_[0].min_step[index]);
    return false;
  });
}

void MetricProximity::Remove(AgentId id) {
  const Node bucket = BucketOf(places_[id].pos);
  buckets_.Remove(levels_[0].IndexOf(bucket.x, bucket.y), id);
  places_[id].step = kAbsent;
  UpdateMin(bucket);
}

void MetricProximity::Add(AgentId id, Pos pos, Step step) {
  places_[id] = {pos, step};
  const Node bucket = BucketOf(pos);
  const size_t index = levels_[0].IndexOf(bucket.x, bucket.y);
  buckets_.Add(index, EntryOf(id));
  if (step < levels_[0].min_step[index]) UpdateMin(bucket);
}

size_t MetricProximity::Bytes() const {
  size_t bytes = BaseBytes() + buckets_.Bytes();
  for (const Level& level : levels_) bytes += level.min_step.capacity() * sizeof(Step);
  return bytes;
}

}  // namespace throng::sim
