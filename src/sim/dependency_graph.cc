#include "sim/dependency_graph.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace throng::sim {

namespace {

// Up to this many agents, builds with internal checks test the invariant by brute force after every commit.
constexpr size_t kMaxBruteForce = 256;
constexpr int kMaxRule = 1 << 20;

uint64_t LinkKey(Step step, AgentId agent) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(step)) << 32) | agent;
}

}  // namespace

DependencyGraph::DependencyGraph(const Space& space, Rules rules, Coupling coupling,
                                 std::span<const Pos> start, Step end_step)
    : space_(space), rules_(rules), coupling_(coupling), end_step_(end_step) {
  if (rules.radius_p < 0 || rules.max_vel < 0 || rules.radius_p > kMaxRule || rules.max_vel > kMaxRule) {
    throw MakeError(ErrorCode::kInvalid, "world: radius {} and speed {}: both must be from 0 to {}",
                    rules.radius_p, rules.max_vel, kMaxRule);
  }
  if (start.empty()) throw MakeError(ErrorCode::kInvalid, "world: it has no agents");
  agents_.resize(start.size());
  for (size_t i = 0; i < start.size(); ++i) {
    if (!space_.Contains(start[i])) {
      throw MakeError(ErrorCode::kInvalid, "world: agent {} starts at ({}, {}), outside the space of {} x {}",
                      i, start[i].x, start[i].y, space_.Width(), space_.Height());
    }
    agents_[i].pos = start[i];
  }
  max_reach_ = Reach(0, 0);
  max_speed_ = Speed(0);
  at_step_.push_back(NumAgents());

  // Buckets at least as wide as the reach, so that a search for coupled agents looks at 3 x 3 of them, and at
  // most about two for each agent.
  int64_t side = std::max<int64_t>(1, max_reach_);
  const auto count = [](int64_t cells, int64_t width) { return (cells + width - 1) / width; };
  const int64_t max_buckets = std::max<int64_t>(64, 2 * static_cast<int64_t>(start.size()));
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
  for (AgentId agent = 0; agent < NumAgents(); ++agent) Link(agent);
}

void DependencyGraph::AddDependencies(std::span<const sim::Link> links, std::vector<Step> barriers) {
  for (const sim::Link& link : links) {
    if (link.step < 0 || link.a >= NumAgents() || link.b >= NumAgents() || link.a == link.b) {
      throw MakeError(ErrorCode::kInvalid, "world: a link of agents {} and {} at step {}; it has {} agents",
                      link.a, link.b, link.step, NumAgents());
    }
    links_[LinkKey(link.step, link.a)].push_back(link.b);
    links_[LinkKey(link.step, link.b)].push_back(link.a);
  }
  if (std::adjacent_find(barriers.begin(), barriers.end(), std::greater_equal<>()) != barriers.end()) {
    throw MakeError(ErrorCode::kInvalid, "world: its barriers do not ascend");
  }
  barriers_ = std::move(barriers);
}

std::span<const AgentId> DependencyGraph::LinkedTo(AgentId agent) const {
  if (links_.empty()) return {};
  const auto it = links_.find(LinkKey(agents_[agent].step, agent));
  return it == links_.end() ? std::span<const AgentId>() : it->second;
}

bool DependencyGraph::AreLinked(AgentId agent, AgentId other) const {
  const std::span<const AgentId> linked = LinkedTo(agent);
  return std::find(linked.begin(), linked.end(), other) != linked.end();
}

int64_t DependencyGraph::Reach(AgentId a, AgentId b) const {
  const int64_t writes = Speed(a) + Speed(b);
  if (coupling_ == Coupling::kVersioned) return std::max({Radius(a), Radius(b), writes});
  return std::max({Radius(a) + Speed(b), Radius(b) + Speed(a), writes});
}

