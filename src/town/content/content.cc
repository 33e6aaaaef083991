#include "town/content/content.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "town/content/decisions.h"

namespace throng::town {
namespace {

// Reads the files of a folder, keeps them and digests their content. What cannot be read is a problem, and
// then reads as nothing.
class Folder {
 public:
  Folder(std::string dir, Problems& problems) : dir_(std::move(dir)), problems_(problems) {
    std::error_code ignored;
    if (std::filesystem::is_directory(dir_, ignored)) return;
    problems_.Add({dir_, 0, "", "there is no such folder, allowed: one like the built-in town/"});
  }

  std::string Path(const std::string& file) const { return dir_ + "/" + file; }
  std::optional<std::string> Text(const std::string& file) {
    std::optional<std::string> text = ReadText(Path(file), problems_);
    if (!text) return std::nullopt;
    hasher_.Add(file).Add(*text);
    files_.push_back({file, *text});
    return text;
  }
  std::optional<Json> Parse(const std::string& file) {
    const std::optional<std::string> text = Text(file);
    if (!text) return std::nullopt;
    return ParseJson(Path(file), *text, problems_);
  }
  Problems& GetProblems() const { return problems_; }
  Digest Finish() const { return hasher_.Finish(); }
  std::vector<ScenarioFile> TakeFiles() { return std::move(files_); }

