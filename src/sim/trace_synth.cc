#include "sim/trace_synth.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>

#include "base/error.h"
#include "sim/trace_edit.h"
#include "sim/trace_synth_day.h"

namespace throng::sim {
namespace {

// What decides how much a scheduler can gain (docs/workload.md): calibrated so that conservative out-of-order
// execution reaches about the paper's shares of oracle.
struct Rhythm {
  int spells;            // of an hour: how busy an agent is changes between them
  double spell_sigma;    // of the logarithm of that
  double agent_sigma;    // the same between agents, for the whole day
  double company_power;  // calls grow with (1 + company_factor * others in view) to this power
  double company_factor;
  double aligned;  // share of events that begin at a full minute, as schedules do
};
constexpr Rhythm kUsual{6, 0.2, 0.5, 1, 1.5, 0.95};
// In the busy hour everybody has about as much to do, but not at the same time.
constexpr Rhythm kBusy{9, 3.2, 0, -1, 2, 0.85};
constexpr int kBusyHour = 12;
constexpr Step kMinute = 6;  // steps

// Of the calls that no schedule demands.
constexpr double kConversationShare = 0.25;
constexpr double kReflectionShare = 0.04;
constexpr double kUtterances = 4;  // mean of a conversation
constexpr int kRadius = 4;

// Calls of 25 agents by hour. The paper names 12-13 h, 6-7 h, 1-4 h and the sum; the rest is interpolated.
constexpr std::array<int, 24> kCallsByHour = {150,  15,   5,    5,    15,   100,  800,  2500,
                                              3500, 3700, 3900, 4300, 5000, 4400, 3900, 3800,
                                              3800, 3900, 3800, 3400, 2750, 1850, 900,  250};

struct Function {
  const char* name;
  double prompt;  // mean tokens
  double output;
};

// After the templates of Generative Agents; their mix over a day gives the paper's means.
constexpr Function kWakeUpHour{"wake_up_hour", 500, 4};
constexpr Function kDailyPlan{"daily_plan", 750, 150};
constexpr Function kHourlySchedule{"hourly_schedule", 880, 16};
constexpr int kHourlyScheduleCalls = 17;
constexpr Function kTaskDecomposition{"task_decomposition", 1200, 240};
constexpr Function kActionChain[] = {{"action_sector", 690, 10}, {"action_arena", 540, 8},
                                     {"action_object", 450, 8},  {"action_emoji", 260, 6},
                                     {"action_triple", 330, 18}, {"object_state", 370, 16},
                                     {"object_triple", 340, 18}};
constexpr Function kPoignancy{"poignancy", 630, 6};
constexpr Function kDecideToTalk{"decide_to_talk", 800, 40};
constexpr Function kDecideToReact{"decide_to_react", 880, 45};
constexpr Function kRelationship{"relationship", 810, 55};
constexpr Function kUtterance{"utterance", 840, 42};  // plus the conversation so far
constexpr Function kConversationMemo{"conversation_memo", 540, 40};
constexpr Function kFocalPoints{"focal_points", 900, 60};
constexpr Function kInsights{"insights", 980, 130};

// Makes the calls of one town's day.
class Caller {
 public:
  Caller(std::vector<AgentDay>& days, uint64_t seed) : days_(days), draws_(seed, 2) {
    for (size_t i = 0; i < days.size(); ++i) {
      weights_.push_back(std::exp(draws_.Normal()));
    }
    chains_.resize(days.size());
  }

  std::vector<TraceConversation> Fill() {
    for (AgentId id = 0; id < days_.size(); ++id) {
      for (const Step step : days_[id].wakings) WakeUp(id, step);
      for (const Step step : days_[id].decisions) Decide(id, step);
    }
    const double scale = static_cast<double>(days_.size()) / kTownAgents;
    for (int hour = 0; hour < 24; ++hour) {
      FillHour(hour, static_cast<int>(kCallsByHour[hour] * scale * draws_.LogNormal(1, 0.03)));
    }
    for (AgentId id = 0; id < days_.size(); ++id) {
      for (auto& [step, calls] : chains_[id]) days_[id].trace.chains.push_back({step, std::move(calls)});
    }
    std::stable_sort(conversations_.begin(), conversations_.end(),
                     [](const auto& a, const auto& b) { return a.step < b.step; });
    for (AgentId id = 0; id < days_.size(); ++id) ShowTalks(id);
    return std::move(conversations_);
  }

 private:
  TraceCall Draw(const Function& function, double extra_prompt = 0) {
    const double prompt = draws_.LogNormal(function.prompt, 0.18) + extra_prompt;
    const double output = draws_.LogNormal(function.output, 0.45);
    ++by_hour_[hour_];
    return {function.name, std::max(1, static_cast<int>(std::lround(prompt))),
            std::max(1, static_cast<int>(std::lround(output)))};
  }

