#include "town/town_world.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/check.h"
#include "base/rng.h"
#include "town/mind/recall.h"

namespace throng::town {
namespace {

using sim::AgentId;
using sim::Step;

constexpr int kSawPauseMinutes = 120;  // pause before seeing the same person is worth a memory again
constexpr size_t kSawPerStep = 2;
constexpr int32_t kGap = 16;  // tiles between copies of the town: nobody sees across
constexpr const char* kTalkWith = "talk with ";

int64_t Distance(sim::Pos a, sim::Pos b) {
  return std::max(std::abs(int64_t{a.x} - b.x), std::abs(int64_t{a.y} - b.y));
}

bool Knows(const Persona& persona, const Persona& other) {
  const auto is_other = [&](const Relation& relation) { return relation.name == other.name; };
  return std::any_of(persona.relations.begin(), persona.relations.end(), is_other);
}

int32_t ColumnsFor(uint32_t copies) {
  return static_cast<int32_t>(std::ceil(std::sqrt(static_cast<double>(copies))));
}

sim::Space SpaceFor(const Map& map, uint32_t copies) {
  const int32_t columns = ColumnsFor(copies);
  const int32_t rows = (static_cast<int32_t>(copies) + columns - 1) / columns;
  return sim::Space(columns * (map.Width() + kGap) - kGap, rows * (map.Height() + kGap) - kGap,
                    sim::Metric::kChebyshev);
}

uint32_t CopiesFor(uint32_t agents, size_t personas) {
  return static_cast<uint32_t>((agents + personas - 1) / personas);
}

}  // namespace

TownWorld::TownWorld(Content content, uint32_t agents, const LoadOptions& options)
    : content_(std::move(content)),
      num_agents_(agents),
      embeds_(options.embeds),
      hidden_(options.hidden),
      columns_(ColumnsFor(CopiesFor(agents, content_.personas.size()))),
      space_(SpaceFor(*content_.map, CopiesFor(agents, content_.personas.size()))),
      idle_(std::make_shared<const TownIntent>()) {}

const Persona& TownWorld::PersonaOf(AgentId agent) const {
  return content_.personas[agent % content_.personas.size()];
}

TownWorld::Copy TownWorld::CopyOf(AgentId agent) const {
  const auto copy = static_cast<int32_t>(agent / content_.personas.size());
  return {copy % columns_ * (content_.map->Width() + kGap),
          copy / columns_ * (content_.map->Height() + kGap)};
}

sim::Pos TownWorld::ToLocal(AgentId agent, sim::Pos pos) const {
  const Copy copy = CopyOf(agent);
  return {pos.x - copy.x, pos.y - copy.y};
}

sim::Pos TownWorld::ToWorld(AgentId agent, sim::Pos pos) const {
  const Copy copy = CopyOf(agent);
  return {pos.x + copy.x, pos.y + copy.y};
}

int TownWorld::RegionOf(AgentId agent, PlaceId place) const {
  return place == content_.home ? PersonaOf(agent).home : content_.places[place].region;
}

int TownWorld::RoomAt(sim::Pos local) const {
  return content_.map->TileAt(local) == Tile::kFloor ? content_.map->RegionAt(local) : Map::kNoRegion;
}

Hidden TownWorld::HiddenAt(Step step) const {
  Hidden hidden;
  for (const HiddenFrom& change : hidden_) {
    if (change.from <= step) hidden = change.hidden;
  }
  return hidden;
}

int32_t TownWorld::MinuteAt(Step step) const {
  const int64_t seconds = int64_t{step} * content_.settings.seconds_per_step;
  return static_cast<int32_t>(content_.settings.start_minute + seconds / 60);
}

Step TownWorld::StepsOf(int minutes) const {
  return std::max(1, minutes * 60 / content_.settings.seconds_per_step);
}

uint64_t TownWorld::Personal(AgentId agent, uint64_t matter, int64_t time, uint64_t n) const {
  return CounterRng(agent, matter, time).NextBelow(n);
}

std::string TownWorld::UsualActivity(AgentId agent, PlaceId place, int32_t minute) const {
  const std::vector<std::string>& activities = content_.places[place].activities;
  std::string activity = activities[Personal(agent, kActivityMatter, minute / 60, activities.size())];
  return activity == kSleep ? activities[0] : activity;
}

std::string TownWorld::StatusOf(const TownMind& mind) const {
  if (!mind.awake) return kSleep;
  if (mind.begun) return mind.activity;
  return mind.goal == content_.home ? "walk home" : "walk to the " + content_.places[mind.goal].name;
}

sim::Task<void> TownWorld::WakeUp(const sim::View& view, sim::Caller& caller, Draft& draft) const {
  const AgentId self = view.Self();
  const Persona& persona = PersonaOf(self);
  TownMind& mind = draft.mind;
  const int32_t minute = MinuteAt(view.Now());
  llm::Request request = Prompt(self, mind, view.Now(), HiddenAt(view.Now()), std::nullopt, AskPlan);
  const llm::Completion completion = co_await caller.Ask(std::move(request));
  std::optional<Plan> plan = ParsePlan(content_, completion.text);
  if (!plan) {
    draft.events.push_back(
        {self, "fallback", FallbackText(Decision::kPlan, completion), sim::CallOf(completion)});
    plan = UsualPlan(content_, persona);
  }
  std::string text;
  for (const PlanEntry& entry : *plan) {
    text += fmt::format("{}{:02}:00 {}: {}", text.empty() ? "" : "; ", entry.hour,
                        content_.places[entry.place].name, entry.activity);
  }
  mind.memories.Append(view.Now(), minute, MemoryKind::kPlanned, 1, "You planned: " + text);
  mind.plan = std::make_shared<const Plan>(std::move(*plan));
  mind.awake = true;
  mind.tired = false;
  mind.planned_day = minute / kDayMinutes;
  mind.at = mind.goal = content_.home;
  mind.activity = UsualActivity(self, content_.home, minute);
  mind.begun = true;
  mind.next_act = view.Now() + 1;
  draft.mind_changed = true;
  draft.events.push_back({self, "plan", text, sim::CallOf(completion)});
}

sim::Task<void> TownWorld::GoToBed(const sim::View& view, sim::Caller& caller, Draft& draft) const {
  const AgentId self = view.Self();
  TownMind& mind = draft.mind;
  const int32_t minute = MinuteAt(view.Now());
  llm::Request request = Prompt(self, mind, view.Now(), HiddenAt(view.Now()), std::nullopt, AskReflect);
  const llm::Completion completion = co_await caller.Ask(std::move(request));
  if (const std::optional<Insight> insight = ParseInsight(completion.text)) {
    mind.memories.Append(view.Now(), minute, MemoryKind::kThought, insight->importance,
                         "You thought: " + insight->text);
    draft.events.push_back({self, "reflect", insight->text, sim::CallOf(completion)});
  } else {
    draft.events.push_back(
        {self, "fallback", FallbackText(Decision::kReflect, completion), sim::CallOf(completion)});
  }
  Retire(mind);
  draft.mind_changed = true;
}

sim::Task<void> TownWorld::ChooseGoal(const sim::View& view, sim::Caller& caller, Draft& draft) const {
  const AgentId self = view.Self();
  TownMind& mind = draft.mind;
  std::vector<std::string> near;
  for (const sim::Neighbour& other : InSight(view)) near.push_back(PersonaOf(other.id).name);
  std::string about = ActQuery(MinuteAt(view.Now()));
  const std::optional<Embedding> query = co_await Embed(self, std::move(about), caller, draft);
  llm::Request request = Prompt(self, mind, view.Now(), HiddenAt(view.Now()), query,
                                [&](const Scene& scene) { return AskAct(scene, near); });
  const llm::Completion completion = co_await caller.Ask(std::move(request));
  std::optional<PlaceId> place = ParsePlace(content_, completion.text);
  if (!place) {
    draft.events.push_back(
        {self, "fallback", FallbackText(Decision::kAct, completion), sim::CallOf(completion)});
    place = PlannedPlace(mind, view.Now());
  }
  if (*place != mind.goal) {
    const bool home = *place == content_.home;
    draft.events.push_back(
        {self, "go", home ? "home" : "to the " + content_.places[*place].name, sim::CallOf(completion)});
  }
  SetGoal(self, mind, *place, view.Now());
  draft.mind_changed = true;
}

std::vector<sim::Neighbour> TownWorld::InSight(const sim::View& view) const {
  const AgentId self = view.Self();
  const sim::Pos here = ToLocal(self, view.SelfBody().pos);
  std::vector<sim::Neighbour> others = view.Neighbours();
  std::erase_if(others, [&](const sim::Neighbour& other) {
    return !content_.map->InSight(here, ToLocal(self, other.body.pos));
  });
  return others;
}

bool TownWorld::MayConsider(const TownMind& mind, AgentId other, Step step) const {
  const Contact* contact = mind.FindContact(other);
  return !contact || contact->considered == kNever ||
         step - contact->considered >= StepsOf(content_.settings.pair_pause_minutes);
}

sim::Task<std::optional<Embedding>> TownWorld::Embed(AgentId agent, std::string query, sim::Caller& caller,
                                                     Draft& draft) const {
  if (!embeds_) co_return std::nullopt;
  llm::Request request = AskEmbeddings(draft.mind, query);
  const llm::Completion completion = co_await caller.Ask(std::move(request));
  std::optional<Embedding> embedding = TakeEmbeddings(completion.text, draft.mind);
  if (embedding) {
    draft.mind_changed = true;
  } else {
    draft.events.push_back({agent, "fallback", "embed: no embeddings, so memories are recalled by words",
                            sim::CallOf(completion)});
  }
  co_return embedding;
}

sim::Task<bool> TownWorld::AskWhetherToTalk(AgentId agent, AgentId other, const sim::Body& other_body,
                                            Step step, sim::Caller& caller, Draft& draft) const {
  Contact contact = draft.mind.ContactOf(other);
  const int minutes = contact.talked == kNever ? -1 : MinuteAt(step) - MinuteAt(contact.talked);
  const Meeting meeting = {PersonaOf(other).name, other_body.status, minutes};
  std::string about = meeting.name;
  const std::optional<Embedding> query = co_await Embed(agent, std::move(about), caller, draft);
  llm::Request request = Prompt(agent, draft.mind, step, HiddenAt(step), query,
                                [&](const Scene& scene) { return AskTalk(scene, meeting); });
  const llm::Completion completion = co_await caller.Ask(std::move(request));
  const std::optional<bool> answer = ParseYesNo(completion.text);
  if (!answer)
    draft.events.push_back(
        {agent, "fallback", FallbackText(Decision::kTalk, completion), sim::CallOf(completion)});
  contact.considered = step;
  draft.mind.SetContact(contact);
  draft.mind_changed = true;
  co_return answer.value_or(false);
}

sim::Task<void> TownWorld::ConsiderTalk(const sim::View& view, sim::Caller& caller, Draft& draft) const {
  const AgentId self = view.Self();
  const Step step = view.Now();
  draft.free = !draft.mind.tired;
  if (!draft.free || step < draft.mind.quiet_until) co_return;
  const auto rank = [&](const sim::Neighbour& other) {
    const std::vector<Relation>& relations = PersonaOf(self).relations;
    const auto is_other = [&](const Relation& relation) { return relation.name == PersonaOf(other.id).name; };
    const bool stranger = std::none_of(relations.begin(), relations.end(), is_other);
    return std::tuple(stranger, Distance(view.SelfBody().pos, other.body.pos), other.id);
  };
  const std::vector<sim::Neighbour> others = InSight(view);
  const sim::Neighbour* best = nullptr;
  for (const sim::Neighbour& other : others) {
    const std::string& status = other.body.status;
    if (status == kSleep || status.starts_with(kTalkWith) || !MayConsider(draft.mind, other.id, step))
      continue;
    if (!best || rank(other) < rank(*best)) best = &other;
  }
  if (!best) co_return;
  draft.thought_about = best->id;
  draft.wants = co_await AskWhetherToTalk(self, best->id, best->body, step, caller, draft);
}

void TownWorld::LookAround(const sim::View& view, Draft& draft) const {
  const AgentId self = view.Self();
  TownMind& mind = draft.mind;
  const sim::Pos here = ToLocal(self, view.SelfBody().pos);
  const int region = RoomAt(here);
  const int32_t minute = MinuteAt(view.Now());
  if (region == Map::kNoRegion) return;
  for (size_t place = 0; place < content_.places.size(); ++place) {
    if (RegionOf(self, static_cast<PlaceId>(place)) != region || mind.at == place) continue;
    mind.at = static_cast<PlaceId>(place);
    draft.mind_changed = true;
  }
  const bool arrived = region == RegionOf(self, mind.goal);
  if (arrived && !mind.begun) {
    const std::string where = mind.goal == content_.home ? "home" : "the " + content_.places[mind.goal].name;
    mind.begun = true;
    draft.mind_changed = true;
    draft.events.push_back({self, "begin", mind.activity + " at " + where});
    const std::string text = "You began to " + mind.activity + " at " + where + ".";
    if (!mind.tired) mind.memories.Append(view.Now(), minute, MemoryKind::kDid, 1, text);
  }
  if (!arrived || mind.goal == content_.home) return;
  size_t seen = 0;
  for (const sim::Neighbour& other : InSight(view)) {
    Contact contact = mind.ContactOf(other.id);
    if (contact.talked == kNever && !Knows(PersonaOf(self), PersonaOf(other.id))) continue;
    const bool lately = contact.saw != kNever && view.Now() - contact.saw < StepsOf(kSawPauseMinutes);
    if (lately || content_.map->RegionAt(ToLocal(self, other.body.pos)) != region) continue;
    if (++seen > kSawPerStep) break;
    contact.saw = view.Now();
    mind.SetContact(contact);
    draft.mind_changed = true;
    const std::string text =
        fmt::format("You saw {} at the {}.", PersonaOf(other.id).name, content_.places[mind.goal].name);
    mind.memories.Append(view.Now(), minute, MemoryKind::kSaw, 2, text);
  }
}

void TownWorld::Walk(const sim::View& view, Draft& draft) const {
  const AgentId self = view.Self();
  TownMind& mind = draft.mind;
  const int region = RegionOf(self, mind.goal);
  const size_t spot = SpotOf(self, mind, MinuteAt(view.Now()));
  const sim::Pos here = ToLocal(self, view.SelfBody().pos);
  const sim::Pos next = content_.map->NextTile(here, region, spot);
  draft.body.pos = ToWorld(self, next);
  if (FallsAsleep(mind, here, next)) {
    mind.awake = false;
    draft.mind_changed = true;
    draft.events.push_back({self, kSleep, "at home"});
  }
}

sim::Task<sim::IntentPtr> TownWorld::Proceed(const sim::View& view, sim::Caller& caller) const {
  const auto& mind = static_cast<const TownMind&>(*view.SelfMind());
  const Persona& persona = PersonaOf(view.Self());
  const int32_t minute = MinuteAt(view.Now());
  const int32_t day = minute / kDayMinutes;
  const int of_day = minute % kDayMinutes;
  const bool day_time = of_day < persona.sleep_hour * 60;
  const bool arrives = !mind.awake && mind.at != content_.home;
  const bool wakes =
      mind.planned_day != day && (arrives || (day_time && of_day >= WakeMinute(view.Self(), day)));
  if ((!mind.awake && !wakes) || (mind.awake && view.Now() < mind.busy_until)) co_return idle_;

  auto intent = std::make_shared<TownIntent>();
  intent->idle = false;
  Draft& draft = intent->draft;
  draft.mind = mind;
  draft.body = view.SelfBody();
  if (!mind.awake) {
    co_await WakeUp(view, caller, draft);
  } else {
    Hear(view, draft);
    Notice(view, draft);
    LookAround(view, draft);
    if (!mind.tired && IsBedtime(view.Self(), minute)) {
      co_await GoToBed(view, caller, draft);
    } else if (!mind.tired && view.Now() >= mind.next_act) {
      co_await ChooseGoal(view, caller, draft);
    }
    co_await ConsiderTalk(view, caller, draft);
    Walk(view, draft);
  }
  draft.body.status = StatusOf(draft.mind);
  co_return intent;
}

}  // namespace throng::town
