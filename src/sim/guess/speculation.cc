#include "sim/guess/speculation.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <queue>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace throng::sim {

Speculator::Speculator(const World& world, llm::Llm& llm, const RunOptions& options,
                       const DependencyGraph& graph, const WorldState& state, RunStats& stats,
                       uint64_t& last_request_id)
    : world_(world),
      llm_(llm),
      options_(options.speculation),
      end_step_(options.steps),
      graph_(graph),
      state_(state),
      stats_(stats),
      last_request_id_(last_request_id),
      context_{world, world.GetSpace(), graph, *this, *this, {options.seed, options.seed_changes}},
      agents_(world.NumAgents()) {
  for (AgentId agent = 0; agent < agents_.size(); ++agent) {
    max_speed_ = std::max<int64_t>(max_speed_, graph_.RulesOf(agent).max_vel);
    max_radius_ = std::max<int64_t>(max_radius_, graph_.RulesOf(agent).radius_p);
    Consider(agent);
  }
}

// What is guessed of agents

const Body& Speculator::FrontBody(AgentId agent) const {
  const std::deque<GuessedStep>& chain = agents_[agent].chain;
  return chain.empty() ? state_.BodyOf(agent) : chain.back().body;
}

// Known, guessed, or as its plans say.
World::Expectation Speculator::Expect(AgentId id, Step step) {
  const Step confirmed = graph_.StepOf(id);
  if (step <= confirmed) return {state_.BodyAt(id, step), true};
  Agent& agent = agents_[id];
  const std::deque<GuessedStep>& chain = agent.chain;
  const auto guessed = static_cast<size_t>(step - confirmed);
  if (guessed <= chain.size()) return {chain[guessed - 1].body, true};
  const Step front = FrontOf(id);
  const MindPtr& mind = chain.empty() ? state_.MindOf(id) : chain.back().mind;
  while (front + static_cast<Step>(agent.expected.size()) < step) {
    const Step later = front + static_cast<Step>(agent.expected.size()) + 1;
    agent.expected.push_back(world_.Expect(id, front, FrontBody(id), mind, later));
  }
  return agent.expected[static_cast<size_t>(step - front - 1)];
}

std::string Speculator::GuessCell(Pos pos, Step step) const {
  const CellGuess* newest = nullptr;
  if (const auto found = cells_.find(pos); found != cells_.end()) {
    for (const CellGuess& cell : found->second) {
      if (cell.step <= step && (newest == nullptr || cell.step > newest->step)) newest = &cell;
    }
  }
  if (newest != nullptr) return newest->value;
  const std::string* value = state_.CellAt(pos, step);
  return value == nullptr ? std::string() : *value;
}

std::vector<AgentId> Speculator::FindAround(Pos pos, int64_t distance, Step step) const {
  // The graph keeps those who are many steps behind far away.
  constexpr Step kFarBehind = 3;  // in reaches of guesses
  const Step lag = std::max({0, step - graph_.BaseStep(), graph_.FrontStep() - step});
  std::vector<AgentId> found;
  graph_.FindNear(pos, distance + max_speed_ * std::min(lag, kFarBehind * options_.max_steps), found);
  return found;
}

void Speculator::FindReaders(Pos pos, std::vector<AgentId>& found) const {
  graph_.FindNear(pos, max_radius_ + max_speed_ * options_.max_steps, found);
}

// A step reads once: what changes while it runs makes it wrong, not different.
std::vector<Neighbour> Speculator::NeighboursOf(AgentId member, Step step) {
  GuessedStep& reads = agents_[member].reads;
  if (reads.looked) return reads.seen;
  reads.looked = true;
  const int radius = graph_.RulesOf(member).radius_p;
  for (const AgentId other : FindAround(reads.from, radius, step)) {
    if (other == member) continue;
    if (!IsThere(other, step)) continue;
    const int64_t reach = max_speed_ * std::abs(int64_t{step} - graph_.StepOf(other));
    if (!context_.space.Within(reads.from, state_.BodyOf(other).pos, radius + reach)) continue;
    std::vector<AgentId>& watchers = agents_[other].watchers;
    if (std::find(watchers.begin(), watchers.end(), member) == watchers.end()) watchers.push_back(member);
    Body body = Expect(other, step).body;
    if (context_.space.Within(reads.from, body.pos, radius)) reads.seen.push_back({other, std::move(body)});
  }
  std::sort(reads.seen.begin(), reads.seen.end(),
            [](const Neighbour& a, const Neighbour& b) { return a.id < b.id; });
  return reads.seen;
}

