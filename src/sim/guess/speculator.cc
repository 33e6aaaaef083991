#include "sim/guess/speculator.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace throng::sim {

namespace {

// Guessed steps may wait for answers, or for being asked, by this multiple of the requests in flight.
constexpr size_t kMostWaiting = 4;

}  // namespace

Speculator::Speculator(const RunContext& run, llm::Llm& llm, const SpeculationOptions& options, Step end_step,
                       const WorldState& state, RunStats& stats, uint64_t& last_request_id)
    : llm_(llm),
      options_(options),
      end_step_(end_step),
      graph_(run.graph),
      state_(state),
      stats_(stats),
      last_request_id_(last_request_id),
      hypothetical_(run.world, run.graph, state, options_.max_steps, *this, stats),
      requests_(llm, options_, stats, last_request_id),
      forecasts_(run.space, run.graph),
      context_{run.world, run.space, run.graph, hypothetical_, *this, run.seeds, run.effect_of},
      agents_(run.world.NumAgents()) {
  for (AgentId agent = 0; agent < agents_.size(); ++agent) Consider(agent);
}

// Which agents may run a step on a guess

void Speculator::Consider(AgentId id) {
  if (std::exchange(agents_[id].considered, true)) return;
  considered_.push_back(id);
}

bool Speculator::MayJoin(AgentId id) const {
  const Agent& agent = agents_[id];
  if (hypothetical_.RunningOf(id) != nullptr || hypothetical_.IsRemoved(id)) return false;
  // The agent is done with its part of a step that others still run.
  const bool is_done = agent.confirmed_members > 1 && agent.confirmed_calls == 0;
  if (!hypothetical_.HasGuesses(id) && agent.confirmed_members > 0 && !is_done) return false;
  const Step step = hypothetical_.FrontOf(id);
  const Step ahead = step - graph_.StepOf(id);
  return step < end_step_ && ahead < options_.max_steps &&
         (ahead < options_.near_steps || requests_.NumSteps(id) <= options_.max_far_asked);
}

// What failed alone may succeed together with an agent that has caught up, as in a conversation.
bool Speculator::MayBegin(AgentId id) const { return !agents_[id].halted && MayJoin(id); }

// Guesses that the agents at the same step and near or linked to this one run the step with it, and that no
// others matter.
std::vector<AgentId> Speculator::ClusterOf(AgentId id) const {
  const Step step = hypothetical_.FrontOf(id);
  std::vector<AgentId> members = {id};
  const auto add = [&](AgentId other) {
    if (hypothetical_.FrontOf(other) != step || !MayJoin(other)) return;
    if (std::find(members.begin(), members.end(), other) == members.end()) members.push_back(other);
  };
  for (size_t i = 0; i < members.size(); ++i) {
    for (const AgentId other : graph_.LinkedTo(members[i], step)) add(other);
    const Pos pos = hypothetical_.FrontBody(members[i]).pos;
    const int64_t reach = 2 * (graph_.RulesOf(members[i]).radius_p + hypothetical_.MaxSpeed());
    for (const AgentId other : hypothetical_.FindAround(pos, reach, step)) {
      if (graph_.AreCoupledAt(members[i], pos, other, hypothetical_.FrontBody(other).pos)) add(other);
    }
  }
  std::sort(members.begin(), members.end());
  return members;
}

// Running guessed steps

void Speculator::Begin(AgentId id) {
  const std::vector<AgentId> members = ClusterOf(id);
  ClusterRun& cluster =
      *clusters_.emplace_back(ClusterRun::Make(context_, members, hypothetical_.FrontOf(id)));
  hypothetical_.Begin(cluster);
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
  } catch (const std::exception& thrown) {
    if (EndsRun(thrown)) throw;
    Halt(cluster);
    return;
  }
  Finish(cluster);
}

// A failure on a guess need not happen in the confirmed step.
void Speculator::Halt(ClusterRun& cluster) {
  for (const MemberRun& member : cluster.Members()) agents_[member.Self()].halted = true;
  Release(cluster);
}

