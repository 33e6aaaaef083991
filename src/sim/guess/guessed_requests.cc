#include "sim/guess/guessed_requests.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace throng::sim {

namespace {

// The backend serves guesses after all confirmed requests.
constexpr int kGuessPriority = 1 << 24;
// Factor on the expected waste of open guesses, because they tend to be wrong together.
constexpr double kExpectedWeight = 3;
// The least chance of a trial: below what is assumed where nothing is known.
constexpr double kTrialChance = 0.3;

uint64_t ExpectedTokens(const llm::Request& request) {
  const auto known = [](int tokens, size_t otherwise) {
    return tokens >= 0 ? static_cast<uint64_t>(tokens) : uint64_t{otherwise};
  };
  return known(request.known_prompt_tokens, (request.system.size() + request.prompt.size()) / 4) +
         known(request.known_output_tokens, static_cast<size_t>(std::max(request.max_tokens, 0)));
}

}  // namespace

GuessedRequests::Guess* GuessedRequests::Find(const llm::CallKey& key, const Digest& digest) {
  const auto found = guesses_.find(key);
  if (found == guesses_.end()) return nullptr;
  for (const std::unique_ptr<Guess>& guess : found->second) {
    if (guess->digest == digest) return guess.get();
  }
  return nullptr;
}

int GuessedRequests::NumSteps(AgentId agent) const {
  int steps = 0;
  Step last = -1;
  for (auto it = guesses_.lower_bound({agent, 0, 0}); it != guesses_.end() && it->first.agent == agent;
       ++it) {
    const bool is_guessed =
        std::any_of(it->second.begin(), it->second.end(), [](const auto& guess) { return !guess->real; });
    if (is_guessed && std::exchange(last, it->first.step) != it->first.step) ++steps;
  }
  return steps;
}

bool GuessedRequests::IsWorthAsking(const llm::Request& request, double chance) const {
  const uint64_t tokens = ExpectedTokens(request);
  if (open_tokens_ + tokens > options_.max_open_tokens) return false;
  const auto confirmed = static_cast<double>(stats_.prompt_tokens + stats_.output_tokens);
  const double call =
      stats_.calls > 0 ? confirmed / static_cast<double>(stats_.calls) : static_cast<double>(tokens);
  const double allowed = options_.waste_share * confirmed + options_.burst_calls * call;
  const double expected = expected_waste_ * kExpectedWeight + static_cast<double>(tokens) * (1 - chance);
  const double used = (static_cast<double>(stats_.wasted_tokens) + expected) / allowed;
  const bool is_trial = stats_.wasted_calls + open_calls_ < options_.trials;
  const double least = is_trial ? std::min(kTrialChance, options_.least_chance) : options_.least_chance;
  return used <= 1 && chance >= least + (1 - least) * used;
}

void GuessedRequests::Ask(llm::Request&& request, PendingCall& guessing, double chance) {
  auto guess = std::make_unique<Guess>();
  guess->request = request;
  guess->digest = guessing.request_digest;
  guess->tokens = ExpectedTokens(request);
  guess->expected_waste = static_cast<double>(guess->tokens) * (1 - chance);
  guess->guessing = &guessing;
  request.guess = true;
  request.priority += kGuessPriority;
  guess->id = request.id = ++last_request_id_;
  llm_.Submit(std::move(request));
  ++open_calls_;
  open_tokens_ += guess->tokens;
  expected_waste_ += guess->expected_waste;
  ++stats_.speculated_calls;
  by_id_.emplace(guess->id, guess.get());
  guesses_[guess->request.key].push_back(std::move(guess));
}

void GuessedRequests::Adopt(Guess& guess, const llm::Request& request, PendingCall& confirmed) {
  guess.request.memories = request.memories;
  guess.confirmed = &confirmed;
  llm_.Raise(guess.id, guess.request.priority);
}

void GuessedRequests::Confirm(Guess& guess, const llm::Request& request) {
  guess.request.memories = request.memories;
  llm_.Confirm(guess.request, guess.completion);
  Close(guess);
  // From here on it is an ordinary call: guesses of the same step may use its answer.
  guess.real = true;
}

