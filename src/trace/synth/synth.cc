#include "trace/synth/synth.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>
#include <set>

#include "base/error.h"
#include "trace/edit.h"
#include "trace/synth/synth_day.h"

namespace throng::trace {
namespace {

// Shares of the calls that no schedule demands.
constexpr double kConversationShare = 0.17;
constexpr double kReflectionShare = 0.04;
constexpr double kUtterances = 12;   // mean per conversation before the limit; most recorded ones reach it
constexpr int kMostUtterances = 16;  // Generative Agents' limit
constexpr sim::Step kTalkedLately = 800;  // steps before the same two agents talk again, as in the original
constexpr sim::Step kAwakeToTalk = kStepsPerHour;  // also before reflecting: enough must have happened first
constexpr double kOthersWeight = 2;                // agents notice others' actions more than their own
constexpr int kRadius = 4;

// Calls of 25 agents by hour. The paper gives 12-13 h, 6-7 h, 1-4 h and the sum; the rest is interpolated,
// except that the day is planned at midnight.
constexpr std::array<int, 24> kCallsByHour = {475,  15,   5,    5,    15,   100,  800,  2500,
                                              3500, 3700, 3900, 4300, 5000, 4400, 3900, 3800,
                                              3800, 3900, 3800, 3400, 2750, 1850, 900,  250};

struct Function {
  const char* name;
  double prompt;  // mean tokens
  double output;
};

// Modelled on the templates of Generative Agents; their mix over a day gives the paper's means.
constexpr Function kWakeUpHour{"wake_up_hour", 500, 4};
constexpr Function kDailyPlan{"daily_plan", 750, 150};
constexpr Function kHourlySchedule{"hourly_schedule", 880, 16};
constexpr Function kTaskDecomposition{"task_decomposition", 1200, 240};
constexpr Function kActionChain[] = {{"action_sector", 690, 10}, {"action_arena", 540, 8},
                                     {"action_object", 450, 8},  {"action_emoji", 260, 6},
                                     {"action_triple", 330, 18}, {"object_state", 370, 16},
                                     {"object_triple", 340, 18}};
constexpr Function kPoignancy{"poignancy", 645, 6};
constexpr Function kDecideToTalk{"decide_to_talk", 800, 55};
constexpr Function kDecideToReact{"decide_to_react", 880, 45};
constexpr Function kRelationship{"relationship", 810, 55};
constexpr Function kUtterance{"utterance", 840, 42};  // plus the conversation so far
constexpr Function kConversationMemo{"conversation_memo", 540, 40};
constexpr Function kFocalPoints{"focal_points", 900, 60};
constexpr Function kInsights{"insights", 980, 130};

// A moment at which an agent has something new to perceive.
struct Moment {
  sim::AgentId who;
  sim::Step step;
  sim::Step last;  // last step at which it can still notice
};

// Makes the calls of one town's day.
class Caller {
 public:
  Caller(std::vector<AgentDay>& days, uint64_t seed) : days_(days), draws_(seed, 2) {
    chains_.resize(days.size());
    perceived_.resize(days.size());
    for (const AgentDay& day : days) {
      std::vector<sim::Pos>& path = paths_.emplace_back(kStepsPerDay);
      for (sim::Step step = 0; step < kStepsPerDay; ++step)
        path[static_cast<size_t>(step)] = day.trace.PosAt(step);
    }
  }

  std::vector<TraceConversation> Fill() {
    for (sim::AgentId id = 0; id < days_.size(); ++id) {
      PlanDay(id);
      for (const sim::Step step : days_[id].decisions) Decide(id, step);
    }
    const std::array<int, 24> budgets = Budgets();
    for (int hour = 0; hour < 24; ++hour) FillHour(hour, budgets[static_cast<size_t>(hour)]);
    for (sim::AgentId id = 0; id < days_.size(); ++id) {
      for (auto& [step, calls] : chains_[id]) days_[id].trace.chains.push_back({step, std::move(calls)});
    }
    std::stable_sort(conversations_.begin(), conversations_.end(),
                     [](const auto& a, const auto& b) { return a.step < b.step; });
    for (sim::AgentId id = 0; id < days_.size(); ++id) ShowTalks(id);
    return std::move(conversations_);
  }

