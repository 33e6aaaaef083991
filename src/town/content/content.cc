#include "town/content/content.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "base/error.h"

namespace throng::town {
namespace {

constexpr size_t kMaxPersonas = 1000;

// Reads the files of a folder, keeps them and digests their content.
class Folder {
 public:
  explicit Folder(std::string dir) : dir_(std::move(dir)) {
    std::error_code ignored;
    if (!std::filesystem::is_directory(dir_, ignored)) {
      throw MakeError(ErrorCode::kIo, "{}: there is no such folder, allowed: one like the built-in town/",
                      dir_);
    }
  }

  std::string Path(const std::string& file) const { return dir_ + "/" + file; }
  std::string Text(const std::string& file) {
    std::string text = ReadText(Path(file));
    hasher_.Add(file).Add(text);
    files_.push_back({file, text});
    return text;
  }
  Json Parse(const std::string& file) { return ParseJson(Path(file), Text(file)); }
  Digest Finish() const { return hasher_.Finish(); }
  std::vector<ScenarioFile> TakeFiles() { return std::move(files_); }

 private:
  std::string dir_;
  std::vector<ScenarioFile> files_;
  Hasher hasher_;
};

std::vector<Place> ReadPlaces(const JsonView& file, const Map& map) {
  std::vector<Place> places;
  for (const JsonView& entry : file.Items(2, 200)) {
    entry.OnlyKeys({"name", "kind", "activities"});
    Place place;
    const JsonView name = entry.At("name");
    place.name = name.Text(1, 24);
    const auto same = [&](const Place& other) { return other.name == place.name; };
    if (std::any_of(places.begin(), places.end(), same)) name.Fail("a name that no other place has");
    const std::string kind = entry.At("kind").Text(1, 16);
    if (kind != "private" && kind != "public") entry.At("kind").Fail("\"private\" or \"public\"");
    place.is_home = kind == "private";
    if (place.is_home != (place.name == "home"))
      name.Fail("\"home\" for the one private place, and no other");
    place.region = place.is_home ? Map::kNoRegion : map.FindRegion(place.name);
    if (!place.is_home && (place.region == Map::kNoRegion || map.Regions()[place.region].is_home)) {
      name.Fail("a name among the places of map.json");
    }
    for (const JsonView& activity : entry.At("activities").Items(1, 50)) {
      place.activities.push_back(activity.Text(1, 32));
    }
    places.push_back(std::move(place));
  }
  if (std::none_of(places.begin(), places.end(), [](const Place& place) { return place.is_home; })) {
    file.Fail("a list in which \"home\" is private");
  }
  return places;
}

PlaceId FindPlace(const std::vector<Place>& places, const JsonView& name) {
  const std::string text = name.Text(1, 24);
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i].name == text) return static_cast<PlaceId>(i);
  }
  name.Fail("a name among those in places.json");
}

std::vector<Relation> ReadRelations(const JsonView& list) {
  std::vector<Relation> relations;
  for (const JsonView& entry : list.Items(0, 50)) {
    entry.OnlyKeys({"name", "relation"});
    relations.push_back({entry.At("name").Text(1, 24), entry.At("relation").Text(1, 24)});
  }
  return relations;
}

Persona ReadPersona(const JsonView& entry, const std::vector<Place>& places, const Map& map) {
  entry.OnlyKeys({"name", "age", "job", "workplace", "home", "wake_hour", "sleep_hour", "traits", "relations",
                  "absent"});
  Persona persona;
  persona.name = entry.At("name").Text(1, 24);
  persona.age = static_cast<int>(entry.At("age").Int(0, 130));
  persona.job = entry.At("job").Text(1, 24);
  persona.workplace = FindPlace(places, entry.At("workplace"));
  const JsonView home = entry.At("home");
  persona.home = map.FindRegion(home.Text(1, 40));
  if (persona.home == Map::kNoRegion || !map.Regions()[persona.home].is_home) {
    home.Fail("a name among the homes of map.json");
  }
  persona.wake_hour = static_cast<int>(entry.At("wake_hour").Int(0, 22));
  persona.sleep_hour = static_cast<int>(entry.At("sleep_hour").Int(persona.wake_hour + 1, 23));
  for (const JsonView& trait : entry.At("traits").Items(0, 10)) persona.traits.push_back(trait.Text(1, 24));
  persona.relations = ReadRelations(entry.At("relations"));
  if (const std::optional<JsonView> absent = entry.Find("absent")) persona.absent = absent->Bool();
  return persona;
}

