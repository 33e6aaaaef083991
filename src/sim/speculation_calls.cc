// The calls of guessed steps: sending, keeping, using and giving up their answers.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "sim/speculation.h"

namespace throng::sim {

namespace {

// Guesses are served after everything that is known to happen.
constexpr int kGuessPriority = 1 << 24;
constexpr uint64_t kProbeEvery = 40;  // of the calls that seem too uncertain, one is asked all the same

uint64_t ExpectedTokens(const llm::Request& request) {
  const auto known = [](int tokens, size_t otherwise) {
    return tokens >= 0 ? static_cast<uint64_t>(tokens) : uint64_t{otherwise};
  };
  return known(request.known_prompt_tokens, (request.system.size() + request.prompt.size()) / 4) +
         known(request.known_output_tokens, static_cast<size_t>(std::max(request.max_tokens, 0)));
}

}  // namespace

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
      body = GuessBody(other, step);
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