void GuessedRequests::NoteAsked(uint64_t id, const llm::CallKey& key, const Digest& digest,
                                PendingCall* guessing) {
  auto guess = std::make_unique<Guess>();
  guess->request.key = key;
  guess->digest = digest;
  guess->id = id;
  guess->guessing = guessing;
  guess->real = true;
  real_.emplace(id, guess.get());
  guesses_[key].push_back(std::move(guess));
}

void GuessedRequests::NoteAnswered(const llm::Completion& completion) {
  const auto found = real_.find(completion.id);
  THRONG_CHECK(found != real_.end());
  found->second->done = true;
  found->second->completion = completion;
  answered_.push_back(completion.id);
}

std::optional<GuessedRequests::Answered> GuessedRequests::TakeAnswered() {
  while (!answered_.empty()) {
    const auto found = real_.find(answered_.front());
    answered_.pop_front();
    if (found == real_.end()) continue;  // its step is committed
    Guess& guess = *found->second;
    real_.erase(found);
    if (guess.guessing != nullptr) return Answered{std::exchange(guess.guessing, nullptr), guess.completion};
  }
  return std::nullopt;
}

GuessedRequests::Delivery GuessedRequests::Deliver(llm::Completion& completion) {
  if (cancelled_.erase(completion.id) > 0) return {};
  const auto found = by_id_.find(completion.id);
  THRONG_CHECK(found != by_id_.end());
  Guess& guess = *found->second;
  by_id_.erase(found);
  const bool failed =
      completion.finish == llm::FinishReason::kError || completion.finish == llm::FinishReason::kCancelled;
  Delivery delivery;
  delivery.confirmed = std::exchange(guess.confirmed, nullptr);
  delivery.guessing = std::exchange(guess.guessing, nullptr);
  if (delivery.confirmed != nullptr) {
    Close(guess);
    if (completion.finish != llm::FinishReason::kCancelled) llm_.Confirm(guess.request, completion);
    guess.completion = completion;
    guess.real = guess.done = true;
    return delivery;
  }
  if (failed) {
    Waste(guess);
    Erase(guess);
    return delivery;
  }
  open_tokens_ -= guess.tokens;
  guess.tokens =
      static_cast<uint64_t>(completion.prompt_tokens) + static_cast<uint64_t>(completion.output_tokens);
  open_tokens_ += guess.tokens;
  guess.done = true;
  guess.completion = std::move(completion);
  if (delivery.guessing != nullptr) delivery.completion = guess.completion;
  return delivery;
}

void GuessedRequests::Detach(const ClusterRun& cluster) {
  for (auto* guesses : {&by_id_, &real_}) {
    for (const auto& [id, guess] : *guesses) {
      if (guess->guessing != nullptr && &guess->guessing->member.Cluster() == &cluster)
        guess->guessing = nullptr;
    }
  }
}

void GuessedRequests::Drop(AgentId agent, Step until) {
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

void GuessedRequests::CancelAll() {
  for (const auto& [id, guess] : by_id_) {
    llm_.Cancel(id);
    cancelled_.insert(id);
  }
  by_id_.clear();
}

void GuessedRequests::Forget(uint64_t id) {
  by_id_.erase(id);
  cancelled_.erase(id);
}

// Call when the guess's outcome is known.
void GuessedRequests::Close(const Guess& guess) {
  --open_calls_;
  open_tokens_ -= guess.tokens;
  expected_waste_ -= guess.expected_waste;
}

void GuessedRequests::Waste(const Guess& guess) {
  llm_.Discard(guess.id);
  Close(guess);
  stats_.wasted_tokens += guess.tokens;
  ++stats_.wasted_calls;
}

void GuessedRequests::Erase(const Guess& guess) {
  std::erase_if(guesses_[guess.request.key], [&](const auto& other) { return other.get() == &guess; });
}

}  // namespace throng::sim