std::vector<Persona> ReadPersonas(const JsonView& file, const std::vector<Place>& places, const Map& map) {
  std::vector<Persona> personas;
  std::map<int, int> residents;
  const std::vector<JsonView> entries = file.Items(1, kMaxPersonas);
  for (const JsonView& entry : entries) {
    Persona persona = ReadPersona(entry, places, map);
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

// Checks what the program itself relies on in a decision's answers.
void CheckChoices(Decision decision, const JsonView& list, const std::vector<Place>& places) {
  for (const JsonView& choice : list.Items(1, 200)) {
    if (decision == Decision::kAct) {
      FindPlace(places, choice);
    } else if (decision == Decision::kTalk) {
      const std::string text = choice.Text(1, 24);
      if (text != "yes" && text != "no") choice.Fail("\"yes\" and \"no\"");
    }
  }
}

const char* ExpectedKind(Decision decision) {
  switch (decision) {
    case Decision::kAct:
    case Decision::kTalk:
      return "choice";
    case Decision::kAnswer:
      return "text";
    default:
      return "json";
  }
}

DecisionRules ReadDecision(Decision decision, const JsonView& entry, const std::vector<Place>& places,
                           Folder& folder) {
  entry.OnlyKeys({"prompt", "kind", "choices", "schema", "stop", "max_tokens"});
  DecisionRules rules;
  const std::string kind = entry.At("kind").Text(1, 16);
  if (kind != ExpectedKind(decision)) entry.At("kind").Fail(fmt::format("\"{}\"", ExpectedKind(decision)));
  if (kind == "choice") {
    CheckChoices(decision, entry.At("choices"), places);
    for (const JsonView& choice : entry.At("choices").Items(1, 200)) {
      rules.constraint.choices.push_back(choice.Text(1, 24));
    }
  } else if (kind == "json") {
    const JsonView schema = entry.At("schema");
    if (!schema.Raw().is_object()) schema.Fail("a JSON schema");
    rules.constraint.json_schema = schema.Raw().dump();
  }
  if (const std::optional<JsonView> stop = entry.Find("stop")) {
    if (!stop->Raw().is_string() || stop->Raw().get_ref<const std::string&>().empty()) stop->Fail("a text");
    rules.stop.push_back(stop->Raw().get<std::string>());
  }
  rules.max_tokens = static_cast<int>(entry.At("max_tokens").Int(1, 4096));
  const std::string file = entry.At("prompt").Text(1, 200);
  if (file.starts_with('/') || file.find("..") != std::string::npos) {
    entry.At("prompt").Fail("the path of a file in this folder");
  }
  rules.prompt = Template(folder.Path(file), folder.Text(file), decision);
  return rules;
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
    const std::string to = entry.At("to").Text(1, 24);
    const auto found =
        std::find_if(personas.begin(), personas.end(), [&](const Persona& p) { return p.name == to; });
    if (found == personas.end()) entry.At("to").Fail("the name of a persona");
    news.push_back({static_cast<size_t>(found - personas.begin()), entry.At("from").Text(1, 24),
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

Content LoadContent(const std::string& dir) {
  Folder folder(dir);
  const auto open = [&](const char* file) { return std::pair(folder.Parse(file), folder.Path(file)); };
  Content content;
  const auto [map_json, map_path] = open("map.json");
  content.map = std::make_unique<const Map>(JsonView(map_json, map_path));
  const auto [places_json, places_path] = open("places.json");
  content.places = ReadPlaces(JsonView(places_json, places_path), *content.map);
  for (size_t i = 0; i < content.places.size(); ++i) {
    if (content.places[i].is_home) content.home = static_cast<PlaceId>(i);
  }
  const auto [personas_json, personas_path] = open("personas.json");
  content.personas = ReadPersonas(JsonView(personas_json, personas_path), content.places, *content.map);
  const auto [decisions_json, decisions_path] = open("decisions.json");
  const JsonView decisions(decisions_json, decisions_path);
  decisions.OnlyKeys({"plan", "act", "talk", "say", "reflect", "answer"});
  for (const Decision decision : kDecisions) {
    content.decisions[static_cast<size_t>(decision)] =
        ReadDecision(decision, decisions.At(DecisionName(decision)), content.places, folder);
  }
  const auto [scenario_json, scenario_path] = open("scenario.json");
  const JsonView scenario(scenario_json, scenario_path);
  content.settings = ReadSettings(scenario);
  ReadSampling(scenario, content);
  content.news = ReadNews(scenario, content.personas);
  content.announcements = ReadAnnouncements(scenario, content.settings.start_minute);
  content.digest = folder.Finish();
  content.files = folder.TakeFiles();
  return content;
}

}  // namespace throng::town
