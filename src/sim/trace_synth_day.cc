#include "sim/trace_synth_day.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/check.h"

namespace throng::sim {
namespace {

constexpr Step kFiveMinutes = 30;  // the grain of Generative Agents' schedules

struct Area {
  const char* name;
  int32_t left, top, right, bottom;  // inclusive; the door is in the middle of the lower side

  Pos Door() const { return {(left + right) / 2, bottom}; }
};

// A town of the Ville's size and kind: homes along the streets, and places where agents meet.
enum Place { kCafe, kPub, kPark, kClass, kLibrary, kMarket, kStore, kCentre, kHome };
constexpr Area kPlaces[] = {
    {"cafe", 70, 21, 79, 28},         {"pub", 89, 26, 97, 33},         {"park", 33, 42, 44, 51},
    {"college", 105, 27, 113, 34},    {"library", 119, 26, 128, 33},   {"market", 63, 49, 71, 56},
    {"supply store", 83, 50, 91, 56}, {"town centre", 44, 22, 98, 61},
};

constexpr Area kHomes[] = {
    {"co-living space", 14, 14, 38, 34},
    {"Arthur's apartment", 51, 11, 57, 18},
    {"Ryan's apartment", 63, 11, 68, 19},
    {"Isabella's apartment", 71, 10, 77, 17},
    {"Giorgio's apartment", 84, 12, 89, 19},
    {"Carlos's apartment", 92, 12, 97, 19},
    {"dorm", 106, 43, 130, 64},
    {"Lin house", 86, 71, 98, 82},
    {"Moreno house", 69, 71, 77, 82},
    {"Taylor house", 52, 71, 60, 82},
    {"Moore house", 33, 62, 40, 72},
    {"Yuriko's house", 25, 62, 30, 70},
    {"Adam's house", 17, 62, 22, 70},
};

struct Persona {
  const char* name;
  int home;
  Pos bed;
  Place work;
};

constexpr Persona kPersonas[kTownAgents] = {
    {"Latoya", 0, {16, 18}, kHome},   {"Rajiv", 0, {25, 18}, kHome},     {"Abigail", 0, {36, 18}, kCafe},
    {"Francisco", 0, {16, 32}, kPub}, {"Hailey", 0, {26, 32}, kHome},    {"Arthur", 1, {54, 14}, kPub},
    {"Ryan", 2, {66, 18}, kLibrary},  {"Isabella", 3, {73, 14}, kCafe},  {"Giorgio", 4, {87, 18}, kLibrary},
    {"Carlos", 5, {93, 18}, kPark},   {"Klaus", 6, {127, 46}, kLibrary}, {"Maria", 6, {123, 57}, kClass},
    {"Ayesha", 6, {119, 61}, kClass}, {"Wolfgang", 6, {107, 62}, kPark}, {"Mei", 7, {90, 74}, kClass},
    {"John", 7, {91, 74}, kMarket},   {"Eddy", 7, {94, 74}, kClass},     {"Tom", 8, {73, 74}, kMarket},
    {"Jane", 8, {72, 74}, kHome},     {"Tamara", 9, {55, 74}, kHome},    {"Carmen", 9, {58, 74}, kStore},
    {"Sam", 10, {36, 65}, kPark},     {"Jennifer", 10, {37, 65}, kHome}, {"Yuriko", 11, {29, 65}, kMarket},
    {"Adam", 12, {21, 65}, kHome},
};

constexpr const char* kActivities[] = {"reading",        "writing",       "tidying up", "making notes",
                                       "having a snack", "watching",      "planning",   "resting",
                                       "working",        "looking around"};

class Walker {
 public:
  Walker(const Persona& persona, int id, uint64_t seed)
      : persona_(persona), draws_(seed, 1, id), pos_(persona.bed) {
    day_.trace.name = persona.name;
    day_.trace.path.emplace_back(0, pos_);
  }