 private:
  std::string dir_;
  Problems& problems_;
  std::vector<ScenarioFile> files_;
  Hasher hasher_;
};

// Names of other files are only judged if those could be read.
std::vector<Place> ReadPlaces(const JsonView& file, const std::vector<Region>& regions) {
  const auto region_of = [&](const std::string& name) {
    const auto found = std::find_if(regions.begin(), regions.end(), [&](const Region& region) {
      return region.name == name && !region.is_home;
    });
    return found == regions.end() ? Map::kNoRegion : static_cast<int>(found - regions.begin());
  };
  std::vector<Place> places;
  for (const JsonView& entry : file.Items(2, kMaxPlaces)) {
    entry.OnlyKeys({"name", "kind", "activities"});
    Place place;
    const JsonView name = entry.At("name");
    place.name = name.Text(1, kMaxNameBytes);
    const auto same = [&](const Place& other) { return other.name == place.name; };
    if (std::any_of(places.begin(), places.end(), same)) name.Fail("a name that no other place has");
    const std::string kind = entry.At("kind").Text(1, 16);
    if (kind != "private" && kind != "public") entry.At("kind").Fail("\"private\" or \"public\"");
    place.is_home = kind == "private";
    if (place.is_home != (place.name == "home"))
      name.Fail("\"home\" for the one private place, and no other");
    place.region = place.is_home ? Map::kNoRegion : region_of(place.name);
    if (!place.is_home && place.region == Map::kNoRegion && !regions.empty()) {
      name.Fail("a name among the places of map.json");
    }
    for (const JsonView& activity : entry.At("activities").Items(1, 50)) {
      place.activities.push_back(activity.Text(1, kMaxActivityBytes));
    }
    places.push_back(std::move(place));
  }
  if (!places.empty() &&
      std::none_of(places.begin(), places.end(), [](const Place& place) { return place.is_home; })) {
    file.Fail("a list in which \"home\" is private");
  }
  return places;
}

std::vector<Relation> ReadRelations(const JsonView& list) {
  std::vector<Relation> relations;
  for (const JsonView& entry : list.Items(0, 50)) {
    entry.OnlyKeys({"name", "relation"});
    relations.push_back({entry.At("name").Text(1, kMaxNameBytes), entry.At("relation").Text(1, 24)});
  }
  return relations;
}

std::vector<OldMemory> ReadMemories(const JsonView& list) {
  std::vector<OldMemory> memories;
  for (const JsonView& entry : list.Items(0, 5000)) {
    entry.OnlyKeys({"text", "importance"});
    memories.push_back({entry.At("text").Text(1, 1000), static_cast<int>(entry.At("importance").Int(1, 10))});
  }
  return memories;
}

int FindHome(const std::vector<Region>& regions, const JsonView& home) {
  const std::string name = home.Text(1, kMaxNameBytes);
  for (size_t i = 0; i < regions.size(); ++i) {
    if (regions[i].is_home && regions[i].name == name) return static_cast<int>(i);
  }
  if (!regions.empty()) home.Fail("a name among the homes of map.json");
  return Map::kNoRegion;
}

Persona ReadPersona(const JsonView& entry, const std::vector<Place>& places,
                    const std::vector<Region>& regions) {
  entry.OnlyKeys({"name", "age", "job", "workplace", "home", "wake_hour", "sleep_hour", "traits", "relations",
                  "absent", "about", "memories", "places"});
  Persona persona;
  persona.name = entry.At("name").Text(1, kMaxNameBytes);
  persona.age = static_cast<int>(entry.At("age").Int(0, 130));
  persona.job = entry.At("job").Text(1, kMaxNameBytes);
  persona.workplace = FindPlace(places, entry.At("workplace"));
  persona.home = FindHome(regions, entry.At("home"));
  persona.wake_hour = static_cast<int>(entry.At("wake_hour").Int(0, 22));
  persona.sleep_hour = static_cast<int>(entry.At("sleep_hour").Int(persona.wake_hour + 1, 23));
  for (const JsonView& trait : entry.At("traits").Items(0, 10)) persona.traits.push_back(trait.Text(1, 48));
  persona.relations = ReadRelations(entry.At("relations"));
  if (const std::optional<JsonView> absent = entry.Find("absent")) persona.absent = absent->Bool();
  if (const std::optional<JsonView> about = entry.Find("about")) persona.about = about->Text(0, 8000);
  if (const std::optional<JsonView> memories = entry.Find("memories")) {
    persona.memories = ReadMemories(*memories);
  }
  if (const std::optional<JsonView> known = entry.Find("places")) {
    persona.known_places = {persona.workplace};
    for (const JsonView& place : known->Items(0, kMaxPlaces)) {
      persona.known_places->push_back(FindPlace(places, place));
    }
  }
  return persona;
}

std::vector<Persona> ReadPersonas(const JsonView& file, const std::vector<Place>& places,
                                  const std::vector<Region>& regions) {
  std::vector<Persona> personas;
  std::map<int, int> residents;
  const std::vector<JsonView> entries = file.Items(1, kMaxPersonas);
  for (const JsonView& entry : entries) {
    Persona persona = ReadPersona(entry, places, regions);
    const auto same = [&](const Persona& other) { return other.name == persona.name; };
    if (std::any_of(personas.begin(), personas.end(), same)) {
      entry.At("name").Fail("a name that nobody else has");
    }
    persona.home_idx = residents[persona.home]++;
    personas.push_back(std::move(persona));
  }
  for (size_t i = 0; i < personas.size(); ++i) {
    for (size_t k = 0; k < personas[i].relations.size(); ++k) {
      const std::string& name = personas[i].relations[k].name;
      const auto found = [&](const Persona& other) { return other.name == name && name != personas[i].name; };
      if (std::any_of(personas.begin(), personas.end(), found)) continue;
      entries[i].At("relations").Items(0, 50)[k].At("name").Fail("the name of another persona in this file");
    }
  }
  return personas;
}

int ReadMinutes(const JsonView& object, std::string_view key, int64_t min) {
  return static_cast<int>(object.At(key).Int(min, 24 * 60));
}

Settings ReadSettings(const JsonView& file) {
  file.OnlyKeys({"name", "start", "hours", "seconds_per_step", "perception_radius", "act_spread_minutes",
                 "stroll_minutes", "memory", "talk", "sampling", "news", "announcements"});
  Settings settings;
  settings.name = file.At("name").Text(1, 40);
  settings.start_minute = file.At("start").ClockMinutes();
  settings.hours = static_cast<int>(file.At("hours").Int(1, 24 * 365));
  settings.seconds_per_step = static_cast<int>(file.At("seconds_per_step").Int(1, 600));
  settings.perception_radius = static_cast<int>(file.At("perception_radius").Int(1, 50));
  settings.act_spread_minutes = static_cast<int>(file.At("act_spread_minutes").Int(0, 59));
  settings.stroll_minutes = ReadMinutes(file, "stroll_minutes", 1);
  const JsonView memory = file.At("memory");
  memory.OnlyKeys({"lines", "bytes", "half_recency_minutes"});
  settings.memory_lines = static_cast<int>(memory.At("lines").Int(1, 200));
  settings.memory_bytes = static_cast<int>(memory.At("bytes").Int(200, 100000));
  settings.recency_half_minutes = ReadMinutes(memory, "half_recency_minutes", 1);
  const JsonView talk = file.At("talk");
  talk.OnlyKeys({"pair_pause_minutes", "rest_minutes", "max_turns", "steps_per_turn"});
  settings.pair_pause_minutes = ReadMinutes(talk, "pair_pause_minutes", 1);
  settings.rest_minutes = ReadMinutes(talk, "rest_minutes", 0);
  settings.max_turns = static_cast<int>(talk.At("max_turns").Int(1, 20));
  settings.steps_per_turn = static_cast<int>(talk.At("steps_per_turn").Int(1, 100));
  return settings;
}

void ReadSampling(const JsonView& file, Content& content) {
  const std::optional<JsonView> sampling = file.Find("sampling");
  if (!sampling) return;
  sampling->OnlyKeys({"plan", "act", "talk", "say", "reflect", "answer"});
  for (const Decision decision : kDecisions) {
    const std::optional<JsonView> entry = sampling->Find(DecisionName(decision));
    if (!entry) continue;
    entry->OnlyKeys({"temperature", "top_p", "top_k", "min_p"});
    llm::Sampling& target = content.decisions[static_cast<size_t>(decision)].sampling;
    target.temperature = static_cast<float>(entry->At("temperature").Number(0, 2));
    if (const auto top_p = entry->Find("top_p")) target.top_p = static_cast<float>(top_p->Number(0.01, 1));
    if (const auto min_p = entry->Find("min_p")) target.min_p = static_cast<float>(min_p->Number(0, 1));
    if (const auto top_k = entry->Find("top_k")) target.top_k = static_cast<int>(top_k->Int(0, 100000));
  }
}

std::vector<News> ReadNews(const JsonView& file, const std::vector<Persona>& personas) {
  std::vector<News> news;
  const std::optional<JsonView> list = file.Find("news");
  if (!list) return news;
  for (const JsonView& entry : list->Items(0, 1000)) {
    entry.OnlyKeys({"to", "from", "text", "importance"});
    const std::string to = entry.At("to").Text(1, kMaxNameBytes);
    const auto found =
        std::find_if(personas.begin(), personas.end(), [&](const Persona& p) { return p.name == to; });
    if (found == personas.end() && !personas.empty()) entry.At("to").Fail("the name of a persona");
    news.push_back({static_cast<size_t>(found - personas.begin()), entry.At("from").Text(1, kMaxNameBytes),
                    entry.At("text").Text(1, 160), static_cast<int>(entry.At("importance").Int(1, 10))});
  }
  return news;
}

std::vector<PublicNews> ReadAnnouncements(const JsonView& file, int start_minute) {
  std::vector<PublicNews> announcements;
  const std::optional<JsonView> list = file.Find("announcements");
  if (!list) return announcements;
  for (const JsonView& entry : list->Items(0, 1000)) {
    entry.OnlyKeys({"at", "text"});
    const int minute = entry.At("at").ClockMinutes();
    if (minute < start_minute) entry.At("at").Fail("a time from the start on");
    announcements.push_back({minute, entry.At("text").Text(1, 160)});
  }
  return announcements;
}

}  // namespace

Content ReadContent(const std::string& dir, Problems& problems) {
  Content content;
  Folder folder(dir, problems);
  if (!problems.Empty()) return content;
  const auto view = [&](const std::optional<Json>& json, const char* file) {
    return JsonView(json ? &*json : nullptr, folder.Path(file), problems);
  };
  const std::optional<Json> map = folder.Parse("map.json");
  if (map) content.map = std::make_unique<const Map>(view(map, "map.json"));
  const std::vector<Region> regions = content.map ? content.map->Regions() : std::vector<Region>();
  const std::optional<Json> places = folder.Parse("places.json");
  content.places = ReadPlaces(view(places, "places.json"), regions);
  for (size_t i = 0; i < content.places.size(); ++i) {
    if (content.places[i].is_home) content.home = static_cast<PlaceId>(i);
  }
  const std::optional<Json> personas = folder.Parse("personas.json");
  content.personas = ReadPersonas(view(personas, "personas.json"), content.places, regions);
  const std::optional<Json> decisions = folder.Parse("decisions.json");
  ReadDecisions(
      view(decisions, "decisions.json"), dir, [&](const std::string& file) { return folder.Text(file); },
      content);
  CheckChoosable(view(places, "places.json"), content);
  NarrowToKnownPlaces(view(personas, "personas.json"), content);
  const std::optional<Json> scenario_json = folder.Parse("scenario.json");
  const JsonView scenario = view(scenario_json, "scenario.json");
  content.settings = ReadSettings(scenario);
  ReadSampling(scenario, content);
  content.news = ReadNews(scenario, content.personas);
  content.announcements = ReadAnnouncements(scenario, content.settings.start_minute);
  content.digest = folder.Finish();
  content.files = folder.TakeFiles();
  return content;
}

Content LoadContent(const std::string& dir) {
  Problems problems;
  Content content = ReadContent(dir, problems);
  problems.ThrowFirst(fmt::format("throng check {} lists them", dir));
  return content;
}

}  // namespace throng::town