void Speculator::Finish(ClusterRun& cluster) {
  const Step next = cluster.GetStep() + 1;
  const std::vector<AgentId> moved = hypothetical_.Add(cluster);
  End(cluster);
  for (const AgentId agent : moved) hypothetical_.CheckReaders(agent, next);
}

void Speculator::Release(ClusterRun& cluster) {
  const auto is_of_cluster = [&](const Parked& parked) { return &parked.call->member.Cluster() == &cluster; };
  std::erase_if(asked_, is_of_cluster);
  std::erase_if(parked_, [&](const auto& entry) { return is_of_cluster(entry.second); });
  requests_.Detach(cluster);
  CancelElsewhere(cluster);
  End(cluster);
}

// The cluster waits for no call.
void Speculator::End(ClusterRun& cluster) {
  hypothetical_.Stop(cluster);
  for (const MemberRun& member : cluster.Members()) Consider(member.Self());
  // Most end as soon as they have begun.
  const auto found = std::find_if(clusters_.rbegin(), clusters_.rend(),
                                  [&](const ClusterPtr& other) { return other.get() == &cluster; });
  THRONG_CHECK(found != clusters_.rend());
  clusters_.erase(found.base() - 1);
}

void Speculator::ReleaseRunOf(AgentId agent) {
  if (ClusterRun* running = hypothetical_.RunningOf(agent)) Release(*running);
}

void Speculator::CancelElsewhere(const ClusterRun& cluster) {
  for (auto& [id, call] : elsewhere_) {
    if (call == nullptr || &call->member.Cluster() != &cluster) continue;
    llm_.Cancel(id);
    call = nullptr;
  }
}

void Speculator::CancelAll() {
  requests_.CancelAll();
  for (const auto& [id, call] : elsewhere_) llm_.Cancel(id);
}

void Speculator::Run(size_t confirmed_in_flight) {
  while (std::optional<GuessedRequests::Answered> answered = requests_.TakeAnswered()) {
    Wake(*answered->guessing, std::move(answered->completion));
  }
  BeginGuesses(confirmed_in_flight);
  SendParked(confirmed_in_flight);
}

// What cannot be asked soon is not guessed now, but when it can, from what is known then.
bool Speculator::HasRoom(size_t confirmed_in_flight) const {
  const auto most = static_cast<size_t>(options_.max_in_flight);
  return confirmed_in_flight + InFlight() < most && clusters_.size() < kMostWaiting * most;
}

// Agents behind go first: their steps make others' guesses better.
void Speculator::BeginGuesses(size_t confirmed_in_flight) {
  while (HasRoom(confirmed_in_flight)) {
    for (const AgentId agent : std::exchange(considered_, {})) {
      agents_[agent].considered = false;
      if (MayBegin(agent)) candidates_.emplace(hypothetical_.FrontOf(agent), agent);
    }
    if (candidates_.empty()) return;
    const auto [step, agent] = candidates_.top();
    candidates_.pop();
    // An agent whose step has changed was considered again.
    if (MayBegin(agent) && hypothetical_.FrontOf(agent) == step) Begin(agent);
  }
}

// How confirmed steps affect guesses

void Speculator::OnBegin(std::span<const AgentId> members, Step step) {
  for (const AgentId member : members) {
    agents_[member].confirmed_members = members.size();
    Consider(member);
    ClusterRun* running = hypothetical_.RunningOf(member);
    if (running != nullptr && running->GetStep() == step) Release(*running);
  }
}