 private:
  // Hours vary more from day to day than whole days do.
  std::array<int, 24> Budgets() {
    std::array<double, 24> calls;
    double sum = 0;
    for (size_t hour = 0; hour < calls.size(); ++hour) {
      calls[hour] = kCallsByHour[hour] * draws_.LogNormal(1, 0.1);
      sum += calls[hour];
    }
    const double usual = std::accumulate(kCallsByHour.begin(), kCallsByHour.end(), 0.0);
    const double scale =
        usual / sum * draws_.LogNormal(1, 0.01) * static_cast<double>(days_.size()) / kTownAgents;
    std::array<int, 24> budgets;
    std::transform(calls.begin(), calls.end(), budgets.begin(),
                   [&](double n) { return static_cast<int>(n * scale); });
    return budgets;
  }

  TraceCall Draw(const Function& function, double extra_prompt = 0) {
    const double prompt = draws_.LogNormal(function.prompt, 0.18) + extra_prompt;
    const double output = draws_.LogNormal(function.output, 0.45);
    ++by_hour_[hour_];
    return {function.name, std::max(1, static_cast<int>(std::lround(prompt))),
            std::max(1, static_cast<int>(std::lround(output)))};
  }

  void Add(sim::AgentId id, sim::Step step, const Function& function) {
    hour_ = step / kStepsPerHour;
    chains_[id][step].push_back(Draw(function));
  }

  // Generative Agents plan at midnight, then sleep on.
  void PlanDay(sim::AgentId id) {
    Add(id, 0, kWakeUpHour);
    Add(id, 0, kDailyPlan);
    for (int hour = days_[id].wake / kStepsPerHour; hour < 24; ++hour) Add(id, 0, kHourlySchedule);
  }

  void Decide(sim::AgentId id, sim::Step step) {
    if (draws_.Chance(0.3)) Add(id, step, kTaskDecomposition);
    for (const Function& function : kActionChain) Add(id, step, function);
  }

  void Perceive(sim::AgentId id, sim::Step step, bool company) {
    const int events = draws_.Int(1, 3);
    for (int i = 0; i < events; ++i) Add(id, step, kPoignancy);
    if (company && draws_.Chance(0.7)) Add(id, step, kDecideToTalk);
    if (company && draws_.Chance(0.4)) Add(id, step, kDecideToReact);
  }

  void Reflect(sim::AgentId id, sim::Step step) {
    Add(id, step, kFocalPoints);
    for (int i = 0; i < 3; ++i) {
      Add(id, step, kInsights);
      const int thoughts = draws_.Int(2, 5);
      for (int j = 0; j < thoughts; ++j) Add(id, step, kPoignancy);
    }
  }

  void Converse(sim::AgentId a, sim::AgentId b, sim::Step step) {
    hour_ = step / kStepsPerHour;
    TraceConversation conversation{step, {std::min(a, b), std::max(a, b)}, {}};
    const auto turn = [&](sim::AgentId who, const Function& function, double so_far) {
      conversation.turns.emplace_back(who, Draw(function, so_far));
      return conversation.turns.back().second.output_tokens;
    };
    const int utterances =
        std::clamp(static_cast<int>(draws_.LogNormal(kUtterances, 0.6)), 2, kMostUtterances);
    double so_far = 0;
    for (int i = 0; i < utterances; ++i) {
      const sim::AgentId who = i % 2 == 0 ? a : b;
      turn(who, kRelationship, 0);
      so_far += turn(who, kUtterance, so_far);
    }
    for (const sim::AgentId who : {a, b}) {
      turn(who, kConversationMemo, so_far);
      turn(who, kPoignancy, 0);
    }
    conversations_.push_back(std::move(conversation));
  }

