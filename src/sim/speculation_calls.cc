// The calls of guessed steps: sending, keeping, using and giving up their answers.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "sim/speculation.h"

namespace throng::sim {

namespace {

// Guesses are served after everything that is known to happen.
constexpr int kGuessPriority = 1 << 24;

uint64_t ExpectedTokens(const llm::Request& request) {
  const auto known = [](int tokens, size_t otherwise) {
    return tokens >= 0 ? static_cast<uint64_t>(tokens) : uint64_t{otherwise};
  };
  return known(request.known_prompt_tokens, (request.system.size() + request.prompt.size()) / 4) +
         known(request.known_output_tokens, static_cast<size_t>(std::max(request.max_tokens, 0)));
}

}  // namespace

static std::map<llm::CallKey, std::vector<Digest>> tried;
static std::map<std::string, int> why;
struct Dumper { ~Dumper() { if (getenv("S_DUMP")) for (auto& [w, n] : why) fprintf(stderr, "WHY %s %d\n", w.c_str(), n); } } dumper;
void Speculator::Submit(llm::Request request, PendingCall& call) {
  tried[request.key].push_back(call.request_digest);
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

static FILE* trace_out = getenv("S_OUT") ? fopen(getenv("S_OUT"), "w") : nullptr;
static std::unordered_set<std::string> LoadP() { std::unordered_set<std::string> s; if (const char* n = getenv("S_PERFECT")) { FILE* f = fopen(n, "r"); char b[200]; while (fscanf(f, "%199s", b) == 1) s.insert(b); fclose(f);} return s; }
static std::unordered_set<std::string> perfect = LoadP();
bool Speculator::Answer(const llm::Request& request, PendingCall& call) {
  if (request.key.call == 0) agents_[request.key.agent].first_call = call.request_digest;
  if (trace_out) fprintf(trace_out, "%u.%d.%u.%s\n", request.key.agent, request.key.step, request.key.call, call.request_digest.Hex().c_str()), fflush(trace_out);
  Guess* guess = Find(request.key, call.request_digest);
  {
    auto it = tried.find(request.key);
    std::string w = guess ? (guess->done ? "used" : "under way") : it == tried.end() ? "never" : std::find(it->second.begin(), it->second.end(), call.request_digest) != it->second.end() ? "unsent" : "other";
    ++why[w + (request.key.call == 0 ? " first" : " later")]; ++why[w];
    if (getenv("S_LOG") && request.key.call == 0) fprintf(stderr, "LOG %.1f agent %u step %d %s %s base %d\n", llm_.Now(), request.key.agent, request.key.step, request.function.c_str(), w.c_str(), graph_.BaseStep());
  }
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
  at_risk_ -= guess->risk;
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

// Who could still come into sight, or do otherwise in sight, by this step?
std::vector<Speculator::Risk> Speculator::RisksOf(AgentId id, Step step, std::span<const AgentId> members) {
  std::vector<Risk> risks;
  const Pos pos = FrontBody(id).pos;
  const int radius = graph_.RulesOf(id).radius_p;
  for (AgentId other = 0; other < agents_.size(); ++other) {
    const Step confirmed = graph_.StepOf(other);
    if (step < confirmed || std::binary_search(members.begin(), members.end(), other)) continue;
    const bool is_guessed = step <= FrontOf(other) && confirmed < FrontOf(other);
    // At its own step an agent is known, but not what it does in it together with this one.
    const int64_t gap = std::max<int64_t>(1, int64_t{step} - (is_guessed ? confirmed : FrontOf(other)));
    const int64_t reach = gap * graph_.RulesOf(other).max_vel;
    if (!context_.space.Within(pos, FrontBody(other).pos, radius + 2 * reach)) continue;
    const World::Expectation expected = Expect(other, step);
    if (!context_.space.Within(pos, expected.body.pos, radius + reach)) continue;
    int64_t margin = 0;
    while (margin < reach && !context_.space.Within(pos, expected.body.pos, radius + margin)) margin = 2 * margin + 1;
    const Basis basis = is_guessed ? Basis::kGuessed : expected.is_planned ? Basis::kPlanned : Basis::kStays;
    risks.push_back({other, record_.ClassOf(basis, margin, gap, agents_[other].asks)});
  }
  return risks;
}

double Speculator::ChanceOf(std::span<const Risk> risks) const {
  double chance = 1;
  for (const Risk& risk : risks) chance *= record_.Chance(risk.guess_class);
  return chance;
}

bool Speculator::HasBudget(uint64_t tokens, double risk) const {
  const auto confirmed = static_cast<double>(stats_.prompt_tokens + stats_.output_tokens);
  const double cap = options_.waste_share * confirmed + static_cast<double>(options_.waste_burst);
  static const double hard = getenv("S_BURST") ? atof(getenv("S_BURST")) : 1e6;
  const double wasted = static_cast<double>(stats_.wasted_tokens);
  return wasted + at_risk_ + risk <= cap && wasted + static_cast<double>(outstanding_ + tokens) <= options_.waste_share * confirmed + hard;
}

void Speculator::SendParked(size_t confirmed_in_flight) {
  std::stable_sort(parked_.begin(), parked_.end(),
                   [](const Parked& a, const Parked& b) { return a.request.key.step < b.request.key.step; });
  std::vector<Parked> kept;
  for (Parked& parked : parked_) {
    const llm::CallKey key = parked.request.key;
    const uint64_t tokens = ExpectedTokens(parked.request);
    std::vector<Risk> risks = RisksOf(key.agent, key.step, agents_[key.agent].reads.members);
    const double chance = ChanceOf(risks);
    if (key.call == 0) {
      std::vector<Forecast>& forecasts = agents_[key.agent].forecasts;
      const auto is_same = [&](const Forecast& forecast) {
        return forecast.step == key.step && forecast.digest == parked.call->request_digest;
      };
      if (std::none_of(forecasts.begin(), forecasts.end(), is_same))
        forecasts.push_back({key.step, parked.call->request_digest, std::move(risks)});
    }
    if (!perfect.empty()) {
      char b[200]; snprintf(b, 200, "%u.%d.%u.%s", key.agent, key.step, key.call, parked.call->request_digest.Hex().c_str());
      if (!perfect.count(b)) { kept.push_back(std::move(parked)); continue; }
    }
    const bool room = confirmed_in_flight + InFlight() < static_cast<size_t>(options_.max_in_flight);
    if (!room || !HasBudget(tokens, static_cast<double>(tokens) * (1 - chance)) || chance < options_.least_chance) {
      kept.push_back(std::move(parked));
      continue;
    }
    auto guess = std::make_unique<Guess>();
    guess->request = parked.request;
    guess->digest = parked.call->request_digest;
    guess->tokens = tokens;
    guess->guessing = parked.call;
    parked.request.guess = true;
    parked.request.priority += kGuessPriority;
    guess->id = llm_.Submit(std::move(parked.request));
    outstanding_ += tokens;
    guess->tokens0 = tokens;
    guess->risk = static_cast<double>(tokens) * (1 - chance);
    at_risk_ += guess->risk;
    ++stats_.speculated_calls;
    by_id_.emplace(guess->id, guess.get());
    guesses_[key].push_back(std::move(guess));
  }
  parked_ = std::move(kept);
}

// The step is confirmed: what was forecast of it was right or not. The calls of one step mostly stand and fall
// together, so that only the first is looked at.
void Speculator::LearnFrom(AgentId id, Step step) {
  Agent& agent = agents_[id];
  std::erase_if(agent.forecasts, [&](const Forecast& forecast) {
    if (forecast.step > step) return false;
      const bool right = forecast.digest == agent.first_call;
  { static std::map<int, std::pair<int,int>> cal; struct D { ~D() { if (getenv("S_DUMP")) for (auto& [b, n] : cal) fprintf(stderr, "CAL %d: %d of %d\n", b, n.first, n.second); } }; static D d; auto& x = cal[int(20 * ChanceOf(forecast.risks))]; ++x.second; if (right) ++x.first; }
    for (const Risk& risk : forecast.risks) {
      if (right || forecast.spoiled_by != kNobody) record_.Add(risk.guess_class, right || risk.agent != forecast.spoiled_by);
    }
    return true;
  });
  agent.first_call = Digest();
}

void Speculator::Waste(const Guess& guess) {
  outstanding_ -= guess.tokens;
  at_risk_ -= guess.risk;
  stats_.wasted_tokens += guess.tokens;
  ++stats_.wasted_calls;
  if (getenv("S_LOG") && guess.request.key.call == 0) fprintf(stderr, "WASTE agent %u step %d %s class x/x/x chance %.2f conf %d\n", guess.request.key.agent, guess.request.key.step, guess.request.function.c_str(), 1 - guess.risk / double(guess.tokens0), graph_.StepOf(guess.request.key.agent));
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
    at_risk_ -= guess.risk;
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
