#include "sim/guess/hypothetical_world.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace throng::sim {

namespace {

Digest DigestOf(const Post& post) {
  return Hasher().Add(post.id.by).Add(post.id.step).Add(post.id.number).Add(post.text).Finish();
}

}  // namespace

HypotheticalWorld::HypotheticalWorld(const World& world, const DependencyGraph& graph,
                                     const WorldState& state, Step max_steps, Observer& observer,
                                     GuessStats& stats)
    : world_(world),
      space_(world.GetSpace()),
      graph_(graph),
      state_(state),
      max_steps_(max_steps),
      observer_(observer),
      stats_(stats),
      agents_(world.NumAgents()) {
  for (AgentId agent = 0; agent < agents_.size(); ++agent) {
    max_speed_ = std::max<int64_t>(max_speed_, graph_.RulesOf(agent).max_vel);
    max_radius_ = std::max<int64_t>(max_radius_, graph_.RulesOf(agent).radius_p);
  }
}

// What is guessed of agents and cells

const Body& HypotheticalWorld::FrontBody(AgentId agent) const {
  const std::deque<GuessedStep>& chain = agents_[agent].chain;
  return chain.empty() ? state_.BodyOf(agent) : chain.back().body;
}

// A world need not know what follows from a guessed state, which may never be: then the agent is taken to
// stay as it is.
World::Expectation HypotheticalWorld::ExpectationOf(AgentId id, Step front, const MindPtr& mind,
                                                    Step later) const {
  try {
    return world_.Expect(id, front, FrontBody(id), mind, later);
  } catch (const std::exception& thrown) {
    if (!HasGuesses(id) || EndsRun(thrown)) throw;
    return {FrontBody(id), false};
  }
}

World::Expectation HypotheticalWorld::Expect(AgentId id, Step step) {
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
    agent.expected.push_back(ExpectationOf(id, front, mind, later));
  }
  return agent.expected[static_cast<size_t>(step - front - 1)];
}