std::string Speculator::CellFor(AgentId member, Pos pos, Step step) {
  std::vector<std::pair<Pos, std::string>>& cells = agents_[member].reads.cells;
  const auto found =
      std::find_if(cells.begin(), cells.end(), [&](const auto& cell) { return cell.first == pos; });
  if (found != cells.end()) return found->second;
  cells.emplace_back(pos, GuessCell(pos, step));
  return cells.back().second;
}

// Running guessed steps

void Speculator::Consider(AgentId id) {
  if (std::exchange(agents_[id].considered, true)) return;
  considered_.push_back(id);
}

bool Speculator::MayJoin(AgentId id) const {
  const Agent& agent = agents_[id];
  if (agent.running != nullptr) return false;
  if (!agent.chain.empty() && agent.chain.back().removed) return false;
  // Done with its part of a step that others still run.
  const bool is_done = agent.confirmed_members > 1 && agent.confirmed_calls == 0;
  if (agent.chain.empty() && agent.confirmed_members > 0 && !is_done) return false;
  const Step step = FrontOf(id);
  return step < end_step_ && step < graph_.StepOf(id) + options_.max_steps && !graph_.IsBarrier(step);
}

// What failed alone may succeed together with somebody who has caught up: a conversation.
bool Speculator::MayBegin(AgentId id) const { return !agents_[id].halted && MayJoin(id); }

// Guesses that those who are as far as this agent and near it run the step with it, and others do not matter.
std::vector<AgentId> Speculator::ClusterOf(AgentId id) const {
  const Step step = FrontOf(id);
  std::vector<AgentId> members = {id};
  for (size_t i = 0; i < members.size(); ++i) {
    const Pos pos = FrontBody(members[i]).pos;
    const int64_t reach = 2 * (graph_.RulesOf(members[i]).radius_p + max_speed_);
    for (const AgentId other : FindAround(pos, reach, step)) {
      if (FrontOf(other) != step || !MayJoin(other)) continue;
      if (!graph_.AreCoupledAt(members[i], pos, other, FrontBody(other).pos)) continue;
      if (std::find(members.begin(), members.end(), other) == members.end()) members.push_back(other);
    }
  }
  std::sort(members.begin(), members.end());
  return members;
}

void Speculator::Begin(AgentId id) {
  const Step step = FrontOf(id);
  const std::vector<AgentId> members = ClusterOf(id);
  ClusterRun& cluster = *clusters_.emplace_back(ClusterRun::Make(context_, members, step));
  for (const AgentId member : members) {
    Agent& agent = agents_[member];
    GuessedStep reads;
    reads.members = members;
    reads.body = FrontBody(member);
    reads.from = reads.body.pos;
    reads.mind = agent.chain.empty() ? state_.MindOf(member) : agent.chain.back().mind;
    reads.mind_digest = agent.chain.empty() ? state_.MindDigest(member) : agent.chain.back().mind_digest;
    agent.reads = std::move(reads);
    agent.running = &cluster;
  }
  Advance(cluster);
}

void Speculator::Advance(ClusterRun& cluster) {
  try {
    if (!cluster.IsResolving()) {
      if (!cluster.Advance(false) || !cluster.StartResolve()) return;
    } else if (!cluster.ResolveDone()) {
      return;
    }
    cluster.FinishResolve(false);
  } catch (const Error&) {
    Halt(cluster);
    return;
  }
  Finish(cluster);
}

// What fails on a guess need not fail in fact.
void Speculator::Halt(ClusterRun& cluster) {
  for (const MemberRun& member : cluster.Members()) agents_[member.Self()].halted = true;
  Release(cluster);
}

void Speculator::Finish(ClusterRun& cluster) {
  const Step step = cluster.GetStep();
  std::vector<AgentId> moved;
  for (MemberCommit& write : cluster.Writes()) {
    Agent& agent = agents_[write.id];
    GuessedStep guessed = std::move(agent.reads);
    if (write.body != guessed.body) moved.push_back(write.id);
    guessed.body = std::move(write.body);
    guessed.mind = std::move(write.mind);
    guessed.mind_digest = write.mind_digest;
    for (const CellWrite& cell : cluster.Cells()) guessed.written.push_back(cell.pos);
    guessed.removed = write.removed;
    agent.chain.push_back(std::move(guessed));
    agent.expected.clear();
    ++stats_.speculated_steps;
  }
  const AgentId first = cluster.Writes().front().id;
  for (CellWrite& cell : cluster.Cells()) {
    cells_[cell.pos].push_back({step + 1, first, std::move(cell.value)});
    changed_cells_.push_back(cell.pos);
  }
  Release(cluster);
  for (const AgentId agent : moved) CheckReaders(agent, step + 1);
}