void DependencyGraph::Declare(AgentId agent, Step step, Pos pos, const Lookahead& lookahead) {
  if (lookahead.until <= step) return;
  if (!lookahead.Contains(pos)) {
    throw MakeError(ErrorCode::kInvalid,
                    "step {}: it declares to stay in ({}, {}) to ({}, {}) until step {}, but is at ({}, {})",
                    step, lookahead.low.x, lookahead.low.y, lookahead.high.x, lookahead.high.y,
                    lookahead.until, pos.x, pos.y);
  }
  if (lookahead_.empty()) lookahead_.resize(agents_.size());
  Lookahead& known = lookahead_[agent];
  // Agents ahead may have relied on a promise that still holds: it can be narrowed, not taken back. At a
  // barrier nobody is ahead.
  const bool holds = known.until > step && !(IsBarrier(step) && !known.Contains(pos));
  const bool narrows =
      lookahead.until >= known.until && known.Contains(lookahead.low) && known.Contains(lookahead.high);
  if (!holds || narrows) known = lookahead;
}

// Whether the agent that is behind can come within `reach` of pos before it begins that step: by its speed,
// and by what it declared.
bool DependencyGraph::MayMeet(Pos pos, Step step, AgentId behind, int64_t reach) const {
  const Agent& b = agents_[behind];
  if (!space_.Within(pos, b.pos, int64_t{step - b.step} * Speed(behind) + reach)) return false;
  if (lookahead_.empty() || lookahead_[behind].until <= b.step) return true;
  const Lookahead& declared = lookahead_[behind];
  const int64_t free_steps = std::max<int64_t>(0, int64_t{step} - declared.until);
  return space_.WithinOfBox(pos, declared.low, declared.high, free_steps * Speed(behind) + reach);
}

bool DependencyGraph::Blocks(AgentId behind, AgentId ahead) const {
  const Agent& a = agents_[ahead];
  if (agents_[behind].step >= a.step) return false;
  return MayMeet(a.pos, a.step, behind, Reach(ahead, behind)) || AreLinked(ahead, behind);
}

bool DependencyGraph::InvariantHolds(AgentId agent) const {
  for (AgentId other = 0; other < NumAgents(); ++other) {
    const bool is_ahead = agents_[agent].step > agents_[other].step;
    const AgentId ahead = is_ahead ? agent : other;
    const AgentId behind = is_ahead ? other : agent;
    const int64_t gap = agents_[ahead].step - agents_[behind].step;
    // Whoever stands at a barrier that not all have reached does nothing yet, and may have jumped there.
    if (gap == 0 || IsBarrier(agents_[ahead].step)) continue;
    const Agent& a = agents_[ahead];
    if (MayMeet(a.pos, a.step - 1, behind, Reach(ahead, behind) - Speed(ahead))) return false;
  }
  return true;
}

size_t DependencyGraph::BytesPerAgent() const {
  size_t bytes = agents_.capacity() * sizeof(Agent) + bucket_head_.capacity() * sizeof(uint32_t);
  for (const Level& level : levels_) bytes += level.min_step.capacity() * sizeof(Step);
  bytes += lookahead_.capacity() * sizeof(Lookahead);
  return bytes / agents_.size();
}

uint32_t DependencyGraph::BucketOf(Pos pos) const {
  return static_cast<uint32_t>(pos.y / bucket_side_) * static_cast<uint32_t>(levels_[0].width) +
         static_cast<uint32_t>(pos.x / bucket_side_);
}

void DependencyGraph::Link(AgentId id) {
  Agent& agent = agents_[id];
  const uint32_t bucket = BucketOf(agent.pos);
  agent.bucket_prev = kNone;
  agent.bucket_next = bucket_head_[bucket];
  if (agent.bucket_next != kNone) agents_[agent.bucket_next].bucket_prev = id;
  bucket_head_[bucket] = id;
  if (agent.step < levels_[0].min_step[bucket]) UpdateMin(bucket);
}

void DependencyGraph::Unlink(AgentId id) {
  const Agent& agent = agents_[id];
  const uint32_t bucket = BucketOf(agent.pos);
  if (agent.bucket_prev != kNone) {
    agents_[agent.bucket_prev].bucket_next = agent.bucket_next;
  } else {
    bucket_head_[bucket] = agent.bucket_next;
  }
  if (agent.bucket_next != kNone) agents_[agent.bucket_next].bucket_prev = agent.bucket_prev;
  if (agent.step == levels_[0].min_step[bucket]) UpdateMin(bucket);
}

