#include "sim/speculation.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <optional>
#include <queue>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace throng::sim {

namespace {

// Guesses are served after everything that is known to happen.
constexpr int kGuessPriority = 1 << 24;
// What is believed of a class of guesses before any was tried, and how strongly, in guesses.
constexpr double kPriorChance = 0.8;
constexpr double kPriorWeight = 5;
constexpr uint64_t kProbeEvery = 40;

uint64_t ExpectedTokens(const llm::Request& request) {
  const auto known = [](int tokens, size_t otherwise) {
    return tokens >= 0 ? static_cast<uint64_t>(tokens) : uint64_t{otherwise};
  };
  return known(request.known_prompt_tokens, (request.system.size() + request.prompt.size()) / 4) +
         known(request.known_output_tokens, static_cast<size_t>(std::max(request.max_tokens, 0)));
}

size_t LogClass(int64_t value, size_t classes) {
  return std::min<size_t>(static_cast<size_t>(std::bit_width(static_cast<uint64_t>(value))) - 1, classes - 1);
}

}  // namespace

size_t GuessRecord::ClassOf(int64_t margin, int64_t gap, const std::string& asks) {
  const size_t margin_class = margin <= 0 ? 0 : 1 + LogClass(margin, kMargins - 1);
  const size_t function = functions_.emplace(asks, functions_.size()).first->second;
  const size_t guess_class = 1 + (function * kMargins + margin_class) * kGaps + LogClass(gap, kGaps);
  if (guess_class >= counts_.size()) counts_.resize(guess_class + 1);
  return guess_class;
}

double GuessRecord::Chance(size_t guess_class) const {
  const Counts& counts = counts_[guess_class];
  return (counts.right + kPriorChance * kPriorWeight) / (counts.all + kPriorWeight);
}

void GuessRecord::Add(size_t guess_class, bool right) {
  counts_[guess_class].all += 1;
  if (right) counts_[guess_class].right += 1;
}

Speculator::Speculator(const World& world, llm::Llm& llm, const RunOptions& options,
                       const DependencyGraph& graph, const WorldState& state, RunStats& stats)
    : world_(world),
      llm_(llm),
      options_(options.speculation),
      end_step_(options.steps),
      graph_(graph),
      state_(state),
      stats_(stats),
      context_{world, world.GetSpace(), graph, *this, *this, {options.seed, options.seed_changes}},
      agents_(world.NumAgents()) {}

Speculator::~Speculator() {
  for (const auto& cluster : clusters_) cluster->End();
}

// What is guessed of agents

const Body& Speculator::FrontBody(AgentId agent) const {
  const std::deque<GuessedStep>& chain = agents_[agent].chain;
  return chain.empty() ? state_.BodyOf(agent) : chain.back().body;
}