void Speculator::Release(ClusterRun& cluster) {
  const auto is_of_cluster = [&](const PendingCall* call) {
    return call != nullptr && &call->member.Cluster() == &cluster;
  };
  std::erase_if(asked_, [&](const Parked& asked) { return is_of_cluster(asked.call); });
  std::erase_if(parked_, [&](const auto& entry) { return is_of_cluster(entry.second.call); });
  for (const auto& [id, guess] : by_id_) {
    if (is_of_cluster(guess->guessing)) guess->guessing = nullptr;
  }
  for (const auto& [id, guess] : real_) {
    if (is_of_cluster(guess->guessing)) guess->guessing = nullptr;
  }
  for (const MemberRun& member : cluster.Members()) {
    agents_[member.Self()].running = nullptr;
    Consider(member.Self());
  }
  std::erase_if(clusters_, [&](const ClusterPtr& other) { return other.get() == &cluster; });
}

void Speculator::OnIntervention(const InterventionRecord& record) {
  for (const MemberCommit& agent : record.agents) {
    if (agent.removed) Abandon(agent.id, record.step);
  }
  for (AgentId agent = 0; agent < agents_.size(); ++agent) Squash(agent, record.step);
}

void Speculator::OnBegin(std::span<const AgentId> members, Step step) {
  for (const AgentId member : members) {
    Agent& agent = agents_[member];
    agent.confirmed_members = members.size();
    Consider(member);
    if (agent.running != nullptr && agent.running->GetStep() == step) Release(*agent.running);
  }
}

void Speculator::OnCommit(const CommitRecord& record) {
  ++commits_;
  std::vector<std::optional<GuessedStep>> guesses(record.members.size());
  for (size_t i = 0; i < record.members.size(); ++i) {
    const AgentId id = record.members[i].id;
    Agent& agent = agents_[id];
    agent.confirmed_members = agent.confirmed_calls = 0;
    agent.asks.clear();
    agent.halted = false;
    Consider(id);
    LearnFrom(id, record.step);
    Drop(id, record.step);
    if (!agent.chain.empty()) {
      guesses[i] = std::move(agent.chain.front());
      agent.chain.pop_front();
      DropCells(*guesses[i], record.step);
    }
    if (agent.chain.empty()) agent.expected.clear();
    if (record.members[i].removed) Abandon(id, record.step + 1);
  }
  for (size_t i = 0; i < record.members.size(); ++i) {
    const AgentId id = record.members[i].id;
    const std::optional<GuessedStep>& guess = guesses[i];
    if (guess && guess->body == state_.BodyOf(id) && guess->mind_digest == state_.MindDigest(id) &&
        guess->removed == record.members[i].removed) {
      ++stats_.confirmed_steps;
      continue;
    }
    Squash(id, record.step + 1);
    if (guess) {
      ++stats_.squashed_steps;
      for (const AgentId partner : guess->members) {
        if (graph_.StepOf(partner) <= record.step && FrontOf(partner) > record.step)
          Squash(partner, record.step);
      }
    }
    CheckReaders(id, record.step + 1);
  }
  for (const MemberCommit& born : record.born) {
    Consider(born.id);
    CheckBirth(born, record.step + 1);
  }
  for (const CellWrite& cell : record.cells) changed_cells_.push_back(cell.pos);
  while (!changed_cells_.empty()) CheckCells();
}

void Speculator::Run(size_t confirmed_in_flight) {
  for (const uint64_t id : std::exchange(answered_, {})) {
    const auto found = real_.find(id);
    if (found == real_.end()) continue;  // its step is committed
    Guess& guess = *found->second;
    real_.erase(found);
    if (guess.guessing != nullptr) Wake(*std::exchange(guess.guessing, nullptr), guess.completion);
  }
  // Those behind first: what they do makes others' guesses better.
  using Candidate = std::pair<Step, AgentId>;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  while (true) {
    for (const AgentId agent : std::exchange(considered_, {})) {
      agents_[agent].considered = false;
      if (MayBegin(agent)) candidates.emplace(FrontOf(agent), agent);
    }
    if (candidates.empty()) break;
    const auto [step, agent] = candidates.top();
    candidates.pop();
    if (MayBegin(agent) && FrontOf(agent) == step) Begin(agent);
  }
  SendParked(confirmed_in_flight);
}

}  // namespace throng::sim
