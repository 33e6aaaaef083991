#include "sim/guess/forecasts.h"

#include <algorithm>

namespace throng::sim {

std::vector<Risk> Forecasts::RisksOf(HypotheticalWorld& world, AgentId id, Step step,
                                     std::span<const AgentId> members) {
  std::vector<Risk> risks;
  const int64_t ahead = int64_t{step} - graph_.StepOf(id) + 1;
  risks.push_back({id, record_.ClassOf(Basis::kItself, 0, ahead, agents_[id].asks)});
  const Pos pos = world.FrontBody(id).pos;
  const int radius = graph_.RulesOf(id).radius_p;
  for (const AgentId other : world.FindAround(pos, radius, step)) {
    const Step confirmed = graph_.StepOf(other);
    if (step < confirmed || std::binary_search(members.begin(), members.end(), other)) continue;
    const Step front = world.FrontOf(other);
    const bool is_guessed = step <= front && confirmed < front;
    // At its own step an agent's state is known, but not what it does in that step together with this one.
    const int64_t gap = std::max<int64_t>(1, int64_t{step} - (is_guessed ? confirmed : front));
    const int64_t reach = gap * graph_.RulesOf(other).max_vel;
    if (!space_.Within(pos, world.FrontBody(other).pos, radius + 2 * reach)) continue;
    const World::Expectation expected = world.Expect(other, step);
    if (!space_.Within(pos, expected.body.pos, radius + reach)) continue;
    int64_t margin = 0;
    while (margin < reach && !space_.Within(pos, expected.body.pos, radius + margin)) margin = 2 * margin + 1;
    const Basis basis = is_guessed ? Basis::kGuessed : expected.is_planned ? Basis::kPlanned : Basis::kStays;
    risks.push_back({other, record_.ClassOf(basis, margin, gap, agents_[other].asks)});
  }
  return risks;
}

double Forecasts::ChanceOf(std::span<const Risk> risks) const {
  double chance = 1;
  for (const Risk& risk : risks) chance *= record_.Chance(risk.guess_class);
  return chance;
}

void Forecasts::Add(AgentId agent, Step step, const Digest& first_call, std::vector<Risk> risks) {
  std::vector<Forecast>& forecasts = agents_[agent].forecasts;
  const auto is_same = [&](const Forecast& forecast) {
    return forecast.step == step && forecast.first_call == first_call;
  };
  if (std::any_of(forecasts.begin(), forecasts.end(), is_same)) return;
  forecasts.push_back({step, first_call, std::move(risks)});
}

void Forecasts::Spoil(AgentId agent, Step step, AgentId by) {
  for (Forecast& forecast : agents_[agent].forecasts) {
    if (forecast.step >= step && forecast.spoiled_by == kNobody) forecast.spoiled_by = by;
  }
}

bool Forecasts::WasForeseen(AgentId id, Step step) const {
  const Agent& agent = agents_[id];
  return std::any_of(agent.forecasts.begin(), agent.forecasts.end(), [&](const Forecast& forecast) {
    return forecast.step == step && forecast.first_call == agent.first_call;
  });
}

// The calls of one step are mostly right or wrong together, so only the first is checked. A cluster waits for
// its last answer: the fewer of its members' calls were foreseen, the less a right guess was worth.
void Forecasts::Learn(std::span<const AgentId> members, Step step) {
  int asked = 0;
  int foreseen = 0;
  for (const AgentId id : members) {
    asked += agents_[id].first_call != Digest();
    foreseen += WasForeseen(id, step);
  }
  const double worth = asked > 0 ? static_cast<double>(foreseen) / asked : 1;
  for (const AgentId id : members) {
    Agent& agent = agents_[id];
    agent.asks.clear();
    std::erase_if(agent.forecasts, [&](const Forecast& forecast) {
      if (forecast.step > step) return false;
      const bool right = forecast.first_call == agent.first_call;
      const auto is_spoiler = [&](const Risk& risk) { return risk.agent == forecast.spoiled_by; };
      const bool is_known = std::any_of(forecast.risks.begin(), forecast.risks.end(), is_spoiler);
      const AgentId blamed = is_known ? forecast.spoiled_by : id;
      for (const Risk& risk : forecast.risks) {
        const double weight = right && risk.agent == id ? worth : 1;
        record_.Add(risk.guess_class, right || risk.agent != blamed, weight);
      }
      return true;
    });
    agent.first_call = Digest();
  }
}

}  // namespace throng::sim