// An agent stays as it is last known.
const Body& Speculator::GuessBody(AgentId agent, Step step) const {
  const Step confirmed = graph_.StepOf(agent);
  if (step <= confirmed) return state_.BodyAt(agent, step);
  const std::deque<GuessedStep>& chain = agents_[agent].chain;
  const auto guessed = static_cast<size_t>(step - confirmed);
  return guessed <= chain.size() ? chain[guessed - 1].body : FrontBody(agent);
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

// A step reads once: what changes while it runs makes it wrong, not different.
std::vector<Neighbour> Speculator::NeighboursOf(AgentId member, Step step) {
  GuessedStep& reads = agents_[member].reads;
  if (reads.looked) return reads.seen;
  reads.looked = true;
  const int radius = graph_.RulesOf(member).radius_p;
  for (AgentId other = 0; other < agents_.size(); ++other) {
    if (other == member) continue;
    const Body& body = GuessBody(other, step);
    if (context_.space.Within(reads.from, body.pos, radius)) reads.seen.push_back({other, body});
  }
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

bool Speculator::MayBegin(AgentId id) const {
  const Agent& agent = agents_[id];
  if (agent.running != nullptr || agent.halted) return false;
  // Done with its part of a step that others still run.
  const bool is_done = agent.confirmed_members > 1 && agent.confirmed_calls == 0;
  if (agent.chain.empty() && agent.confirmed_members > 0 && !is_done) return false;
  const Step step = FrontOf(id);
  return step < end_step_ && step < graph_.StepOf(id) + options_.max_steps && !graph_.IsBarrier(step);
}

// Guesses that those who are as far as this agent and near it run the step with it, and others do not matter.
void Speculator::Begin(AgentId id) {
  const Step step = FrontOf(id);
  std::vector<AgentId> members = {id};
  for (size_t i = 0; i < members.size(); ++i) {
    for (AgentId other = 0; other < agents_.size(); ++other) {
      if (FrontOf(other) != step || !MayBegin(other)) continue;
      if (!context_.space.Within(FrontBody(members[i]).pos, FrontBody(other).pos,
                                 graph_.Reach(members[i], other)))
        continue;
      if (std::find(members.begin(), members.end(), other) == members.end()) members.push_back(other);
    }
  }
  std::sort(members.begin(), members.end());
  if (idle_.empty()) {
    clusters_.push_back(std::make_unique<ClusterRun>(context_));
    idle_.push_back(clusters_.back().get());
  }
  ClusterRun& cluster = *idle_.back();
  idle_.pop_back();
  for (const AgentId member : members) {
    Agent& agent = agents_[member];
    GuessedStep reads;
    reads.members = members;
    reads.body = FrontBody(member);
    reads.from = reads.body.pos;
    reads.mind = agent.chain.empty() ? state_.MindOf(member) : agent.chain.back().mind;
    reads.mind_digest = agent.chain.empty() ? state_.MindDigest(member) : agent.chain.back().mind_digest;
    reads.guess_class = LeastCertain(member, step, members);
    agent.reads = std::move(reads);
    agent.running = &cluster;
  }
  size_t least = 0;
  for (const AgentId member : members) {
    const size_t guess_class = agents_[member].reads.guess_class;
    if (record_.Chance(guess_class) < record_.Chance(least)) least = guess_class;
  }
  for (const AgentId member : members) agents_[member].reads.guess_class = least;
  cluster.Begin(members, step);
  Advance(cluster);
}

void Speculator::Advance(ClusterRun& cluster) {
  try {
    if (!cluster.IsResolving()) {
      if (!cluster.Advance(false) || !cluster.StartResolve()) return;
    } else if (!cluster.ResolveDone()) {
      return;
    }
    Finish(cluster);
  } catch (const Error&) {
    Halt(cluster);
  }
}

// What fails on a guess need not fail in fact.
void Speculator::Halt(ClusterRun& cluster) {
  for (const AgentId member : cluster.MemberIds()) agents_[member].halted = true;
  Release(cluster);
}

void Speculator::Finish(ClusterRun& cluster) {
  cluster.FinishResolve(false);
  const Step step = cluster.GetStep();
  std::vector<AgentId> moved;
  for (MemberCommit& write : cluster.Writes()) {
    Agent& agent = agents_[write.id];
    GuessedStep guessed = std::move(agent.reads);
    if (write.body != guessed.body) moved.push_back(write.id);
    guessed.body = std::move(write.body);
    guessed.mind = std::move(write.mind);
    guessed.mind_digest = write.mind_digest;
    guessed.wrote_cells = !cluster.Cells().empty();
    agent.chain.push_back(std::move(guessed));
    ++stats_.speculated_steps;
  }
  const AgentId first = cluster.Writes().front().id;
  for (CellWrite& cell : cluster.Cells())
    cells_[cell.pos].push_back({step + 1, first, std::move(cell.value)});
  Release(cluster);
  for (const AgentId agent : moved) CheckReaders(agent, step + 1);
}

void Speculator::Release(ClusterRun& cluster) {
  const auto is_of_cluster = [&](const PendingCall* call) {
    return call != nullptr && &call->member.Cluster() == &cluster;
  };
  std::erase_if(parked_, [&](const Parked& parked) { return is_of_cluster(parked.call); });
  for (const auto& [id, guess] : by_id_) {
    if (is_of_cluster(guess->guessing)) guess->guessing = nullptr;
  }
  for (const auto& [id, guess] : real_) {
    if (is_of_cluster(guess->guessing)) guess->guessing = nullptr;
  }
  for (const AgentId member : cluster.MemberIds()) agents_[member].running = nullptr;
  cluster.End();
  idle_.push_back(&cluster);
}

// Finding out that a guess was wrong

bool Speculator::SawOtherwise(AgentId reader, const GuessedStep& reads, Step step, AgentId agent) const {
  if (!reads.looked) return false;
  const Body& body = GuessBody(agent, step);
  const auto seen = std::find_if(reads.seen.begin(), reads.seen.end(),
                                 [&](const Neighbour& neighbour) { return neighbour.id == agent; });
  const bool in_sight = context_.space.Within(reads.from, body.pos, graph_.RulesOf(reader).radius_p);
  return in_sight != (seen != reads.seen.end()) || (in_sight && seen->body != body);
}

// What is known or guessed of this agent has changed from this step on.
void Speculator::CheckReaders(AgentId agent, Step from) {
  for (AgentId other = 0; other < agents_.size(); ++other) {
    if (other == agent || FrontOf(other) < from) continue;
    const Agent& reader = agents_[other];
    const Step confirmed = graph_.StepOf(other);
    const Step front = FrontOf(other);
    for (Step step = std::max(from, confirmed); step <= front; ++step) {
      const bool is_running = step == front;
      if (is_running && reader.running == nullptr) break;
      const GuessedStep& reads =
          is_running ? reader.reads : reader.chain[static_cast<size_t>(step - confirmed)];
      if (!SawOtherwise(other, reads, step, agent)) continue;
      Squash(other, step);
      break;
    }
  }
}

void Speculator::CheckCells(const CommitRecord& record) {
  for (AgentId id = 0; id < agents_.size(); ++id) {
    const Agent& agent = agents_[id];
    const Step confirmed = graph_.StepOf(id);
    const Step front = FrontOf(id);
    for (Step step = std::max(record.step + 1, confirmed); step <= front; ++step) {
      const bool is_running = step == front;
      if (is_running && agent.running == nullptr) break;
      const GuessedStep& reads =
          is_running ? agent.reads : agent.chain[static_cast<size_t>(step - confirmed)];
      const auto is_other = [&](const auto& cell) { return GuessCell(cell.first, step) != cell.second; };
      if (std::none_of(reads.cells.begin(), reads.cells.end(), is_other)) continue;
      Squash(id, step);
      break;
    }
  }
}

void Speculator::DropCells(const GuessedStep& guessed, Step step) {
  if (!guessed.wrote_cells) return;
  for (auto it = cells_.begin(); it != cells_.end();) {
    std::erase_if(it->second, [&](const CellGuess& cell) {
      return cell.by == guessed.members.front() && cell.step == step + 1;
    });
    it = it->second.empty() ? cells_.erase(it) : std::next(it);
  }
}

// The agent's guessed steps from this one on did not happen, nor did they for who ran them together with it.
void Speculator::Squash(AgentId id, Step from) {
  Agent& agent = agents_[id];
  if (agent.running != nullptr) Release(*agent.running);
  agent.halted = false;
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

void Speculator::OnBegin(std::span<const AgentId> members, Step step) {
  for (const AgentId member : members) {
    Agent& agent = agents_[member];
    agent.confirmed_members = members.size();
    if (agent.running != nullptr && agent.running->GetStep() == step) Release(*agent.running);
  }
}

void Speculator::OnCommit(const CommitRecord& record) {
  std::vector<std::optional<GuessedStep>> guesses(record.members.size());
  for (size_t i = 0; i < record.members.size(); ++i) {
    const AgentId id = record.members[i].id;
    Agent& agent = agents_[id];
    agent.confirmed_members = agent.confirmed_calls = 0;
    agent.asks.clear();
    agent.halted = false;
    Drop(id, record.step);
    if (agent.chain.empty()) continue;
    guesses[i] = std::move(agent.chain.front());
    agent.chain.pop_front();
    DropCells(*guesses[i], record.step);
  }
  for (size_t i = 0; i < record.members.size(); ++i) {
    const AgentId id = record.members[i].id;
    const std::optional<GuessedStep>& guess = guesses[i];
    if (guess && guess->body == state_.BodyOf(id) && guess->mind_digest == state_.MindDigest(id)) {
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
  if (!record.cells.empty()) CheckCells(record);
}

// Calls

void Speculator::Submit(llm::Request request, PendingCall& call) {
  Guess* guess = Find(request.key, call.request_digest);
  if (guess == nullptr) {
    agents_[request.key.agent].asks = request.function;
    parked_.push_back({std::move(request), &call});
  } else if (guess->done) {
    call.completion = guess->completion;
    call.answered = true;
  } else {
    guess->guessing = &call;
  }
}

Speculator::Guess* Speculator::Find(const llm::CallKey& key, const Digest& digest) {
  const auto found = guesses_.find(key);
  if (found == guesses_.end()) return nullptr;
  for (const std::unique_ptr<Guess>& guess : found->second) {
    if (guess->digest == digest) return guess.get();
  }
  return nullptr;
}

bool Speculator::Answer(const llm::Request& request, PendingCall& call) {
  Guess* guess = Find(request.key, call.request_digest);
  if (guess == nullptr) return false;
  if (!guess->done) {
    guess->confirmed = &call;
    ++agents_[request.key.agent].confirmed_calls;
    return true;
  }
  llm_.Confirm(guess->request, guess->completion);
  call.completion = std::move(guess->completion);
  call.answered = true;
  outstanding_ -= guess->tokens;
  Learn(*guess, true);
  // From here on it is a call like any other: guesses of the same step may use its answer.
  guess->completion = call.completion;
  guess->real = true;
  return true;
}

void Speculator::OnAsked(uint64_t id, const llm::CallKey& key, const std::string& function,
                         const Digest& digest) {
  auto guess = std::make_unique<Guess>();
  guess->request.key = key;
  guess->digest = digest;
  guess->id = id;
  guess->real = true;
  agents_[key.agent].asks = function;
  real_.emplace(id, guess.get());
  guesses_[key].push_back(std::move(guess));
  ++agents_[key.agent].confirmed_calls;
}

void Speculator::OnAnswered(const llm::Completion& completion) {
  const auto found = real_.find(completion.id);
  THRONG_CHECK(found != real_.end());
  found->second->done = true;
  found->second->completion = completion;
  --agents_[found->second->request.key.agent].confirmed_calls;
  answered_.push_back(completion.id);
}

void Speculator::Erase(const Guess& guess) {
  std::erase_if(guesses_[guess.request.key], [&](const auto& other) { return other.get() == &guess; });
}

// The class of the least certain guess on which this step rests: who could still come into sight unforeseen?
size_t Speculator::LeastCertain(AgentId id, Step step, std::span<const AgentId> members) {
  const Agent& agent = agents_[id];
  size_t least = agent.chain.empty() ? 0 : agent.chain.back().guess_class;
  const Pos pos = FrontBody(id).pos;
  const int radius = graph_.RulesOf(id).radius_p;
  for (AgentId other = 0; other < agents_.size(); ++other) {
    if (std::binary_search(members.begin(), members.end(), other)) continue;
    const int speed = graph_.RulesOf(other).max_vel;
    int64_t gap = int64_t{step} - FrontOf(other);
    if (gap == 0) gap = 1;  // it might have run this step together with them
    const Body* body = &FrontBody(other);
    if (gap < 0) {
      // What it is guessed to be at this step is no better founded than its own guesses.
      const std::deque<GuessedStep>& chain = agents_[other].chain;
      gap = int64_t{step} - graph_.StepOf(other);
      if (gap < 0 || chain.empty()) continue;
      const size_t guess_class = chain[std::min(static_cast<size_t>(gap), chain.size() - 1)].guess_class;
      if (guess_class == 0) continue;
      gap = std::max<int64_t>(gap, 1);
      body = &GuessBody(other, step);
      if (context_.space.Within(pos, body->pos, radius)) {
        if (record_.Chance(guess_class) < record_.Chance(least)) least = guess_class;
        continue;
      }
    }
    const Pos at = body->pos;
    if (!context_.space.Within(pos, at, radius + gap * speed)) continue;
    int64_t margin = 0;
    while (margin < gap * speed && !context_.space.Within(pos, at, radius + margin)) margin = 2 * margin + 1;
    const size_t guess_class = record_.ClassOf(margin, gap, agents_[other].asks);
    if (record_.Chance(guess_class) < record_.Chance(least)) least = guess_class;
  }
  return least;
}

bool Speculator::HasBudget(uint64_t tokens) const {
  const auto confirmed = static_cast<double>(stats_.prompt_tokens + stats_.output_tokens);
  const double cap = options_.waste_share * confirmed + static_cast<double>(options_.waste_burst);
  return static_cast<double>(stats_.wasted_tokens + outstanding_ + tokens) <= cap;
}

// Of the calls that seem too uncertain, one in some is asked all the same: what was wrong once may be right
// now.
bool Speculator::IsLikely(Parked& parked, size_t guess_class) {
  if (parked.is_probe || record_.Chance(guess_class) >= options_.least_chance) return true;
  if (parked.refused) return false;
  parked.refused = true;
  parked.is_probe = ++refused_ % kProbeEvery == 0;
  return parked.is_probe;
}

void Speculator::SendParked(size_t confirmed_in_flight) {
  std::stable_sort(parked_.begin(), parked_.end(),
                   [](const Parked& a, const Parked& b) { return a.request.key.step < b.request.key.step; });
  std::vector<Parked> kept;
  for (Parked& parked : parked_) {
    const llm::CallKey key = parked.request.key;
    const uint64_t tokens = ExpectedTokens(parked.request);
    const size_t guess_class = LeastCertain(key.agent, key.step, agents_[key.agent].reads.members);
    const bool room = confirmed_in_flight + InFlight() < static_cast<size_t>(options_.max_in_flight);
    if (!room || !HasBudget(tokens) || !IsLikely(parked, guess_class)) {
      kept.push_back(std::move(parked));
      continue;
    }
    auto guess = std::make_unique<Guess>();
    guess->request = parked.request;
    guess->digest = parked.call->request_digest;
    guess->tokens = tokens;
    guess->guess_class = guess_class;
    guess->guessing = parked.call;
    parked.request.guess = true;
    parked.request.priority += kGuessPriority;
    guess->id = llm_.Submit(std::move(parked.request));
    outstanding_ += tokens;
    ++stats_.speculated_calls;
    by_id_.emplace(guess->id, guess.get());
    guesses_[key].push_back(std::move(guess));
  }
  parked_ = std::move(kept);
}

// The calls of one step mostly stand and fall together.
void Speculator::Learn(const Guess& guess, bool right) {
  if (guess.request.key.call == 0) record_.Add(guess.guess_class, right);
}

void Speculator::Waste(const Guess& guess) {
  outstanding_ -= guess.tokens;
  stats_.wasted_tokens += guess.tokens;
  ++stats_.wasted_calls;
  Learn(guess, false);
}

// The agent's steps up to this one are done: what they did not ask was asked in vain.
void Speculator::Drop(AgentId agent, Step until) {
  auto it = guesses_.lower_bound({agent, 0, 0});
  while (it != guesses_.end() && it->first.agent == agent && it->first.step <= until) {
    for (const std::unique_ptr<Guess>& guess : it->second) {
      THRONG_CHECK(guess->confirmed == nullptr);
      if (guess->real) {
        real_.erase(guess->id);
        continue;
      }
      Waste(*guess);
      if (guess->done) continue;
      by_id_.erase(guess->id);
      cancelled_.insert(guess->id);
      llm_.Cancel(guess->id);
    }
    it = guesses_.erase(it);
  }
}

void Speculator::Wake(PendingCall& call, const llm::Completion& completion) {
  call.completion = completion;
  MemberRun& member = call.member;
  ClusterRun& cluster = member.Cluster();
  call.waiter.resume();
  try {
    if (!cluster.IsResolving()) cluster.OnProceedResumed(member);
  } catch (const Error&) {
    Halt(cluster);
    return;
  }
  Advance(cluster);
}

PendingCall* Speculator::Deliver(llm::Completion& completion) {
  if (cancelled_.erase(completion.id) > 0) return nullptr;
  const auto found = by_id_.find(completion.id);
  THRONG_CHECK(found != by_id_.end());
  Guess& guess = *found->second;
  by_id_.erase(found);
  const bool failed =
      completion.finish == llm::FinishReason::kError || completion.finish == llm::FinishReason::kCancelled;
  PendingCall* const confirmed = std::exchange(guess.confirmed, nullptr);
  PendingCall* const guessing = std::exchange(guess.guessing, nullptr);
  if (confirmed != nullptr) {
    outstanding_ -= guess.tokens;
    Learn(guess, true);
    --agents_[guess.request.key.agent].confirmed_calls;
    if (completion.finish != llm::FinishReason::kCancelled) llm_.Confirm(guess.request, completion);
    guess.completion = completion;
    guess.real = guess.done = true;
    return confirmed;
  }
  if (failed) {
    Waste(guess);
    Erase(guess);
    if (guessing != nullptr) Halt(guessing->member.Cluster());
    return nullptr;
  }
  outstanding_ -= guess.tokens;
  guess.tokens =
      static_cast<uint64_t>(completion.prompt_tokens) + static_cast<uint64_t>(completion.output_tokens);
  outstanding_ += guess.tokens;
  guess.done = true;
  guess.completion = std::move(completion);
  if (guessing != nullptr) Wake(*guessing, guess.completion);
  return nullptr;
}

void Speculator::Run(size_t confirmed_in_flight) {
  for (const uint64_t id : std::exchange(answered_, {})) {
    const auto found = real_.find(id);
    if (found == real_.end()) continue;  // its step is committed
    Guess& guess = *found->second;
    real_.erase(found);
    if (guess.guessing != nullptr) Wake(*std::exchange(guess.guessing, nullptr), guess.completion);
  }
  using Candidate =
      std::pair<Step, AgentId>;  // those behind first: what they do makes others' guesses better
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  for (AgentId agent = 0; agent < agents_.size(); ++agent) {
    if (MayBegin(agent)) candidates.emplace(FrontOf(agent), agent);
  }
  while (!candidates.empty()) {
    const auto [step, agent] = candidates.top();
    candidates.pop();
    if (!MayBegin(agent) || FrontOf(agent) != step) continue;
    Begin(agent);
    if (MayBegin(agent)) candidates.emplace(FrontOf(agent), agent);
  }
  SendParked(confirmed_in_flight);
}

void Speculator::Forget(uint64_t id) {
  by_id_.erase(id);
  cancelled_.erase(id);
}

void Speculator::CancelAll() {
  for (const auto& [id, guess] : by_id_) {
    llm_.Cancel(id);
    cancelled_.insert(id);
  }
  by_id_.clear();
}

}  // namespace throng::sim