  // Makes talks visible: an agent talks for two steps per utterance, or until its next action.
  void ShowTalks(sim::AgentId id) {
    std::vector<std::pair<sim::Step, std::string>>& actions = days_[id].trace.actions;
    const std::vector<std::pair<sim::Step, std::string>> planned = std::exchange(actions, {});
    const auto show = [&](sim::Step step, const std::string& text) {
      while (!actions.empty() && actions.back().first >= step) actions.pop_back();
      if (step < kStepsPerDay && (actions.empty() || actions.back().second != text))
        actions.emplace_back(step, text);
    };
    auto talk = conversations_.begin();
    for (size_t i = 0; i < planned.size(); ++i) {
      show(planned[i].first, planned[i].second);
      const sim::Step end = i + 1 < planned.size() ? planned[i + 1].first : kStepsPerDay;
      for (; talk != conversations_.end() && talk->step + 1 < end; ++talk) {
        if (std::find(talk->members.begin(), talk->members.end(), id) == talk->members.end()) continue;
        const sim::AgentId other = talk->members[talk->members.front() == id ? 1 : 0];
        const auto length = static_cast<sim::Step>(talk->turns.size() - 4);  // two calls per utterance
        show(talk->step + 1, "talking with " + days_[other].trace.name);
        if (talk->step + 1 + length < end) show(talk->step + 1 + length, planned[i].second);
        Interrupt(days_[id].trace.plans, talk->step + 1, talk->step + 1 + length);
      }
    }
  }

  // Seen from within an interruption, plans extend only to its end.
  static void Interrupt(std::vector<std::pair<sim::Step, sim::Step>>& plans, sim::Step from,
                        sim::Step until) {
    const auto after = std::upper_bound(plans.begin(), plans.end(), from,
                                        [](sim::Step step, const auto& plan) { return step < plan.first; });
    if (after == plans.begin()) return;
    const sim::Step planned_until = std::prev(after)->second;
    if (planned_until <= from) return;
    std::vector<std::pair<sim::Step, sim::Step>> added = {{from, std::min(until, planned_until)}};
    if (until < planned_until && (after == plans.end() || until < after->first))
      added.emplace_back(until, planned_until);
    const auto at = std::prev(after)->first == from ? plans.erase(std::prev(after)) : after;
    plans.insert(at, added.begin(), added.end());
  }

  bool Near(sim::AgentId a, sim::AgentId b, sim::Step step) const {
    const sim::Pos p = paths_[a][static_cast<size_t>(step)];
    const sim::Pos q = paths_[b][static_cast<size_t>(step)];
    return std::max(std::abs(p.x - q.x), std::abs(p.y - q.y)) <= kRadius;
  }

  std::vector<sim::AgentId> CompanyOf(sim::AgentId id, sim::Step step) const {
    std::vector<sim::AgentId> near;
    for (sim::AgentId other = 0; other < days_.size(); ++other) {
      if (other != id && days_[other].AwakeAt(step) && Near(id, other, step)) near.push_back(other);
    }
    return near;
  }

  bool MayTalk(sim::AgentId a, sim::AgentId b, sim::Step step) const {
    const std::vector<sim::AgentId> pair = {std::min(a, b), std::max(a, b)};
    return !IsFresh(a, step) && !IsFresh(b, step) &&
           std::none_of(conversations_.begin(), conversations_.end(), [&](const TraceConversation& talk) {
             return talk.members == pair && std::abs(talk.step - step) < kTalkedLately;
           });
  }

  bool IsFresh(sim::AgentId id, sim::Step step) const { return step < days_[id].wake + kAwakeToTalk; }

  void AddMoment(sim::AgentId who, sim::Step step, double weight) {
    const AgentDay& day = days_[who];
    if (!day.AwakeAt(step)) return;
    const auto next = std::upper_bound(day.decisions.begin(), day.decisions.end(), step);
    const sim::Step until = next == day.decisions.end() ? day.sleep : *next;
    const sim::Step hour_end = (step / kStepsPerHour + 1) * kStepsPerHour;
    moments_.push_back({who, step, std::min(until, hour_end) - 1});
    weight_sums_.push_back((weight_sums_.empty() ? 0 : weight_sums_.back()) + weight);
  }

  // In the step after, an agent notices what it and the agents in view begin to do.
  void FindMoments(int hour) {
    moments_.clear();
    weight_sums_.clear();
    const sim::Step from = hour * kStepsPerHour;
    for (sim::AgentId id = 0; id < days_.size(); ++id) {
      const std::vector<sim::Step>& decisions = days_[id].decisions;
      auto it = std::lower_bound(decisions.begin(), decisions.end(), from);
      for (; it != decisions.end() && *it + 1 < from + kStepsPerHour; ++it) {
        AddMoment(id, *it + 1, 1);
        for (const sim::AgentId other : CompanyOf(id, *it + 1)) AddMoment(other, *it + 1, kOthersWeight);
      }
    }
  }

