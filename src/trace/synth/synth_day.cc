#include "trace/synth/synth_day.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/check.h"

namespace throng::trace {
namespace {

constexpr sim::Step kMinute = 6;
constexpr sim::Step kFiveMinutes = 30;
constexpr double kMeanAction = 70;  // steps
// Share of the actions that last five minutes or a multiple of them; before this hour, all do.
constexpr double kFiveMinuteActions = 0.5;
constexpr sim::Step kAllOnMarksUntil = 7 * kStepsPerHour;
constexpr double kHourlyTasks = 0.7;  // share of full hours at which a new task begins
constexpr int kTableDistance = 6;     // tiles between tables of the town centre
constexpr double kLunchOutside = 0.9;

struct Area {
  const char* name;
  int32_t left, top, right, bottom;  // inclusive; the door is in the middle of the lower side

  sim::Pos Door() const { return {(left + right) / 2, bottom}; }
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
  sim::Pos bed;
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
  // `table`: where the agent eats in the town centre.
  Walker(const Persona& persona, int id, sim::Pos table, uint64_t seed)
      : persona_(persona), draws_(seed, 1, id), friends_(seed, 3, id / 2), table_(table), pos_(persona.bed) {
    day_.trace.name = persona.name;
    day_.trace.path.emplace_back(0, pos_);
  }

  AgentDay Live() {
    // Schedules are written by the hour: agents get up, go out and eat at full hours.
    const sim::Step wake = kStepsPerHour * WakeHour();
    const sim::Step sleep = kStepsPerHour * draws_.Int(22, 24);
    day_.wake = wake;
    Sleep();
    now_ = wake;
    day_.trace.plans.emplace_back(0, wake);
    Stay(kStepsPerHour * draws_.Int(8, 9), kHome);
    Stay(kStepsPerHour * 12, persona_.work);
    Stay(kStepsPerHour * 13, Lunch());
    Stay(kStepsPerHour * draws_.Int(16, 18), persona_.work);
    Stay(kStepsPerHour * draws_.Int(18, 19), Leisure());
    if (draws_.Chance(0.35)) {
      Stay(kStepsPerHour * 20, kHome);
      Stay(kStepsPerHour * draws_.Int(21, 22), draws_.Chance(0.6) ? kPub : kCafe);
    }
    Stay(sleep, kHome);
    day_.sleep = std::min(now_, kStepsPerDay);
    if (now_ < kStepsPerDay) Sleep();
    return std::move(day_);
  }

 private:
  Place Lunch() { return friends_.Chance(kLunchOutside) ? kCentre : kHome; }

  // As in a recorded morning of 25 agents.
  int WakeHour() {
    const double u = draws_.Uniform();
    if (u < 0.18) return 5;
    return u < 0.46 ? 6 : (u < 0.9 ? 7 : 8);
  }

  Place Leisure() {
    constexpr Place kChoices[] = {kPark, kMarket, kCafe, kHome, kStore, kHome};
    return kChoices[draws_.Int(0, 5)];
  }

  const Area& AreaOf(Place place) const { return place == kHome ? kHomes[persona_.home] : kPlaces[place]; }

  // Fills the time until `until` with actions at the place. They last whole minutes, most of them five or a
  // multiple.
  void Stay(sim::Step until, Place place) {
    bool first = true;
    while (now_ < until) {
      const double on_marks = now_ < kAllOnMarksUntil ? 1 : kFiveMinuteActions;
      const sim::Step grain = draws_.Chance(on_marks) ? kFiveMinutes : kMinute;
      const auto length = static_cast<sim::Step>(draws_.LogNormal(kMeanAction, 0.6) / grain + 0.5) * grain;
      sim::Step end = std::min(now_ + std::max(length, grain), until);
      const sim::Step full_hour = (now_ / kStepsPerHour + 1) * kStepsPerHour;
      if (end > full_hour && draws_.Chance(kHourlyTasks)) end = full_hour;
      const sim::Step begun = now_;
      Act(place, first);
      first = false;
      now_ = std::max(end, (now_ + kMinute - 1) / kMinute * kMinute);  // at least until the walk is over
      if (now_ > begun + 1) day_.trace.plans.emplace_back(begun + 1, now_);  // known since its decision
    }
  }

  // Begins an action now, and walks to where it is done.
  void Act(Place place, bool arrives) {
    const Area& area = AreaOf(place);
    const char* activity = kActivities[draws_.Int(0, std::size(kActivities) - 1)];
    Record(std::string(activity) + " @ " + area.name);
    day_.decisions.push_back(now_);
    if (!arrives && (place == kCentre || draws_.Chance(0.7))) return;  // once at its table it stays put
    if (place == kCentre) return GoTo({table_.x + draws_.Int(0, 1), table_.y + draws_.Int(0, 2)}, area);
    GoTo({draws_.Int(area.left, area.right), draws_.Int(area.top, area.bottom - 1)}, area);
  }

  void Sleep() {
    Record("sleeping @ " + std::string(kHomes[persona_.home].name));
    GoTo(persona_.bed, kHomes[persona_.home]);
  }

  void Record(std::string text) {
    if (day_.trace.actions.empty() || day_.trace.actions.back().second != text) {
      day_.trace.actions.emplace_back(now_, std::move(text));
    }
  }

  // Goes through the doors if the agent is elsewhere.
  void GoTo(sim::Pos spot, const Area& area) {
    if (area_ != nullptr && area_ != &area) {
      Walk(area_->Door());
      Walk(area.Door());
    }
    area_ = &area;
    Walk(spot);
  }

  void Walk(sim::Pos to) {
    while (pos_ != to && now_ + 1 < kStepsPerDay) {
      pos_.x += (to.x > pos_.x) - (to.x < pos_.x);
      pos_.y += (to.y > pos_.y) - (to.y < pos_.y);
      day_.trace.path.emplace_back(++now_, pos_);
    }
  }

  const Persona& persona_;
  Draws draws_;
  Draws friends_;  // equal for two friends who have lunch together
  const sim::Pos table_;
  AgentDay day_;
  sim::Step now_ = 0;
  sim::Pos pos_;
  const Area* area_ = nullptr;
};

// The tables of the town centre, in the order in which they are taken.
std::vector<sim::Pos> ShuffleTables(uint64_t seed) {
  const Area& centre = kPlaces[kCentre];
  std::vector<sim::Pos> tables;
  for (int y = centre.top; y < centre.bottom; y += kTableDistance) {
    for (int x = centre.left; x < centre.right; x += kTableDistance) tables.push_back({x, y});
  }
  Draws draws(seed, 4);
  for (int i = static_cast<int>(tables.size()) - 1; i > 0; --i)
    std::swap(tables[static_cast<size_t>(i)], tables[static_cast<size_t>(draws.Int(0, i))]);
  return tables;
}

}  // namespace

std::vector<AgentDay> MakeTownDay(int agents, uint64_t seed) {
  THRONG_CHECK(agents >= 1 && agents <= kTownAgents);
  const std::vector<sim::Pos> tables = ShuffleTables(seed);
  std::vector<AgentDay> days;
  for (int id = 0; id < agents; ++id) {
    const sim::Pos table = tables[static_cast<size_t>(id / 2)];  // friends share one
    days.push_back(Walker(kPersonas[id], id, table, seed).Live());
  }
  return days;
}

}  // namespace throng::trace
