// When people do what by the clock, and where they walk: what they promise, and what others expect of them.

#include <algorithm>

#include "town/town_world.h"

namespace throng::town {
namespace {

using sim::AgentId;
using sim::Step;

// Not everybody gets up on the hour: at most half an hour later, in steps of ten minutes.
constexpr int kWakeSlots = 4;
constexpr int kWakeSlotMinutes = 10;
constexpr Step kKnownWay = 16;  // steps of a walk declared at once

}  // namespace

int TownWorld::WakeMinute(AgentId agent, int32_t day) const {
  int minute = PersonaOf(agent).wake_hour * 60;
  if (day == 0) minute = std::max(minute, content_.settings.start_minute);
  return minute + kWakeSlotMinutes * static_cast<int>(Personal(agent, kWakeMatter, day, kWakeSlots));
}

Step TownWorld::FirstStepAt(int32_t minute) const {
  const int64_t seconds = int64_t{minute - content_.settings.start_minute} * 60;
  const int64_t per_step = content_.settings.seconds_per_step;
  return static_cast<Step>((seconds + per_step - 1) / per_step);
}

Step TownWorld::NextActStep(AgentId agent, Step step) const {
  const int32_t hour = MinuteAt(step) / 60 + 1;
  const uint64_t spread = static_cast<uint64_t>(content_.settings.act_spread_minutes) + 1;
  return FirstStepAt(hour * 60 + static_cast<int32_t>(Personal(agent, kActMatter, hour, spread)));
}

bool TownWorld::IsBedtime(AgentId agent, int32_t minute) const {
  const Persona& persona = PersonaOf(agent);
  const int32_t of_day = minute % kDayMinutes;
  return of_day >= persona.sleep_hour * 60 || of_day < persona.wake_hour * 60;
}

void TownWorld::Retire(TownMind& mind) const {
  mind.tired = true;
  mind.goal = content_.home;
  mind.activity = kSleep;
  mind.begun = false;
}

PlaceId TownWorld::PlannedPlace(const TownMind& mind, Step step) const {
  const PlanEntry* entry = CurrentEntry(*mind.plan, MinuteAt(step) % kDayMinutes);
  return entry ? entry->place : content_.home;
}

void TownWorld::SetGoal(AgentId agent, TownMind& mind, PlaceId place, Step step) const {
  const int32_t minute = MinuteAt(step);
  const PlanEntry* entry = CurrentEntry(*mind.plan, minute % kDayMinutes);
  const std::string activity =
      entry && entry->place == place ? entry->activity : UsualActivity(agent, place, minute);
  if (place != mind.goal || activity != mind.activity) mind.begun = false;
  mind.goal = place;
  mind.activity = activity;
  mind.next_act = NextActStep(agent, step);
}

bool TownWorld::FallsAsleep(const TownMind& mind, sim::Pos here, sim::Pos next) {
  return mind.tired && mind.begun && next == here;
}

int32_t TownWorld::StrollOffset(AgentId agent) const {
  const auto stroll = static_cast<uint64_t>(content_.settings.stroll_minutes);
  return static_cast<int32_t>(Personal(agent, kStrollMatter, 0, stroll));
}

size_t TownWorld::SpotOf(AgentId agent, const TownMind& mind, int32_t minute) const {
  const size_t num_spots = content_.map->Regions()[RegionOf(agent, mind.goal)].spots.size();
  if (mind.tired) return static_cast<size_t>(PersonaOf(agent).home_idx) % num_spots;  // the bed
  const int32_t stroll = content_.settings.stroll_minutes;
  return Personal(agent, kSpotMatter + mind.goal * 16, (minute + StrollOffset(agent)) / stroll, num_spots);
}

Step TownWorld::NextTurnStep(AgentId agent, const TownMind& mind, Step step) const {
  if (mind.tired) return NextWakeStep(agent, mind, step) + 1;
  const int32_t minute = MinuteAt(step);
  const int32_t stroll = content_.settings.stroll_minutes;
  const int32_t offset = StrollOffset(agent);
  const int32_t turn = ((minute + offset) / stroll + 1) * stroll - offset;
  const int32_t day_start = minute - minute % kDayMinutes;
  const int32_t bedtime = IsBedtime(agent, minute) ? minute : day_start + PersonaOf(agent).sleep_hour * 60;
  return std::min({mind.next_act, FirstStepAt(turn), FirstStepAt(bedtime)});
}

Step TownWorld::NextWakeStep(AgentId agent, const TownMind& mind, Step step) const {
  const int32_t today = MinuteAt(step) / kDayMinutes;
  if (mind.at != content_.home && mind.planned_day != today) return step;  // it has just arrived
  for (int32_t day = today; day <= today + 1; ++day) {
    const int32_t wake = WakeMinute(agent, day);
    if (mind.planned_day == day || wake >= PersonaOf(agent).sleep_hour * 60) continue;
    if (MinuteAt(step) >= day * kDayMinutes + PersonaOf(agent).sleep_hour * 60) continue;
    return std::max(step, FirstStepAt(day * kDayMinutes + wake));
  }
  return FirstStepAt((today + 2) * kDayMinutes);
}

// Nobody writes cells (only happenings do), and agents move only by Walk: a sleeper stays until after the
// step in which it wakes, a talker until the talk has ended, and others stay on the way to their spot until
// they may choose another.
sim::Lookahead TownWorld::Declare(AgentId agent, Step step, const sim::Body& body,
                                  const sim::MindPtr& mind_ptr) const {
  const auto& mind = static_cast<const TownMind&>(*mind_ptr);
  if (!mind.awake) return {NextWakeStep(agent, mind, step) + 1, body.pos, body.pos};
  if (step < mind.busy_until) return {mind.busy_until, body.pos, body.pos};
  const int region = RegionOf(agent, mind.goal);
  const size_t spot = SpotOf(agent, mind, MinuteAt(step));
  sim::Lookahead way = {NextTurnStep(agent, mind, step), body.pos, body.pos};
  sim::Pos pos = ToLocal(agent, body.pos);
  for (Step ahead = 1; step + ahead <= way.until; ++ahead) {
    const sim::Pos next = content_.map->NextTile(pos, region, spot);
    if (next == pos) break;
    if (ahead > kKnownWay) {
      way.until = step + kKnownWay;
      break;
    }
    pos = next;
    const sim::Pos at = ToWorld(agent, pos);
    way.low = {std::min(way.low.x, at.x), std::min(way.low.y, at.y)};
    way.high = {std::max(way.high.x, at.x), std::max(way.high.y, at.y)};
  }
  return way;
}

// Assumes that nobody comes by: the agent sleeps, ends its talk, carries on with its activity, strolls and
// goes to bed by the clock. When it decides where to go, others expect what it had planned for that hour, but
// do not know.
sim::World::Expectation TownWorld::Expect(AgentId agent, Step step, const sim::Body& body,
                                          const sim::MindPtr& mind_ptr, Step later) const {
  TownMind mind = static_cast<const TownMind&>(*mind_ptr);
  if (!mind.awake) {
    const Step wakes = NextWakeStep(agent, mind, step);
    if (later <= wakes) return {body, true};
    return {{body.pos, UsualActivity(agent, content_.home, MinuteAt(wakes))}, later == wakes + 1};
  }
  Step at = std::max(step, mind.busy_until);
  if (later <= at) return {body, true};
  bool is_planned = true;
  sim::Pos pos = ToLocal(agent, body.pos);
  Step turn = at;
  size_t spot = 0;
  for (; at < later && mind.awake; ++at) {
    if (RoomAt(pos) == RegionOf(agent, mind.goal)) mind.begun = true;
    if (at >= turn) {
      if (!mind.tired) {
        if (IsBedtime(agent, MinuteAt(at))) {
          Retire(mind);
        } else if (at >= mind.next_act) {
          SetGoal(agent, mind, PlannedPlace(mind, at), at);
          is_planned = false;
        }
      }
      turn = NextTurnStep(agent, mind, at);
      spot = SpotOf(agent, mind, MinuteAt(at));
    }
    const sim::Pos next = content_.map->NextTile(pos, RegionOf(agent, mind.goal), spot);
    mind.awake = !FallsAsleep(mind, pos, next);
    if (next == pos && mind.begun) at = std::max(at, std::min(later, turn) - 1);
    pos = next;
  }
  return {{ToWorld(agent, pos), StatusOf(mind)}, is_planned};
}

}  // namespace throng::town