  void Add(AgentId id, Step step, const Function& function) {
    hour_ = step / kStepsPerHour;
    chains_[id][step].push_back(Draw(function));
  }

  void WakeUp(AgentId id, Step step) {
    Add(id, step, kWakeUpHour);
    Add(id, step, kDailyPlan);
    for (int i = 0; i < kHourlyScheduleCalls; ++i) Add(id, step, kHourlySchedule);
  }

  void Decide(AgentId id, Step step) {
    if (draws_.Chance(0.3)) Add(id, step, kTaskDecomposition);
    for (const Function& function : kActionChain) Add(id, step, function);
  }

  void Perceive(AgentId id, Step step, bool company) {
    const int events = draws_.Int(1, company ? 5 : 3);
    for (int i = 0; i < events; ++i) Add(id, step, kPoignancy);
    if (company && draws_.Chance(0.5)) Add(id, step, kDecideToTalk);
    if (company && draws_.Chance(0.25)) Add(id, step, kDecideToReact);
  }

  void Reflect(AgentId id, Step step) {
    Add(id, step, kFocalPoints);
    for (int i = 0; i < 3; ++i) {
      Add(id, step, kInsights);
      const int thoughts = draws_.Int(2, 5);
      for (int j = 0; j < thoughts; ++j) Add(id, step, kPoignancy);
    }
  }

  void Converse(AgentId a, AgentId b, Step step) {
    hour_ = step / kStepsPerHour;
    TraceConversation conversation{step, {std::min(a, b), std::max(a, b)}, {}};
    const auto turn = [&](AgentId who, const Function& function, double so_far) {
      conversation.turns.emplace_back(who, Draw(function, so_far));
      return conversation.turns.back().second.output_tokens;
    };
    const int utterances = std::clamp(static_cast<int>(draws_.LogNormal(kUtterances, 0.4)), 2, 16);
    double so_far = 0;
    for (int i = 0; i < utterances; ++i) {
      const AgentId who = i % 2 == 0 ? a : b;
      turn(who, kRelationship, 0);
      so_far += turn(who, kUtterance, so_far);
    }
    for (const AgentId who : {a, b}) {
      turn(who, kConversationMemo, so_far);
      turn(who, kPoignancy, 0);
    }
    conversations_.push_back(std::move(conversation));
  }

  // Who talks is seen to talk, for two steps an utterance or until its next action.
  void ShowTalks(AgentId id) {
    std::vector<std::pair<Step, std::string>>& actions = days_[id].trace.actions;
    const std::vector<std::pair<Step, std::string>> planned = std::exchange(actions, {});
    const auto show = [&](Step step, const std::string& text) {
      while (!actions.empty() && actions.back().first >= step) actions.pop_back();
      if (step < kStepsPerDay && (actions.empty() || actions.back().second != text)) actions.emplace_back(step, text);
    };
    auto talk = conversations_.begin();
    for (size_t i = 0; i < planned.size(); ++i) {
      show(planned[i].first, planned[i].second);
      const Step end = i + 1 < planned.size() ? planned[i + 1].first : kStepsPerDay;
      for (; talk != conversations_.end() && talk->step + 1 < end; ++talk) {
        if (std::find(talk->members.begin(), talk->members.end(), id) == talk->members.end()) continue;
        const AgentId other = talk->members[talk->members.front() == id ? 1 : 0];
        const auto length = static_cast<Step>(talk->turns.size() - 4);  // two calls an utterance
        show(talk->step + 1, "talking with " + days_[other].trace.name);
        if (talk->step + 1 + length < end) show(talk->step + 1 + length, planned[i].second);
        Interrupt(days_[id].trace.plans, talk->step + 1, talk->step + 1 + length);
      }
    }
  }

  // Plans go only until the end of the interruption, as seen from within it.
  static void Interrupt(std::vector<std::pair<Step, Step>>& plans, Step from, Step until) {
    const auto after = std::upper_bound(plans.begin(), plans.end(), from, [](Step step, const auto& plan) { return step < plan.first; });
    if (after == plans.begin()) return;
    const Step planned_until = std::prev(after)->second;
    if (planned_until <= from) return;
    std::vector<std::pair<Step, Step>> added = {{from, std::min(until, planned_until)}};
    if (until < planned_until && (after == plans.end() || until < after->first)) added.emplace_back(until, planned_until);
    const auto at = std::prev(after)->first == from ? plans.erase(std::prev(after)) : after;
    plans.insert(at, added.begin(), added.end());
  }

  bool Near(AgentId a, AgentId b, Step step) const {
    const Pos p = days_[a].trace.PosAt(step);
    const Pos q = days_[b].trace.PosAt(step);
    return std::max(std::abs(p.x - q.x), std::abs(p.y - q.y)) <= kRadius;
  }

  std::vector<AgentId> CompanyOf(AgentId id, Step step) const {
    std::vector<AgentId> near;
    for (AgentId other = 0; other < days_.size(); ++other) {
      if (other != id && days_[other].AwakeAt(step) && Near(id, other, step)) near.push_back(other);
    }
    return near;
  }

