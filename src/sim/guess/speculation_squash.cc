// Finding out that a guess was wrong, and giving it up.

#include <algorithm>
#include <utility>

#include "sim/guess/speculation.h"

namespace throng::sim {

bool Speculator::SawOtherwise(AgentId reader, const GuessedStep& reads, AgentId agent,
                              const Body* body) const {
  if (!reads.looked) return false;
  const auto seen = std::find_if(reads.seen.begin(), reads.seen.end(),
                                 [&](const Neighbour& neighbour) { return neighbour.id == agent; });
  const bool in_sight =
      body != nullptr && context_.space.Within(reads.from, body->pos, graph_.RulesOf(reader).radius_p);
  return in_sight != (seen != reads.seen.end()) || (in_sight && seen->body != *body);
}

// What is known or expected of this agent has changed from this step on.
void Speculator::CheckReaders(AgentId agent, Step from) {
  std::vector<Body> bodies;  // from that step on
  const std::vector<AgentId> watchers = std::exchange(agents_[agent].watchers, {});
  for (const AgentId other : watchers) {
    const Agent& reader = agents_[other];
    if (reader.chain.empty() && reader.running == nullptr) continue;  // watches no more
    agents_[agent].watchers.push_back(other);
    const Step confirmed = graph_.StepOf(other);
    const Step front = FrontOf(other);
    for (Step step = std::max(from, confirmed); step <= front; ++step) {
      const bool is_running = step == front;
      if (is_running && reader.running == nullptr) break;
      const GuessedStep& reads =
          is_running ? reader.reads : reader.chain[static_cast<size_t>(step - confirmed)];
      const auto index = static_cast<size_t>(step - from);
      while (bodies.size() <= index)
        bodies.push_back(Expect(agent, from + static_cast<Step>(bodies.size())).body);
      const Body* body = IsThere(agent, step) ? &bodies[index] : nullptr;
      if (!SawOtherwise(other, reads, agent, body)) continue;
      for (Forecast& forecast : agents_[other].forecasts) {
        if (forecast.step >= step && forecast.spoiled_by == kNobody) forecast.spoiled_by = agent;
      }
      Squash(other, step);
      break;
    }
  }
}

// Nobody who guessed these steps knew of it.
void Speculator::CheckBirth(const MemberCommit& born, Step step) {
  std::vector<AgentId> readers;
  FindReaders(born.body.pos, readers);
  std::erase(readers, born.id);
  agents_[born.id].watchers = std::move(readers);
  CheckReaders(born.id, step);
}

void Speculator::CheckCells() {
  std::vector<Pos> changed = std::exchange(changed_cells_, {});
  std::sort(changed.begin(), changed.end());
  changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
  std::vector<std::pair<AgentId, Pos>> readings;
  std::vector<AgentId> readers;
  for (const Pos pos : changed) {
    readers.clear();
    FindReaders(pos, readers);
    for (const AgentId reader : readers) {
      if (!agents_[reader].chain.empty() || agents_[reader].running != nullptr)
        readings.emplace_back(reader, pos);
    }
  }
  std::sort(readings.begin(), readings.end());
  for (auto it = readings.begin(); it != readings.end();) {
    const AgentId id = it->first;
    const auto first = it;
    while (it != readings.end() && it->first == id) ++it;
    const Agent& agent = agents_[id];
    const int radius = graph_.RulesOf(id).radius_p;
    const Step confirmed = graph_.StepOf(id);
    const Step front = FrontOf(id);
    for (Step step = confirmed; step <= front; ++step) {
      const bool is_running = step == front;
      if (is_running && agent.running == nullptr) break;
      const GuessedStep& reads =
          is_running ? agent.reads : agent.chain[static_cast<size_t>(step - confirmed)];
      const auto is_other = [&](const auto& reading) {
        const Pos pos = reading.second;
        if (reads.cells.empty() || !context_.space.Within(reads.from, pos, radius)) return false;
        const auto cell = std::find_if(reads.cells.begin(), reads.cells.end(),
                                       [&](const auto& read) { return read.first == pos; });
        return cell != reads.cells.end() && GuessCell(pos, step) != cell->second;
      };
      if (std::none_of(first, it, is_other)) continue;
      Squash(id, step);
      break;
    }
  }
}

void Speculator::DropCells(const GuessedStep& guessed, Step step) {
  for (const Pos pos : guessed.written) {
    const auto found = cells_.find(pos);
    if (found == cells_.end()) continue;
    std::erase_if(found->second, [&](const CellGuess& cell) {
      return cell.by == guessed.members.front() && cell.step == step + 1;
    });
    if (found->second.empty()) cells_.erase(found);
    changed_cells_.push_back(pos);
  }
}

// The agent's guessed steps from this one on did not happen, nor did they for who ran them together with it.
void Speculator::Squash(AgentId id, Step from) {
  Agent& agent = agents_[id];
  if (agent.running != nullptr) Release(*agent.running);
  agent.halted = false;
  agent.expected.clear();
  Consider(id);
  const Step confirmed = graph_.StepOf(id);
  while (!agent.chain.empty() && FrontOf(id) > std::max(from, confirmed)) {
    const Step step = FrontOf(id) - 1;
    const GuessedStep guessed = std::move(agent.chain.back());
    agent.chain.pop_back();
    ++stats_.squashed_steps;
    DropCells(guessed, step);
    for (const AgentId partner : guessed.members) {
      if (partner != id && graph_.StepOf(partner) <= step && FrontOf(partner) > step) Squash(partner, step);
    }
  }
}

// It is not there any more, from this step on, which is the first of its chain.
void Speculator::Abandon(AgentId id, Step step) {
  Agent& agent = agents_[id];
  if (agent.running != nullptr) Release(*agent.running);
  const std::deque<GuessedStep> chain = std::move(agent.chain);
  std::vector<AgentId> watchers = std::move(agent.watchers);
  agent = Agent();
  agent.watchers = std::move(watchers);
  for (const GuessedStep& guessed : chain) {
    ++stats_.squashed_steps;
    DropCells(guessed, step);
    for (const AgentId partner : guessed.members) {
      if (graph_.StepOf(partner) <= step && FrontOf(partner) > step) Squash(partner, step);
    }
    ++step;
  }
  Drop(id, Proximity::kAbsent);
}

}  // namespace throng::sim