void DependencyGraph::UpdateMin(uint32_t bucket) {
  Step min_step = kNoStep;
  for (uint32_t id = bucket_head_[bucket]; id != kNone; id = agents_[id].bucket_next) {
    min_step = std::min(min_step, agents_[id].step);
  }
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

bool DependencyGraph::NodeMayBlock(AgentId id, int level, int32_t x, int32_t y) const {
  const Agent& agent = agents_[id];
  const Step min_step = levels_[level].min_step[static_cast<size_t>(y) * levels_[level].width + x];
  if (min_step >= agent.step) return false;
  const int64_t side = int64_t{bucket_side_} << level;
  const auto gap = [side](int64_t at, int64_t index) {
    return std::max<int64_t>({index * side - at, at - ((index + 1) * side - 1), 0});
  };
  return space_.WithinDelta(gap(agent.pos.x, x), gap(agent.pos.y, y),
                            int64_t{agent.step - min_step} * max_speed_ + max_reach_);
}

uint32_t DependencyGraph::FindBlockerBelow(AgentId id, int level, int32_t x, int32_t y) const {
  if (!NodeMayBlock(id, level, x, y)) return kNone;
  if (level == 0) {
    uint32_t other = bucket_head_[static_cast<size_t>(y) * levels_[0].width + x];
    while (other != kNone && !Blocks(other, id)) other = agents_[other].bucket_next;
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

uint32_t DependencyGraph::FindBlocker(AgentId id) const {
  for (const AgentId other : LinkedTo(id)) {
    if (agents_[other].step < agents_[id].step) return other;
  }
  return FindBlockerBelow(id, static_cast<int>(levels_.size()) - 1, 0, 0);
}

void DependencyGraph::FindWithin(Pos pos, int64_t radius, Step step, std::vector<AgentId>& found) const {
  const auto bucket_index = [this](int64_t at, int32_t size) {
    return static_cast<int32_t>(std::clamp<int64_t>(at, 0, size - 1) / bucket_side_);
  };
  const int32_t x_end = bucket_index(pos.x + radius, space_.Width());
  const int32_t y_end = bucket_index(pos.y + radius, space_.Height());
  for (int32_t y = bucket_index(pos.y - radius, space_.Height()); y <= y_end; ++y) {
    for (int32_t x = bucket_index(pos.x - radius, space_.Width()); x <= x_end; ++x) {
      uint32_t id = bucket_head_[static_cast<size_t>(y) * levels_[0].width + x];
      for (; id != kNone; id = agents_[id].bucket_next) {
        if (agents_[id].step == step && space_.Within(pos, agents_[id].pos, radius)) found.push_back(id);
      }
    }
  }
}

void DependencyGraph::Wait(AgentId id, AgentId blocked, AgentId blocker) {
  Agent& agent = agents_[id];
  agent.blocked = blocked;
  agent.blocker = blocker;
  agent.waiter_prev = kNone;
  agent.waiter_next = agents_[blocker].waiters;
  if (agent.waiter_next != kNone) agents_[agent.waiter_next].waiter_prev = id;
  agents_[blocker].waiters = id;
}

void DependencyGraph::StopWaiting(AgentId id) {
  Agent& agent = agents_[id];
  if (agent.blocker == kNone) return;
  if (agent.waiter_prev != kNone) {
    agents_[agent.waiter_prev].waiter_next = agent.waiter_next;
  } else {
    agents_[agent.blocker].waiters = agent.waiter_next;
  }
  if (agent.waiter_next != kNone) agents_[agent.waiter_next].waiter_prev = agent.waiter_prev;
  agent.blocker = kNone;
}

void DependencyGraph::CountStep(Step from) {
  const size_t i = static_cast<size_t>(from - base_step_);
  --at_step_[i];
  if (at_step_.size() <= i + 1) at_step_.push_back(0);
  ++at_step_[i + 1];
  front_step_ = std::max(front_step_, from + 1);
  while (at_step_.front() == 0) {
    at_step_.pop_front();
    ++base_step_;
  }
}

// Adds to queue_ the agents coupled with `id` that this search has not met; false if one of them belongs to a
// search since first_visit, which then was of the same cluster and found it blocked.
bool DependencyGraph::VisitNeighbours(AgentId id, uint64_t first_visit) {
  const Agent& agent = agents_[id];
  const size_t begin = queue_.size();
  FindWithin(agent.pos, max_reach_, agent.step, queue_);
  for (const AgentId other : LinkedTo(id)) {
    if (agents_[other].step == agent.step) queue_.push_back(other);
  }
  size_t kept = begin;
  for (size_t i = begin; i < queue_.size(); ++i) {
    const AgentId other = queue_[i];
    uint64_t& visit = agents_[other].visit;
    if (visit == visit_) continue;
    if (!space_.Within(agent.pos, agents_[other].pos, Reach(id, other)) && !AreLinked(id, other)) continue;
    if (visit >= first_visit) return false;
    THRONG_DCHECK(!agents_[other].running);
    visit = visit_;
    queue_[kept++] = other;
  }
  queue_.resize(kept);
  return true;
}

// Searches the cluster of an idle agent; reports it if nobody blocks it, else leaves one member waiting for
// one blocker. Searches numbered from first_visit on belong to the same commit: what they met is settled.
void DependencyGraph::Examine(AgentId id, uint64_t first_visit, ClusterList& ready) {
  Agent& agent = agents_[id];
  if (agent.running || agent.step >= end_step_ || agent.visit >= first_visit) return;
  if (base_step_ < agent.step && IsBarrier(agent.step)) {
    at_barrier_.push_back(id);
    return;
  }
  agent.visit = ++visit_;
  queue_.assign(1, id);
  for (size_t i = 0; i < queue_.size(); ++i) {
    const AgentId member = queue_[i];
    const uint32_t blocker = FindBlocker(member);
    if (blocker != kNone) {
      StopWaiting(id);
      Wait(id, member, blocker);
      return;
    }
    if (!VisitNeighbours(member, first_visit)) return;
  }
  for (const AgentId member : queue_) {
    StopWaiting(member);
    agents_[member].running = true;
  }
  std::sort(queue_.begin(), queue_.end());
  ready.members.insert(ready.members.end(), queue_.begin(), queue_.end());
  ready.ends.push_back(static_cast<uint32_t>(ready.members.size()));
}

void DependencyGraph::Start(ClusterList& ready) {
  const uint64_t first_visit = visit_ + 1;
  for (AgentId agent = 0; agent < NumAgents(); ++agent) Examine(agent, first_visit, ready);
}

void DependencyGraph::Commit(std::span<const AgentId> members, std::span<const Pos> new_pos,
                             ClusterList& ready) {
  THRONG_CHECK(members.size() == new_pos.size());
  released_.clear();
  const Step base = base_step_;
  for (size_t i = 0; i < members.size(); ++i) {
    Agent& agent = agents_[members[i]];
    THRONG_CHECK(agent.running && space_.Contains(new_pos[i]));
    Unlink(members[i]);
    agent.pos = new_pos[i];
    agent.running = false;
    CountStep(agent.step++);
    Link(members[i]);
    while (agent.waiters != kNone) {
      released_.push_back({agent.waiters, members[i]});
      StopWaiting(agent.waiters);
    }
  }
  if (agents_.size() <= kMaxBruteForce) {
    for ([[maybe_unused]] const AgentId member : members) THRONG_DCHECK(InvariantHolds(member));
  }
  const uint64_t first_visit = visit_ + 1;
  for (const AgentId agent : members) Examine(agent, first_visit, ready);
  for (const auto& [agent, blocker] : released_) {
    if (Blocks(blocker, agents_[agent].blocked)) {
      Wait(agent, agents_[agent].blocked, blocker);  // most often one step of the blocker is not enough
    } else {
      Examine(agent, first_visit, ready);
    }
  }
  if (base_step_ != base && IsBarrier(base_step_)) {
    const std::vector<AgentId> waiting = std::exchange(at_barrier_, {});
    for (const AgentId agent : waiting) Examine(agent, first_visit, ready);
  }
}

}  // namespace throng::sim