void Speculator::OnCommit(const CommitRecord& record) {
  ++commits_;
  std::vector<AgentId> members;
  for (const MemberCommit& member : record.members) members.push_back(member.id);
  forecasts_.Learn(members, record.step);
  std::vector<std::optional<HypotheticalWorld::GuessedStep>> guesses(record.members.size());
  for (size_t i = 0; i < record.members.size(); ++i) {
    const AgentId id = record.members[i].id;
    Agent& agent = agents_[id];
    agent.confirmed_members = agent.confirmed_calls = 0;
    agent.halted = false;
    Consider(id);
    requests_.Drop(id, record.step);
    guesses[i] = hypothetical_.TakeConfirmed(id, record.step);
    if (record.members[i].removed) Abandon(id, record.step + 1);
  }
  for (size_t i = 0; i < record.members.size(); ++i) CheckCommit(record.members[i], record.step, guesses[i]);
  for (const MemberCommit& member : record.members) {
    if (!member.removed) hypothetical_.CheckPosts(member.id);
  }
  for (const MemberCommit& born : record.born) {
    Consider(born.id);
    hypothetical_.CheckBirth(born, record.step + 1);
  }
  for (const CellWrite& cell : record.cells) hypothetical_.NoteCellChange(cell.pos);
  hypothetical_.CheckCells();
}

// A guess that left the same state as the confirmed step stands, as do the guesses after it.
void Speculator::CheckCommit(const MemberCommit& commit, Step step,
                             const std::optional<HypotheticalWorld::GuessedStep>& guess) {
  const AgentId id = commit.id;
  if (guess && guess->body == state_.BodyOf(id) && guess->mind_digest == state_.MindDigest(id) &&
      guess->removed == commit.removed) {
    ++stats_.confirmed_steps;
    return;
  }
  hypothetical_.Squash(id, step + 1);
  if (guess) {
    ++stats_.squashed_steps;
    hypothetical_.SquashPartners(*guess, step);
  }
  hypothetical_.CheckReaders(id, step + 1);
}

void Speculator::OnIntervention(const InterventionRecord& record) {
  for (const MemberCommit& agent : record.agents) {
    if (agent.removed) Abandon(agent.id, record.step);
  }
  for (AgentId agent = 0; agent < agents_.size(); ++agent) hypothetical_.Squash(agent, record.step);
}

void Speculator::Abandon(AgentId id, Step step) {
  ReleaseRunOf(id);
  agents_[id] = Agent();
  forecasts_.Forget(id);
  hypothetical_.Abandon(id, step);
  requests_.Drop(id, Proximity::kAbsent);
}

void Speculator::OnSeenOtherwise(AgentId reader, Step step, AgentId seen) {
  forecasts_.Spoil(reader, step, seen);
}

void Speculator::OnSquash(AgentId agent) {
  ReleaseRunOf(agent);
  agents_[agent].halted = false;
  Consider(agent);
}

// Calls

void Speculator::Submit(llm::Request&& request, PendingCall& call) {
  GuessedRequests::Guess* guess = requests_.Find(request.key, call.request_digest);
  if (guess == nullptr) {
    forecasts_.NoteFunction(request.key.agent, request.function);
    // What does something to the world outside is not asked on a guess: the guessed step waits until the
    // confirmed one ends it.
    if (request.effect == llm::Effect::kPure) asked_.push_back({std::move(request), &call});
  } else if (guess->done) {
    answer_ = guess->completion;
    call.answer = &answer_;
  } else {
    guess->guessing = &call;
  }
}

void Speculator::Begin(const std::function<void(uint64_t id, bool guess)>& begin, PendingCall& call) {
  const uint64_t id = ++last_request_id_;
  begin(id, /*guess=*/true);
  elsewhere_.emplace(id, &call);
}

bool Speculator::Answer(const llm::Request& request, PendingCall& call) {
  if (request.key.call == 0) forecasts_.NoteFirstCall(request.key.agent, call.request_digest);
  GuessedRequests::Guess* guess = requests_.Find(request.key, call.request_digest);
  if (guess == nullptr) return false;
  if (!guess->done) {
    requests_.Adopt(*guess, request, call);
    ++agents_[request.key.agent].confirmed_calls;
    return true;
  }
  requests_.Confirm(*guess, request);
  answer_ = guess->completion;
  call.answer = &answer_;
  return true;
}

void Speculator::OnAsked(uint64_t id, const llm::CallKey& key, const std::string& function,
                         const Digest& digest) {
  requests_.NoteAsked(id, key, digest, TakeParked(key, digest));
  forecasts_.NoteFunction(key.agent, function);
  ++agents_[key.agent].confirmed_calls;
}