  // How the hour's calls fall on agents and spells: cumulative weights, [agent x spell].
  std::vector<double> Weights(int hour, const Rhythm& rhythm) {
    const Step length = kStepsPerHour / rhythm.spells;
    std::vector<double> sums;
    double sum = 0;
    for (AgentId id = 0; id < days_.size(); ++id) {
      std::vector<double> spells;
      for (int spell = 0; spell < rhythm.spells; ++spell)
        spells.push_back(draws_.LogNormal(1, rhythm.spell_sigma));
      const double all = std::accumulate(spells.begin(), spells.end(), 0.0);
      const double agent = std::pow(weights_[id], rhythm.agent_sigma) * rhythm.spells / all;
      for (int spell = 0; spell < rhythm.spells; ++spell) {
        const Step middle = hour * kStepsPerHour + spell * length + length / 2;
        if (days_[id].AwakeAt(middle)) {
          const double company =
              1 + rhythm.company_factor * static_cast<double>(CompanyOf(id, middle).size());
          sum += spells[static_cast<size_t>(spell)] * agent * std::pow(company, rhythm.company_power);
        }
        sums.push_back(sum);
      }
    }
    return sums;
  }

  // What the schedules' calls leave of the hour's budget goes to what agents do on their own.
  void FillHour(int hour, int budget) {
    const Rhythm& rhythm = hour == kBusyHour ? kBusy : kUsual;
    const Step length = kStepsPerHour / rhythm.spells;
    const std::vector<double> sums = Weights(hour, rhythm);
    if (sums.back() == 0) return;  // all sleep
    // Kinds are drawn with the share of calls over the calls that each makes; two of three conversations find
    // no partner.
    const double talk = 3 * kConversationShare / (2 * kUtterances + 4);
    const double reflect = kReflectionShare / 14;
    const double perceive = (1 - kConversationShare - kReflectionShare) / 3;
    constexpr int kMaxTries = 100'000;  // few are awake, and briefly
    for (int tries = 0; by_hour_[static_cast<size_t>(hour)] < budget && tries < kMaxTries; ++tries) {
      const auto cell =
          std::upper_bound(sums.begin(), sums.end(), draws_.Between(0, sums.back())) - sums.begin();
      const auto id = static_cast<AgentId>(cell / rhythm.spells);
      Step step =
          hour * kStepsPerHour + static_cast<Step>(cell % rhythm.spells) * length + draws_.Int(0, length - 1);
      if (draws_.Chance(rhythm.aligned)) step = step / kMinute * kMinute;
      if (!days_[id].AwakeAt(step) || step == 0) continue;
      const std::vector<AgentId> company = CompanyOf(id, step);
      const double kind = draws_.Between(0, talk + reflect + perceive);
      if (kind < talk) {
        if (company.empty()) continue;
        Converse(id, company[static_cast<size_t>(draws_.Int(0, static_cast<int>(company.size()) - 1))], step);
      } else if (kind < talk + reflect) {
        Reflect(id, step);
      } else {
        Perceive(id, step, !company.empty());
      }
    }
  }

  std::vector<AgentDay>& days_;
  Draws draws_;
  std::vector<double> weights_;                                 // by agent: e to a standard normal power
  std::vector<std::map<Step, std::vector<TraceCall>>> chains_;  // by agent
  std::vector<TraceConversation> conversations_;
  std::array<int, 24> by_hour_{};
  int hour_ = 0;  // of the call that is drawn
};

Trace MakeTown(int agents, uint64_t seed) {
  Trace trace;
  trace.name = "synthetic day";
  trace.num_steps = kStepsPerDay;
  trace.sec_per_step = 10;
  trace.width = kTownWidth;
  trace.height = kTownHeight;
  trace.start = "2023-02-13T00:00:00";
  trace.source = "synthetic";
  trace.radius_p = kRadius;
  std::vector<AgentDay> days = MakeTownDay(agents, seed);
  trace.conversations = Caller(days, seed).Fill();
  for (AgentDay& day : days) trace.agents.push_back(std::move(day.trace));
  return trace;
}

}  // namespace

Trace SynthesizeDay(int agents, uint64_t seed) {
  if (agents < 1 || agents > 1'000'000) {
    throw MakeError(ErrorCode::kInvalid, "{} agents; allowed: 1 to 1000000", agents);
  }
  const int copies = (agents + kTownAgents - 1) / kTownAgents;
  std::vector<Trace> towns;
  for (int i = 0; i < copies; ++i) {
    towns.push_back(MakeTown(std::min(kTownAgents, agents - i * kTownAgents),
                             Mix64(seed + (static_cast<uint64_t>(i) << 32))));
  }
  return copies == 1 ? std::move(towns.front()) : TileTraces(towns, copies);
}

}  // namespace throng::sim
