// Interventions in the town: people who arrive and leave, news, and things that happen at a place.

#include <algorithm>
#include <charconv>
#include <regex>

#include "base/error.h"
#include "town/town_world.h"

namespace throng::town {
namespace {

using sim::AgentId;
using sim::Step;

constexpr size_t kMaxTextBytes = 160;
constexpr int kMaxMinutes = 24 * 60;
constexpr int kNewsImportance = 7;
constexpr int kSightImportance = 6;

constexpr const char* kForms =
    "\"arrive NAME\", \"arrive NAME at PLACE\", \"leave NAME\", \"tell NAME: TEXT\", \"announce TEXT\" or "
    "\"at "
    "PLACE for MINUTES: WHAT ONE SEES\"";

}  // namespace

bool TownWorld::StartsPresent(AgentId agent) const { return !PersonaOf(agent).absent; }

std::vector<sim::Announcement> TownWorld::Announcements() const {
  std::vector<sim::Announcement> announcements;
  for (const PublicNews& news : content_.announcements) {
    announcements.push_back({FirstStepAt(news.minute), news.text});
  }
  return announcements;
}

TownWorld::Happening TownWorld::ParseHappening(const std::string& what) const {
  static const std::regex kArrive("arrive (.+?)(?: at (.+))?");
  static const std::regex kLeave("leave (.+)");
  static const std::regex kTell("tell ([^:]+): (.+)");
  static const std::regex kAnnounce("announce (.+)");
  static const std::regex kAt("at (.+) for ([0-9]{1,4}): (.+)");
  const auto fail = [&](const std::string& allowed) {
    return MakeError(ErrorCode::kInvalid, "event {:?}: allowed: {}", what, allowed);
  };
  Happening happening;
  std::string place;
  std::smatch match;
  if (std::regex_match(what, match, kArrive)) {
    happening.kind = Happening::kArrival;
    happening.agent = FindAgent(match[1]);
    place = match[2].matched ? match[2].str() : content_.places[content_.home].name;
  } else if (std::regex_match(what, match, kLeave)) {
    happening.kind = Happening::kDeparture;
    happening.agent = FindAgent(match[1]);
  } else if (std::regex_match(what, match, kTell)) {
    happening.kind = Happening::kTold;
    happening.agent = FindAgent(match[1]);
    happening.text = match[2];
  } else if (std::regex_match(what, match, kAnnounce)) {
    happening.kind = Happening::kAnnounced;
    happening.text = match[1];
  } else if (std::regex_match(what, match, kAt)) {
    happening.kind = Happening::kSight;
    place = match[1];
    happening.minutes = std::stoi(match[2]);
    happening.text = match[3];
    if (happening.minutes < 1 || happening.minutes > kMaxMinutes) {
      throw fail(fmt::format("for 1 to {} minutes", kMaxMinutes));
    }
  } else {
    throw fail(kForms);
  }
  if (CleanLine(happening.text, kMaxTextBytes) != happening.text) {
    throw fail(fmt::format("one line of at most {} bytes, without spaces at its ends", kMaxTextBytes));
  }
  if (!place.empty()) {
    const std::optional<PlaceId> found = ParsePlace(content_, place);
    if (!found || (*found == content_.home && happening.kind == Happening::kSight)) {
      throw fail("a public place of places.json");
    }
    happening.place = *found;
  }
  return happening;
}

void TownWorld::CheckIntervention(const std::string& what) const { ParseHappening(what); }

void TownWorld::Intervene(const std::string& what, sim::Change& change) const {
  const Happening happening = ParseHappening(what);
  const AgentId agent = happening.agent;
  switch (happening.kind) {
    case Happening::kArrival:
      if (!change.IsPresent(agent)) Arrive(happening, change);
      break;
    case Happening::kDeparture:
      if (change.IsPresent(agent)) change.Remove(agent);
      break;
    case Happening::kTold:
      if (change.IsPresent(agent)) {
        TownMind mind = static_cast<const TownMind&>(*change.MindOf(agent));
        mind.memories.Append(change.Now(), MinuteAt(change.Now()), MemoryKind::kHeard, kNewsImportance,
                             happening.text);
        change.SetMind(agent, TownMind::Seal(std::move(mind)));
      }
      break;
    case Happening::kAnnounced:
      change.Announce(happening.text);
      break;
    case Happening::kSight:
      Show(happening, change);
      break;
  }
}

// Returning people keep their memories. New people, and those who were asleep, wake up and make a plan,
// unless they are at home.
void TownWorld::Arrive(const Happening& happening, sim::Change& change) const {
  const AgentId agent = happening.agent;
  sim::Body body = StartBody(agent);
  const sim::MindPtr last = change.MindOf(agent);
  const sim::MindPtr known = last == nullptr ? StartMind(agent) : last;
  TownMind mind = static_cast<const TownMind&>(*known);
  mind.at = happening.place;
  body.status = StatusOf(mind);
  if (happening.place != content_.home) {
    const std::vector<sim::Pos>& spots = content_.map->Regions()[RegionOf(agent, happening.place)].spots;
    body.pos = ToWorld(agent, spots[Personal(agent, kSpotMatter, change.Now(), spots.size())]);
  }
  change.Add(agent, std::move(body), TownMind::Seal(std::move(mind)));
}

// Writes the sight on the floor of the place, in every copy of the town, where passers-by see it. People
// already there reconsider where to go.
void TownWorld::Show(const Happening& happening, sim::Change& change) const {
  const int region = content_.places[happening.place].region;
  const std::string sight = fmt::format("{} {}", change.Now() + StepsOf(happening.minutes), happening.text);
  for (AgentId first = 0; first < num_agents_; first += static_cast<AgentId>(content_.personas.size())) {
    for (const Rect& rect : content_.map->Regions()[region].rects) {
      for (int32_t y = rect.y; y < rect.y + rect.height; ++y) {
        for (int32_t x = rect.x; x < rect.x + rect.width; ++x) {
          if (content_.map->TileAt({x, y}) == Tile::kFloor) change.WriteCell(ToWorld(first, {x, y}), sight);
        }
      }
    }
  }
  for (AgentId agent = 0; agent < num_agents_; ++agent) {
    if (!change.IsPresent(agent)) continue;
    const auto& mind = static_cast<const TownMind&>(*change.MindOf(agent));
    if (!mind.awake || mind.tired) continue;
    if (content_.map->RegionAt(ToLocal(agent, change.BodyOf(agent).pos)) != region) continue;
    TownMind alert = mind;
    alert.next_act = change.Now();
    change.SetMind(agent, TownMind::Seal(std::move(alert)));
  }
}

void TownWorld::Hear(const sim::View& view, Draft& draft) const {
  for (const sim::Announcement& announcement : view.Announced(draft.mind.heard)) {
    ++draft.mind.heard;
    draft.mind.memories.Append(view.Now(), MinuteAt(view.Now()), MemoryKind::kHeard, kNewsImportance,
                               announcement.text);
    draft.mind_changed = true;
    draft.events.push_back({view.Self(), "hear", announcement.text});
  }
}

void TownWorld::Notice(const sim::View& view, Draft& draft) const {
  const std::string sight = view.Cell(view.SelfBody().pos);
  if (sight.empty()) return;
  Step until = 0;
  const auto [end, error] = std::from_chars(sight.data(), sight.data() + sight.size(), until);
  if (error != std::errc() || view.Now() >= until) return;
  const sim::Pos here = ToLocal(view.Self(), view.SelfBody().pos);
  const std::string text =
      fmt::format("You saw {} at the {}.", std::string_view(end + 1, sight.data() + sight.size()),
                  content_.map->Regions()[content_.map->RegionAt(here)].name);
  const std::vector<const Memory*> known = draft.mind.memories.All();
  if (std::any_of(known.begin(), known.end(), [&](const Memory* memory) { return memory->text == text; }))
    return;
  draft.mind.memories.Append(view.Now(), MinuteAt(view.Now()), MemoryKind::kSaw, kSightImportance, text);
  draft.mind_changed = true;
  draft.events.push_back({view.Self(), "notice", text});
}

}  // namespace throng::town
