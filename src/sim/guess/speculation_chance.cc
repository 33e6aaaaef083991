// How likely guesses are right: on whom they rest, and what is learned from those whose outcome is known.

#include <algorithm>

#include "sim/guess/speculation.h"

namespace throng::sim {

// Who could still come into sight, or do otherwise in sight, by this step?
std::vector<Speculator::Risk> Speculator::RisksOf(AgentId id, Step step, std::span<const AgentId> members) {
  std::vector<Risk> risks;
  const Pos pos = FrontBody(id).pos;
  const int radius = graph_.RulesOf(id).radius_p;
  for (const AgentId other : FindAround(pos, radius, step)) {
    const Step confirmed = graph_.StepOf(other);
    if (step < confirmed || std::binary_search(members.begin(), members.end(), other)) continue;
    const Step front = FrontOf(other);
    const bool is_guessed = step <= front && confirmed < front;
    // At its own step an agent is known, but not what it does in it together with this one.
    const int64_t gap = std::max<int64_t>(1, int64_t{step} - (is_guessed ? confirmed : front));
    const int64_t reach = gap * graph_.RulesOf(other).max_vel;
    if (!context_.space.Within(pos, FrontBody(other).pos, radius + 2 * reach)) continue;
    const World::Expectation expected = Expect(other, step);
    if (!context_.space.Within(pos, expected.body.pos, radius + reach)) continue;
    int64_t margin = 0;
    while (margin < reach && !context_.space.Within(pos, expected.body.pos, radius + margin))
      margin = 2 * margin + 1;
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

// Its chance, and what it forecasts. The chance changes as the agents on which it rests go on.
void Speculator::Weigh(Parked& parked) {
  if (commits_ < parked.weighed_before) return;
  const llm::CallKey key = parked.request.key;
  std::vector<Risk> risks = RisksOf(key.agent, key.step, agents_[key.agent].reads.members);
  parked.chance = ChanceOf(risks);
  // Weighed again after a while alone: what all cost, a commit pays only a share of.
  parked.weighed_before = commits_ + 1 + std::max(risks.size() / 2, parked_.size() / 8);
  if (key.call != 0) return;
  std::vector<Forecast>& forecasts = agents_[key.agent].forecasts;
  const auto is_same = [&](const Forecast& forecast) {
    return forecast.step == key.step && forecast.digest == parked.call->request_digest;
  };
  if (std::any_of(forecasts.begin(), forecasts.end(), is_same)) return;
  forecasts.push_back({key.step, parked.call->request_digest, std::move(risks)});
}

// The step is confirmed: what was forecast of it was right or not. The calls of one step mostly stand and
// fall together, so that only the first is looked at.
void Speculator::LearnFrom(AgentId id, Step step) {
  Agent& agent = agents_[id];
  std::erase_if(agent.forecasts, [&](const Forecast& forecast) {
    if (forecast.step > step) return false;
    const bool right = forecast.digest == agent.first_call;
    if (!right && forecast.spoiled_by == kNobody) return true;  // by whom is not known
    for (const Risk& risk : forecast.risks)
      record_.Add(risk.guess_class, right || risk.agent != forecast.spoiled_by);
    return true;
  });
  agent.first_call = Digest();
}

}  // namespace throng::sim