// The guessed call that waits to be asked the same: a member that is done with its part of a step has guessed
// how the others end it, and they have come so far themselves. Null if there is none.
PendingCall* Speculator::TakeParked(const llm::CallKey& key, const Digest& digest) {
  const auto is_same = [&](const Parked& parked) {
    return parked.request.key == key && parked.call->request_digest == digest;
  };
  if (const auto it = std::find_if(asked_.begin(), asked_.end(), is_same); it != asked_.end()) {
    PendingCall* const call = it->call;
    asked_.erase(it);
    return call;
  }
  const auto [first, last] = parked_.equal_range(key.step);
  const auto it = std::find_if(first, last, [&](const auto& entry) { return is_same(entry.second); });
  if (it == last) return nullptr;
  PendingCall* const call = it->second.call;
  parked_.erase(it);
  return call;
}

void Speculator::OnAnswered(const llm::Completion& completion) {
  requests_.NoteAnswered(completion);
  NoteConfirmedAnswer(completion.key.agent);
}

void Speculator::NoteConfirmedAnswer(AgentId agent) {
  --agents_[agent].confirmed_calls;
  Consider(agent);
}

PendingCall* Speculator::Deliver(llm::Completion& completion) {
  if (const auto node = elsewhere_.extract(completion.id); !node.empty()) {
    if (node.mapped() != nullptr) Wake(*node.mapped(), std::move(completion));
    return nullptr;
  }
  GuessedRequests::Delivery delivery = requests_.Deliver(completion);
  if (delivery.confirmed != nullptr) {
    NoteConfirmedAnswer(delivery.confirmed->member.Self());
    return delivery.confirmed;
  }
  if (delivery.guessing == nullptr) return nullptr;
  if (delivery.completion) {
    Wake(*delivery.guessing, std::move(*delivery.completion));
  } else {
    Halt(delivery.guessing->member.Cluster());
  }
  return nullptr;
}

void Speculator::Wake(PendingCall& call, llm::Completion completion) {
  call.answer = &completion;
  MemberRun& member = call.member;
  ClusterRun& cluster = member.Cluster();
  call.waiter.resume();
  try {
    if (!cluster.IsResolving()) cluster.OnProceedResumed(member);
  } catch (const std::exception& thrown) {
    if (EndsRun(thrown)) throw;
    Halt(cluster);
    return;
  }
  Advance(cluster);
}

// Estimates the call's chance and records its forecast. The chance changes as the agents that it depends on
// advance.
void Speculator::Weigh(Parked& parked) {
  if (commits_ < parked.weighed_before) return;
  const llm::CallKey key = parked.request.key;
  std::vector<Risk> risks =
      forecasts_.RisksOf(hypothetical_, key.agent, key.step, hypothetical_.MembersOf(key.agent));
  parked.chance = forecasts_.ChanceOf(risks);
  // Weighs it again only after a while, so that a commit pays for only a share of all parked calls.
  parked.weighed_before = commits_ + 1 + std::max(risks.size() / 2, parked_.size() / 8);
  if (key.call == 0) forecasts_.Add(key.agent, key.step, parked.call->request_digest, std::move(risks));
}

void Speculator::SendParked(size_t confirmed_in_flight) {
  for (Parked& asked : std::exchange(asked_, {})) {
    Weigh(asked);
    parked_.emplace(asked.request.key.step, std::move(asked));
  }
  for (auto it = parked_.begin(); it != parked_.end();) {
    if (confirmed_in_flight + InFlight() >= static_cast<size_t>(options_.max_in_flight)) return;
    Parked& parked = it->second;
    Weigh(parked);
    if (!requests_.IsWorthAsking(parked.request, parked.chance)) {
      ++it;
      continue;
    }
    requests_.Ask(std::move(parked.request), *parked.call, parked.chance);
    it = parked_.erase(it);
  }
}

}  // namespace throng::sim
