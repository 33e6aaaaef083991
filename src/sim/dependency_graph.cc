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

uint64_t LinkKey(Step step, AgentId agent) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(step)) << 32) | agent;
}

}  // namespace

DependencyGraph::DependencyGraph(const Space& space, std::vector<Rules> rules, Coupling coupling,
                                 std::span<const Pos> start, Step end_step, Step first_step)
    : proximity_(MakeProximity(space, std::move(rules), coupling, start, first_step)),
      end_step_(end_step),
      agents_(start.size()),
      num_present_(NumAgents()),
      base_step_(first_step),
      front_step_(first_step) {
  at_step_.push_back(NumAgents());
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

void DependencyGraph::SetHorizon(Step horizon) {
  if (horizon < 0 || horizon > kMostDelay) {
    throw MakeError(ErrorCode::kInvalid, "world: horizon {}; allowed is 0 to {}", horizon, kMostDelay);
  }
  horizon_ = horizon;
}

void DependencyGraph::SetFollows(Step latency, FollowsOf follows) {
  latency_ = latency;
  follows_ = std::move(follows);
}

void DependencyGraph::AddPause(Step step) {
  THRONG_CHECK(step > front_step_ || (step == front_step_ && visit_ == 0));
  pauses_.insert(step);
}

std::span<const AgentId> DependencyGraph::LinkedTo(AgentId agent, Step step) const {
  if (links_.empty()) return {};
  const auto it = links_.find(LinkKey(step, agent));
  return it == links_.end() ? std::span<const AgentId>() : it->second;
}

bool DependencyGraph::AreLinked(AgentId agent, AgentId other) const {
  const std::span<const AgentId> linked = LinkedTo(agent, StepOf(agent));
  return std::find(linked.begin(), linked.end(), other) != linked.end();
}

void DependencyGraph::Declare(AgentId agent, Step step, Pos pos, const Lookahead& lookahead) {
  if (lookahead.until <= step) return;
  if (!lookahead.Contains(pos)) {
    throw MakeError(ErrorCode::kInvalid,
                    "step {}: it declares to stay in ({}, {}) to ({}, {}) until step {}, but is at ({}, {})",
                    step, lookahead.low.x, lookahead.low.y, lookahead.high.x, lookahead.high.y,
                    lookahead.until, pos.x, pos.y);
  }
  const Lookahead known = LookaheadOf(agent);
  // Agents ahead may have relied on a promise in force: it can be narrowed, not taken back. At a barrier no
  // agent is ahead.
  const bool holds = known.until > step && !(IsBarrier(step) && !known.Contains(pos));
  const bool narrows =
      lookahead.until >= known.until && known.Contains(lookahead.low) && known.Contains(lookahead.high);
  if (!holds || narrows) proximity_->SetLookahead(agent, lookahead);
}

bool DependencyGraph::Blocks(AgentId behind, AgentId ahead) const {
  return proximity_->Blocks(behind, ahead) || (StepOf(behind) < StepOf(ahead) && AreLinked(ahead, behind)) ||
         IsReadBehind(behind, ahead);
}

// Whether `behind` has not done all the steps whose posts `ahead` reads in its next one.
bool DependencyGraph::IsReadBehind(AgentId behind, AgentId ahead) const {
  if (latency_ == 0 || StepOf(behind) > StepOf(ahead) - latency_) return false;
  const std::span<const AgentId> follows = follows_(ahead);
  return std::binary_search(follows.begin(), follows.end(), behind);
}

// Of those whom the agent follows and who block it, the one furthest behind; kUnborn if that is nobody yet.
uint32_t DependencyGraph::FindReadBehind(AgentId agent) const {
  const Step last_read = StepOf(agent) - latency_;
  if (latency_ == 0 || last_read < base_step_) return kNone;  // everybody has done that step
  uint32_t blocker = kNone;
  Step least = last_read + 1;
  for (const AgentId author : follows_(agent)) {
    // Whoever bears it may still be as far behind as anybody.
    const bool is_unborn = !agents_[author].was_present;
    const Step step = is_unborn ? base_step_ : StepOf(author);
    if (step >= least) continue;
    least = step;
    blocker = is_unborn ? kUnborn : author;
  }
  return blocker;
}

bool DependencyGraph::InvariantHolds(AgentId agent) const {
  for (AgentId other = 0; other < NumAgents(); ++other) {
    const bool is_ahead = StepOf(agent) > StepOf(other);
    const AgentId ahead = is_ahead ? agent : other;
    const AgentId behind = is_ahead ? other : agent;
    // An agent at a barrier that not all have reached does nothing yet, and may have jumped there.
    if (StepOf(ahead) == StepOf(behind) || IsBarrier(StepOf(ahead))) continue;
    // An agent that has done nothing since it came has neither perceived another agent nor been perceived.
    if (!IsPresent(ahead) || agents_[ahead].is_new) continue;
    if (!proximity_->MayDiffer(behind, ahead)) return false;
  }
  return true;
}

size_t DependencyGraph::Bytes() const { return proximity_->Bytes() + agents_.capacity() * sizeof(Agent); }

uint32_t DependencyGraph::FindBlocker(AgentId id) const {
  for (const AgentId other : LinkedTo(id, StepOf(id))) {
    if (StepOf(other) < StepOf(id)) return other;
  }
  const uint32_t near = proximity_->FindBlocker(id);
  return near != kNone ? near : FindReadBehind(id);
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
}

void DependencyGraph::AdvanceBase() {
  if (num_present_ == 0) {
    base_step_ = pauses_.empty() ? end_step_ : std::min(*pauses_.begin(), end_step_);
    at_step_.assign(1, 0);
    return;
  }
  while (at_step_.front() == 0) {
    at_step_.pop_front();
    ++base_step_;
  }
}

void DependencyGraph::Remove(AgentId id) {
  Agent& agent = agents_[id];
  THRONG_CHECK(IsPresent(id) && !agent.running);
  StopWaiting(id);
  --at_step_[static_cast<size_t>(StepOf(id) - base_step_)];
  --num_present_;
  proximity_->Remove(id);
  proximity_->DropLookahead(id);
}

void DependencyGraph::Reserve(AgentId agent, bool was_present) {
  Remove(agent);
  agents_[agent].was_present = was_present;
}

void DependencyGraph::Add(AgentId id, Pos pos, Step step) {
  Agent& agent = agents_[id];
  THRONG_CHECK(!IsPresent(id));
  agent.was_present = agent.is_new = true;
  const auto i = static_cast<size_t>(step - base_step_);
  if (at_step_.size() <= i) at_step_.resize(i + 1);
  ++at_step_[i];
  ++num_present_;
  proximity_->Add(id, pos, step);
}

// Adds to queue_ the agents coupled with `id` that this search has not met. Returns false if one of them was
// met by a search since first_visit: that search covered the same cluster and found it blocked.
bool DependencyGraph::VisitNeighbours(AgentId id, uint64_t first_visit) {
  const size_t begin = queue_.size();
  proximity_->FindCoupled(id, queue_);
  for (const AgentId other : LinkedTo(id, StepOf(id))) {
    if (StepOf(other) == StepOf(id)) queue_.push_back(other);
  }
  size_t kept = begin;
  for (size_t i = begin; i < queue_.size(); ++i) {
    const AgentId other = queue_[i];
    uint64_t& visit = agents_[other].visit;
    if (visit == visit_) continue;
    if (visit >= first_visit) return false;
    THRONG_DCHECK(!agents_[other].running);
    visit = visit_;
    queue_[kept++] = other;
  }
  queue_.resize(kept);
  return true;
}

// Searches the cluster of an idle agent. Reports it if no agent blocks it, else leaves one member waiting for
// one blocker. Searches numbered from first_visit on belong to the same commit: agents they met are settled.
void DependencyGraph::Examine(AgentId id, uint64_t first_visit, ClusterList& ready) {
  Agent& agent = agents_[id];
  if (agent.running || StepOf(id) >= end_step_ || agent.visit >= first_visit) return;
  const Step step = StepOf(id);
  const bool is_early =
      base_step_ < step && (IsBarrier(step) || (horizon_ > 0 && step - base_step_ >= horizon_));
  if (is_early || (!pauses_.empty() && *pauses_.begin() == step)) {
    held_.push_back(id);
    return;
  }
  agent.visit = ++visit_;
  queue_.assign(1, id);
  for (size_t i = 0; i < queue_.size(); ++i) {
    const AgentId member = queue_[i];
    const uint32_t blocker = FindBlocker(member);
    if (blocker != kNone) {
      StopWaiting(id);
      if (blocker == kUnborn) {
        held_.push_back(id);
        return;
      }
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
  AdvanceBase();
  const uint64_t first_visit = visit_ + 1;
  for (AgentId agent = 0; agent < NumAgents(); ++agent) Examine(agent, first_visit, ready);
}

void DependencyGraph::ResumeAtPause(ClusterList& ready) {
  THRONG_CHECK(AtPause());
  pauses_.erase(pauses_.begin());
  held_.clear();
  Start(ready);
}

void DependencyGraph::Commit(std::span<const AgentId> members, std::span<const Pos> new_pos,
                             ClusterList& ready, std::span<const Newborn> born,
                             std::span<const AgentId> removed) {
  THRONG_CHECK(members.size() == new_pos.size());
  released_.clear();
  const Step base = base_step_;
  for (size_t i = 0; i < members.size(); ++i) {
    Agent& agent = agents_[members[i]];
    THRONG_CHECK(agent.running);
    agent.running = agent.is_new = false;
    CountStep(StepOf(members[i]));
    proximity_->Advance(members[i], new_pos[i]);
    while (agent.waiters != kNone) {
      released_.push_back({agent.waiters, members[i]});
      StopWaiting(agent.waiters);
    }
  }
  if (!members.empty()) {
    const Step step = StepOf(members.front());
    for (const Newborn& child : born) Add(child.id, child.pos, step);
  }
  for (const AgentId agent : removed) Remove(agent);
  AdvanceBase();
  if (agents_.size() <= kMaxBruteForce) {
    for ([[maybe_unused]] const AgentId member : members) THRONG_DCHECK(InvariantHolds(member));
  }
  const uint64_t first_visit = visit_ + 1;
  for (const AgentId agent : members) Examine(agent, first_visit, ready);
  for (const Newborn& child : born) Examine(child.id, first_visit, ready);
  for (const auto& [agent, blocker] : released_) {
    if (Blocks(blocker, agents_[agent].blocked)) {
      Wait(agent, agents_[agent].blocked, blocker);  // usually one step of the blocker is not enough
    } else {
      Examine(agent, first_visit, ready);
    }
  }
  if (base_step_ != base && (horizon_ > 0 || latency_ > 0 || IsBarrier(base_step_))) {
    const std::vector<AgentId> held = std::exchange(held_, {});
    for (const AgentId agent : held) Examine(agent, first_visit, ready);
  }
}

}  // namespace throng::sim