  AgentDay Live() {
    const double hour = kStepsPerHour;
    const auto wake = static_cast<Step>(hour * draws_.Between(5.85, 7.75));
    const auto sleep = static_cast<Step>(hour * draws_.Between(21.6, 24.6));
    if (sleep > kStepsPerDay) {
      StayAwake(0, sleep - kStepsPerDay, kHome);
    }
    Sleep(now_);
    now_ = std::max(now_, wake);
    if (day_.trace.plans.empty() || true) day_.trace.plans.emplace_back(day_.trace.plans.empty() ? 0 : day_.trace.plans.back().second, now_);
    day_.wakings.push_back(now_);
    const Step up = now_;
    const auto until = [&](double from, double to, Place place) {
      const auto end = std::min(static_cast<Step>(hour * draws_.Between(from, to)), sleep);
      Stay(end, place);
    };
    until(7.8, 8.9, kHome);
    until(11.6, 12.2, persona_.work);
    until(12.8, 13.2, Lunch());
    until(16.4, 18.0, persona_.work);
    until(18.2, 19.2, Leisure());
    if (draws_.Chance(0.35)) {
      until(19.4, 19.8, kHome);
      until(20.8, 22.0, draws_.Chance(0.6) ? kPub : kCafe);
    }
    Stay(sleep, kHome);
    day_.awake.emplace_back(up, std::min(now_, kStepsPerDay));
    if (now_ < kStepsPerDay) Sleep(now_);
    return std::move(day_);
  }

 private:
  Place Lunch() {
    const double u = draws_.Uniform();
    if (u < 0.05) return kCafe;
    if (u < 0.075) return kPub;
    if (u < 0.1) return kPark;
    if (u < 0.4) return kCentre;
    return u < 0.9 ? kHome : persona_.work;
  }

  Place Leisure() {
    constexpr Place kChoices[] = {kPark, kMarket, kCafe, kHome, kStore, kHome};
    return kChoices[draws_.Int(0, 5)];
  }

  const Area& AreaOf(Place place) const { return place == kHome ? kHomes[persona_.home] : kPlaces[place]; }

  void StayAwake(Step from, Step until, Place place) {
    now_ = from;
    Stay(until, place);
    day_.awake.emplace_back(from, std::max(now_, from));
  }

  // Actions at the place, one after the other, until then.
  void Stay(Step until, Place place) {
    bool first = true;
    while (now_ < std::min(until, kStepsPerDay)) {
      Step end = now_ + std::max<Step>(6, static_cast<Step>(draws_.LogNormal(75, 0.6)));
      if (draws_.Chance(0.6))
        end = std::max(now_ + kFiveMinutes, (end + kFiveMinutes / 2) / kFiveMinutes * kFiveMinutes);
      const Step begun = now_;
      Act(place, first);
      first = false;
      now_ = std::max(now_ + 1, std::min(end, until));
      if (now_ > begun + 1) day_.trace.plans.emplace_back(begun + 1, now_);  // what its decision has led to
    }
  }

  // Begins an action now, and walks to where it is done.
  void Act(Place place, bool arrives) {
    const Area& area = AreaOf(place);
    const char* activity = kActivities[draws_.Int(0, std::size(kActivities) - 1)];
    Record(std::string(activity) + " @ " + area.name);
    if (now_ > 0) day_.decisions.push_back(now_);
    if (!arrives && draws_.Chance(place == kCentre ? 0.95 : 0.45)) return;  // who eats outside stays there
    const Pos spot{draws_.Int(area.left, area.right), draws_.Int(area.top, area.bottom - 1)};
    GoTo(spot, area);
  }

  void Sleep(Step from) {
    now_ = from;
    Record("sleeping @ " + std::string(kHomes[persona_.home].name));
    GoTo(persona_.bed, kHomes[persona_.home]);
  }

  void Record(std::string text) {
    if (day_.trace.actions.empty() || day_.trace.actions.back().second != text) {
      day_.trace.actions.emplace_back(now_, std::move(text));
    }
  }

  // Through the doors, if it is elsewhere.
  void GoTo(Pos spot, const Area& area) {
    if (area_ != nullptr && area_ != &area) {
      Walk(area_->Door());
      Walk(area.Door());
    }
    area_ = &area;
    Walk(spot);
  }

  void Walk(Pos to) {
    while (pos_ != to && now_ + 1 < kStepsPerDay) {
      pos_.x += (to.x > pos_.x) - (to.x < pos_.x);
      pos_.y += (to.y > pos_.y) - (to.y < pos_.y);
      day_.trace.path.emplace_back(++now_, pos_);
    }
  }

  const Persona& persona_;
  Draws draws_;
  AgentDay day_;
  Step now_ = 0;
  Pos pos_;
  const Area* area_ = nullptr;
};

}  // namespace

bool AgentDay::AwakeAt(Step step) const {
  return std::any_of(awake.begin(), awake.end(),
                     [&](const auto& span) { return step >= span.first && step < span.second; });
}

std::vector<AgentDay> MakeTownDay(int agents, uint64_t seed) {
  THRONG_CHECK(agents >= 1 && agents <= kTownAgents);
  std::vector<AgentDay> days;
  for (int id = 0; id < agents; ++id) days.push_back(Walker(kPersonas[id], id, seed).Live());
  return days;
}

}  // namespace throng::sim