  const Moment& DrawMoment() {
    const auto sum =
        std::upper_bound(weight_sums_.begin(), weight_sums_.end(), draws_.Between(0, weight_sums_.back()));
    const auto index = static_cast<size_t>(sum - weight_sums_.begin());
    return moments_[std::min(index, moments_.size() - 1)];
  }

  // An agent perceives only a limited amount at once: the rest of the news follows step by step.
  void PerceiveFrom(const Moment& moment) {
    sim::Step step = moment.step;
    while (step < moment.last && perceived_[moment.who].contains(step)) ++step;
    perceived_[moment.who].insert(step);
    Perceive(moment.who, step, !CompanyOf(moment.who, step).empty());
  }

  void TalkAt(sim::AgentId id, sim::Step step) {
    const std::vector<sim::AgentId> company = CompanyOf(id, step);
    if (company.empty()) return;
    const sim::AgentId other =
        company[static_cast<size_t>(draws_.Int(0, static_cast<int>(company.size()) - 1))];
    if (MayTalk(id, other, step)) Converse(id, other, step);
  }

  // Spends the hour's budget beyond the calls that schedules demand on what agents do on their own.
  void FillHour(int hour, int budget) {
    FindMoments(hour);
    if (moments_.empty()) return;  // everyone is asleep
    // Each kind is drawn with its share of calls divided by the calls it makes; two of three conversations
    // find no partner.
    const double talk = 3 * kConversationShare / (2 * kUtterances + 4);
    const double reflect = kReflectionShare / 14;
    const double perceive = (1 - kConversationShare - kReflectionShare) / 3;
    constexpr int kMaxTries = 100'000;  // a limit for hours in which few are awake, and briefly
    for (int tries = 0; by_hour_[static_cast<size_t>(hour)] < budget && tries < kMaxTries; ++tries) {
      const Moment& moment = DrawMoment();
      const double kind = draws_.Between(0, talk + reflect + perceive);
      if (kind < talk) {
        TalkAt(moment.who, draws_.Int(moment.step, moment.last));
      } else if (kind < talk + reflect) {
        if (!IsFresh(moment.who, moment.step)) Reflect(moment.who, moment.step);
      } else {
        PerceiveFrom(moment);
      }
    }
  }

  std::vector<AgentDay>& days_;
  Draws draws_;
  std::vector<std::vector<sim::Pos>> paths_;                         // by agent and step
  std::vector<Moment> moments_;                                      // of the hour being filled
  std::vector<double> weight_sums_;                                  // cumulative, by moment
  std::vector<std::set<sim::Step>> perceived_;                       // by agent
  std::vector<std::map<sim::Step, std::vector<TraceCall>>> chains_;  // by agent
  std::vector<TraceConversation> conversations_;
  std::array<int, 24> by_hour_{};
  int hour_ = 0;  // hour of the call being drawn
};

Trace MakeTown(int agents, uint64_t seed) {
  Trace trace;
  trace.name = "synthetic day";
  trace.num_steps = kStepsPerDay;
  trace.sec_per_step = 10;
  trace.width = kTownWidth;
  trace.height = kTownHeight;
  trace.start.day = std::chrono::year(2023) / 2 / 13;
  trace.source = "synthetic";
  trace.radius_p = kRadius;
  std::vector<AgentDay> days = MakeTownDay(agents, seed);
  trace.conversations = Caller(days, seed).Fill();
  for (AgentDay& day : days) trace.agents.push_back(std::move(day.trace));
  return trace;
}

}  // namespace

Trace SynthesizeDay(int agents, uint64_t seed, const std::function<void(size_t, size_t)>& on_town) {
  if (agents < 1 || agents > 1'000'000) {
    throw MakeError(ErrorCode::kInvalid, "{} agents; allowed: 1 to 1000000", agents);
  }
  const int copies = (agents + kTownAgents - 1) / kTownAgents;
  std::vector<Trace> towns;
  for (int i = 0; i < copies; ++i) {
    towns.push_back(MakeTown(std::min(kTownAgents, agents - i * kTownAgents),
                             Mix64(seed + (static_cast<uint64_t>(i) << 32))));
    if (on_town) on_town(towns.size(), static_cast<size_t>(copies));
  }
  return copies == 1 ? std::move(towns.front()) : TileTraces(towns, copies);
}

}  // namespace throng::trace
