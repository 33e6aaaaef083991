// The calls of guessed steps: sending, keeping, using and giving up their answers.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "sim/guess/speculation.h"

namespace throng::sim {

namespace {

// Guesses are served after everything that is known to happen.
constexpr int kGuessPriority = 1 << 24;
// Open guesses weigh as many times what they are expected to waste: they are wrong together.
constexpr double kExpectedWeight = 3;

uint64_t ExpectedTokens(const llm::Request& request) {
  const auto known = [](int tokens, size_t otherwise) {
    return tokens >= 0 ? static_cast<uint64_t>(tokens) : uint64_t{otherwise};
  };
  return known(request.known_prompt_tokens, (request.system.size() + request.prompt.size()) / 4) +
         known(request.known_output_tokens, static_cast<size_t>(std::max(request.max_tokens, 0)));
}

}  // namespace

void Speculator::Submit(llm::Request&& request, PendingCall& call) {
  Guess* guess = Find(request.key, call.request_digest);
  if (guess == nullptr) {
    agents_[request.key.agent].asks = request.function;
    asked_.push_back({std::move(request), &call});
  } else if (guess->done) {
    answer_ = guess->completion;
    call.answer = &answer_;
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
  if (request.key.call == 0) agents_[request.key.agent].first_call = call.request_digest;
  Guess* guess = Find(request.key, call.request_digest);
  if (guess == nullptr) return false;
  if (!guess->done) {
    guess->confirmed = &call;
    ++agents_[request.key.agent].confirmed_calls;
    return true;
  }
  llm_.Confirm(guess->request, guess->completion);
  answer_ = guess->completion;
  call.answer = &answer_;
  Close(*guess);
  // From here on it is a call like any other: guesses of the same step may use its answer.
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
  Consider(found->second->request.key.agent);
  answered_.push_back(completion.id);
}

void Speculator::Erase(const Guess& guess) {
  std::erase_if(guesses_[guess.request.key], [&](const auto& other) { return other.get() == &guess; });
}

// The more of the allowed waste is used, the likelier a guess must be.
bool Speculator::IsWorth(uint64_t tokens, double chance) const {
  if (open_tokens_ + tokens > options_.max_open_tokens) return false;
  const auto confirmed = static_cast<double>(stats_.prompt_tokens + stats_.output_tokens);
  const double allowed = options_.waste_share * confirmed + static_cast<double>(options_.waste_burst);
  const double expected = expected_waste_ * kExpectedWeight + static_cast<double>(tokens) * (1 - chance);
  const double used = (static_cast<double>(stats_.wasted_tokens) + expected) / allowed;
  return used <= 1 && chance >= options_.least_chance + (1 - options_.least_chance) * used;
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
    const llm::CallKey key = parked.request.key;
    const uint64_t tokens = ExpectedTokens(parked.request);
    if (!IsWorth(tokens, parked.chance)) {
      ++it;
      continue;
    }
    auto guess = std::make_unique<Guess>();
    guess->request = parked.request;
    guess->digest = parked.call->request_digest;
    guess->tokens = tokens;
    guess->expected_waste = static_cast<double>(tokens) * (1 - parked.chance);
    guess->guessing = parked.call;
    parked.request.guess = true;
    parked.request.priority += kGuessPriority;
    guess->id = parked.request.id = ++last_request_id_;
    llm_.Submit(std::move(parked.request));
    open_tokens_ += tokens;
    expected_waste_ += guess->expected_waste;
    ++stats_.speculated_calls;
    by_id_.emplace(guess->id, guess.get());
    guesses_[key].push_back(std::move(guess));
    it = parked_.erase(it);
  }
}

// Its outcome is known.
void Speculator::Close(const Guess& guess) {
  open_tokens_ -= guess.tokens;
  expected_waste_ -= guess.expected_waste;
}

void Speculator::Waste(const Guess& guess) {
  Close(guess);
  stats_.wasted_tokens += guess.tokens;
  ++stats_.wasted_calls;
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

void Speculator::Wake(PendingCall& call, llm::Completion completion) {
  call.answer = &completion;
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
    Close(guess);
    --agents_[guess.request.key.agent].confirmed_calls;
    Consider(guess.request.key.agent);
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
  open_tokens_ -= guess.tokens;
  guess.tokens =
      static_cast<uint64_t>(completion.prompt_tokens) + static_cast<uint64_t>(completion.output_tokens);
  open_tokens_ += guess.tokens;
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