std::string HypotheticalWorld::GuessCell(Pos pos, Step step) const {
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

std::vector<AgentId> HypotheticalWorld::FindAround(Pos pos, int64_t distance, Step step) const {
  // The graph keeps agents that are many steps behind far away.
  constexpr Step kFarBehind = 3;  // in multiples of max_steps_
  const Step lag = std::max({0, step - graph_.BaseStep(), graph_.FrontStep() - step});
  std::vector<AgentId> found;
  graph_.FindNear(pos, distance + max_speed_ * std::min(lag, kFarBehind * max_steps_), found);
  return found;
}

void HypotheticalWorld::FindReaders(Pos pos, std::vector<AgentId>& found) const {
  graph_.FindNear(pos, max_radius_ + max_speed_ * max_steps_, found);
}

// Reads of guessed steps. A step reads each thing once: a change while it runs makes the step wrong, not its
// reads different.

std::vector<Neighbour> HypotheticalWorld::NeighboursOf(AgentId member, Step step) {
  GuessedStep& reads = agents_[member].reads;
  if (reads.looked) return reads.seen;
  reads.looked = true;
  const int radius = graph_.RulesOf(member).radius_p;
  for (const AgentId other : FindAround(reads.from, radius, step)) {
    if (other == member) continue;
    if (!IsThere(other, step)) continue;
    const int64_t reach = max_speed_ * std::abs(int64_t{step} - graph_.StepOf(other));
    if (!space_.Within(reads.from, state_.BodyOf(other).pos, radius + reach)) continue;
    std::vector<AgentId>& watchers = agents_[other].watchers;
    if (std::find(watchers.begin(), watchers.end(), member) == watchers.end()) watchers.push_back(member);
    Body body = Expect(other, step).body;
    if (space_.Within(reads.from, body.pos, radius)) reads.seen.push_back({other, std::move(body)});
  }
  std::sort(reads.seen.begin(), reads.seen.end(),
            [](const Neighbour& a, const Neighbour& b) { return a.id < b.id; });
  return reads.seen;
}

std::string HypotheticalWorld::CellFor(AgentId member, Pos pos, Step step) {
  std::vector<std::pair<Pos, std::string>>& cells = agents_[member].reads.cells;
  const auto found =
      std::find_if(cells.begin(), cells.end(), [&](const auto& cell) { return cell.first == pos; });
  if (found != cells.end()) return found->second;
  cells.emplace_back(pos, GuessCell(pos, step));
  return cells.back().second;
}

// The author's posts as known, and those of its guessed steps.
void HypotheticalWorld::VisitGuessedPosts(AgentId author, Step step, const PostVisitor& visit) const {
  const PostBoard& board = state_.Posts();
  board.VisitPosts(author, step, visit);
  for (const GuessedStep& guessed : agents_[author].chain) {
    for (const Post& post : guessed.posts) {
      if (board.GetRules().IsReadIn(step, post.id.step)) visit(post);
    }
  }
}

void HypotheticalWorld::VisitPosts(AgentId member, AgentId author, Step step, const PostVisitor& visit) {
  GuessedStep& reads = agents_[member].reads;
  reads.authors.push_back(author);
  VisitGuessedPosts(author, step, [&](const Post& post) {
    reads.read_posts += DigestOf(post);
    visit(post);
  });
}

void HypotheticalWorld::CheckPosts(AgentId reader) {
  const Step step = graph_.StepOf(reader);
  const auto is_otherwise = [&](const GuessedStep& reads, Step at) {
    if (at != step || reads.authors.empty()) return false;
    Digest now;
    for (const AgentId author : reads.authors) {
      VisitGuessedPosts(author, step, [&](const Post& post) { now += DigestOf(post); });
    }
    return now != reads.read_posts;
  };
  if (FirstWrong(reader, step, is_otherwise)) Squash(reader, step);
}

// Growing and confirming chains

void HypotheticalWorld::Begin(ClusterRun& cluster) {
  std::vector<AgentId> members;
  for (const MemberRun& member : cluster.Members()) members.push_back(member.Self());
  for (const AgentId id : members) {
    Agent& agent = agents_[id];
    GuessedStep reads;
    reads.members = members;
    reads.body = FrontBody(id);
    reads.from = reads.body.pos;
    reads.mind = agent.chain.empty() ? state_.MindOf(id) : agent.chain.back().mind;
    reads.mind_digest = agent.chain.empty() ? state_.MindDigest(id) : agent.chain.back().mind_digest;
    agent.reads = std::move(reads);
    agent.running = &cluster;
  }
}

void HypotheticalWorld::Stop(const ClusterRun& cluster) {
  for (const MemberRun& member : cluster.Members()) agents_[member.Self()].running = nullptr;
}

std::vector<AgentId> HypotheticalWorld::Add(ClusterRun& cluster) {
  std::vector<AgentId> moved;
  for (MemberCommit& write : cluster.Writes()) {
    Agent& agent = agents_[write.id];
    GuessedStep guessed = std::move(agent.reads);
    if (write.body != guessed.body) moved.push_back(write.id);
    guessed.body = std::move(write.body);
    guessed.mind = std::move(write.mind);
    guessed.mind_digest = write.mind_digest;
    for (const CellWrite& cell : cluster.Cells()) guessed.written.push_back(cell.pos);
    for (const Post& post : cluster.Posts()) {
      if (post.id.by == write.id) guessed.posts.push_back(post);
    }
    guessed.removed = write.removed;
    agent.chain.push_back(std::move(guessed));
    agent.expected.clear();
    ++stats_.speculated_steps;
  }
  const AgentId first = cluster.Writes().front().id;
  for (CellWrite& cell : cluster.Cells()) {
    cells_[cell.pos].push_back({cluster.GetStep() + 1, first, std::move(cell.value)});
    changed_cells_.push_back(cell.pos);
  }
  return moved;
}

std::optional<HypotheticalWorld::GuessedStep> HypotheticalWorld::TakeConfirmed(AgentId id, Step step) {
  Agent& agent = agents_[id];
  std::optional<GuessedStep> guess;
  if (!agent.chain.empty()) {
    guess = std::move(agent.chain.front());
    agent.chain.pop_front();
    DropCells(*guess, step);
  }
  if (agent.chain.empty()) agent.expected.clear();
  return guess;
}

// Finding wrong guesses

// The first step from `from` on whose reads are wrong: is_otherwise(reads, step).
template <typename IsOtherwise>
std::optional<Step> HypotheticalWorld::FirstWrong(AgentId id, Step from,
                                                  const IsOtherwise& is_otherwise) const {
  const Agent& reader = agents_[id];
  const Step confirmed = graph_.StepOf(id);
  const Step front = FrontOf(id);
  for (Step step = std::max(from, confirmed); step <= front; ++step) {
    const bool is_running = step == front;
    if (is_running && reader.running == nullptr) break;
    const GuessedStep& reads =
        is_running ? reader.reads : reader.chain[static_cast<size_t>(step - confirmed)];
    if (is_otherwise(reads, step)) return step;
  }
  return std::nullopt;
}

bool HypotheticalWorld::SawOtherwise(AgentId reader, const GuessedStep& reads, AgentId agent,
                                     const Body* body) const {
  if (!reads.looked) return false;
  const auto seen = std::find_if(reads.seen.begin(), reads.seen.end(),
                                 [&](const Neighbour& neighbour) { return neighbour.id == agent; });
  const bool in_sight =
      body != nullptr && space_.Within(reads.from, body->pos, graph_.RulesOf(reader).radius_p);
  return in_sight != (seen != reads.seen.end()) || (in_sight && seen->body != *body);
}

void HypotheticalWorld::CheckReaders(AgentId agent, Step from) {
  std::vector<Body> bodies;  // at `from` and the steps after it
  const std::vector<AgentId> watchers = std::exchange(agents_[agent].watchers, {});
  for (const AgentId reader : watchers) {
    if (!IsGuessing(agents_[reader])) continue;  // no longer a watcher
    agents_[agent].watchers.push_back(reader);
    const std::optional<Step> wrong = FirstWrong(reader, from, [&](const GuessedStep& reads, Step step) {
      const auto index = static_cast<size_t>(step - from);
      while (bodies.size() <= index)
        bodies.push_back(Expect(agent, from + static_cast<Step>(bodies.size())).body);
      return SawOtherwise(reader, reads, agent, IsThere(agent, step) ? &bodies[index] : nullptr);
    });
    if (!wrong) continue;
    observer_.OnSeenOtherwise(reader, *wrong, agent);
    Squash(reader, *wrong);
  }
}

void HypotheticalWorld::CheckBirth(const MemberCommit& born, Step step) {
  std::vector<AgentId> readers;
  FindReaders(born.body.pos, readers);
  std::erase(readers, born.id);
  agents_[born.id].watchers = std::move(readers);
  CheckReaders(born.id, step);
}

void HypotheticalWorld::CheckCells() {
  while (!changed_cells_.empty()) CheckChangedCells();  // squashing changes further cells
}

void HypotheticalWorld::CheckChangedCells() {
  std::vector<Pos> changed = std::exchange(changed_cells_, {});
  std::sort(changed.begin(), changed.end());
  changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
  std::vector<std::pair<AgentId, Pos>> readings;
  std::vector<AgentId> readers;
  for (const Pos pos : changed) {
    readers.clear();
    FindReaders(pos, readers);
    for (const AgentId reader : readers) {
      if (IsGuessing(agents_[reader])) readings.emplace_back(reader, pos);
    }
  }
  std::sort(readings.begin(), readings.end());
  for (auto it = readings.begin(); it != readings.end();) {
    const AgentId reader = it->first;
    const auto first = it;
    while (it != readings.end() && it->first == reader) ++it;
    const int radius = graph_.RulesOf(reader).radius_p;
    const std::optional<Step> wrong =
        FirstWrong(reader, graph_.StepOf(reader), [&](const GuessedStep& reads, Step step) {
          return std::any_of(first, it, [&](const auto& reading) {
            const Pos pos = reading.second;
            if (reads.cells.empty() || !space_.Within(reads.from, pos, radius)) return false;
            const auto cell = std::find_if(reads.cells.begin(), reads.cells.end(),
                                           [&](const auto& read) { return read.first == pos; });
            return cell != reads.cells.end() && GuessCell(pos, step) != cell->second;
          });
        });
    if (wrong) Squash(reader, *wrong);
  }
}

// Dropping guesses

void HypotheticalWorld::DropCells(const GuessedStep& guessed, Step step) {
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

void HypotheticalWorld::Squash(AgentId id, Step from) {
  observer_.OnSquash(id);
  Agent& agent = agents_[id];
  agent.expected.clear();
  const Step confirmed = graph_.StepOf(id);
  while (!agent.chain.empty() && FrontOf(id) > std::max(from, confirmed)) {
    const Step step = FrontOf(id) - 1;
    const GuessedStep guessed = std::move(agent.chain.back());
    agent.chain.pop_back();
    ++stats_.squashed_steps;
    DropCells(guessed, step);
    SquashPartners(guessed, step);
  }
}

void HypotheticalWorld::SquashPartners(const GuessedStep& guessed, Step step) {
  for (const AgentId partner : guessed.members) {
    if (graph_.StepOf(partner) <= step && FrontOf(partner) > step) Squash(partner, step);
  }
}

void HypotheticalWorld::Abandon(AgentId id, Step step) {
  const std::deque<GuessedStep> chain = std::move(agents_[id].chain);
  std::vector<AgentId> watchers = std::move(agents_[id].watchers);
  agents_[id] = Agent();
  agents_[id].watchers = std::move(watchers);
  for (const GuessedStep& guessed : chain) {
    ++stats_.squashed_steps;
    DropCells(guessed, step);
    SquashPartners(guessed, step);
    ++step;
  }
}

}  // namespace throng::sim
