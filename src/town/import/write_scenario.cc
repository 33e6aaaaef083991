// Writes a town's folder from a draft.

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "town/import/draft.h"
#include "town/import/ground.h"
#include "town/mind/decide.h"
#include "town/town.h"

namespace throng::town {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxActivities = 50;
constexpr size_t kMaxTraits = 10;
constexpr size_t kMaxRelations = 50;
constexpr size_t kMaxMemories = 5000;
constexpr size_t kMaxAboutBytes = 8000;
constexpr int kMaxTokensOfAPlan = 1024;

// One line that fits; a text that does not is cut, and reported under its kind.
std::string Fit(const std::string& text, size_t max_bytes, const char* kind, ImportReport& report) {
  std::string line = CleanLine(text, max_bytes);
  if (text.size() > max_bytes) report.Change(std::string(kind) + " cut", line);
  return line;
}

// A line that no earlier one of the set is.
std::string Unique(const std::string& text, const char* kind, std::set<std::string>& taken,
                   ImportReport& report) {
  const std::string line = Fit(text, kMaxNameBytes, kind, report);
  std::string unique = line.empty() ? kind : line;
  for (int i = 2; !taken.insert(unique).second; ++i) {
    unique = fmt::format("{} {}", CleanLine(line, kMaxNameBytes - 5), i);
  }
  if (unique != line) report.Change(std::string(kind) + "s renamed", unique);
  return unique;
}

Json ReadBase(const std::string& base, const char* file) { return Json::parse(ReadFile(base + "/" + file)); }

// The folder's files, by name.
using Files = std::map<std::string, std::string>;

// Gives regions their final names, and tells which a person means.
class Names {
 public:
  // Of the built-in town.
  explicit Names(const std::string& base) {
    const Json map = ReadBase(base, "map.json");
    for (const Json& home : map["homes"]) homes_.push_back(home["name"]);
    for (const Json& place : map["places"]) places_.push_back(place["name"]);
    for (const std::string& home : homes_) final_home_[home] = home;
    for (const std::string& place : places_) final_place_[place] = place;
  }
  Names(DraftGround& ground, ImportReport& report) {
    std::set<std::string> taken = {"home"};
    for (DraftRegion& region : ground.regions) {
      const std::string name = Unique(region.name, region.is_home ? "home" : "place", taken, report);
      (region.is_home ? final_home_ : final_place_).emplace(region.name, name);
      (region.is_home ? homes_ : places_).push_back(name);
      region.name = name;
    }
  }

  const std::vector<std::string>& Places() const { return places_; }
  size_t NumHomes() const { return homes_.size(); }
  // Those without a known place or home are shared out, in order.
  std::string Workplace(const DraftPerson& person) {
    const auto found = final_place_.find(person.workplace);
    return found == final_place_.end() ? places_[next_place_++ % places_.size()] : found->second;
  }
  std::string Home(const DraftPerson& person) {
    const auto found = final_home_.find(person.home);
    return found == final_home_.end() ? homes_[next_home_++ % homes_.size()] : found->second;
  }
  const std::string* FinalPlace(const std::string& name) const {
    const auto found = final_place_.find(name);
    return found == final_place_.end() ? nullptr : &found->second;
  }
  bool KnowsHome(const std::string& name) const { return final_home_.contains(name); }
  bool KnowsPlace(const std::string& name) const { return final_place_.contains(name); }

 private:
  std::vector<std::string> places_;
  std::vector<std::string> homes_;
  std::map<std::string, std::string> final_place_;
  std::map<std::string, std::string> final_home_;
  size_t next_place_ = 0;
  size_t next_home_ = 0;
};

Json PlacesFile(const std::string& base, const DraftGround& ground, ImportReport& report) {
  Json places = Json::array();
  for (const Json& place : ReadBase(base, "places.json")) {
    if (place["kind"] == "private") places.push_back(place);
  }
  for (const DraftRegion& region : ground.regions) {
    if (region.is_home) continue;
    Json activities = Json::array();
    for (const std::string& activity : region.activities) {
      const std::string line = Fit(activity, kMaxActivityBytes, "activities", report);
      if (line.empty() || std::find(activities.begin(), activities.end(), line) != activities.end()) continue;
      if (activities.size() == kMaxActivities) report.Drop("activities", line);
      if (activities.size() < kMaxActivities) activities.push_back(line);
    }
    if (activities.empty()) activities.push_back("look around");
    places.push_back({{"name", region.name}, {"kind", "public"}, {"activities", activities}});
  }
  return places;
}

int LongestOf(const std::vector<std::string>& names) {
  size_t longest = 0;
  for (const std::string& name : names) longest = std::max(longest, name.size());
  return static_cast<int>(longest);
}

// Answers have room for the longest place, at a token a byte.
Json DecisionsFile(const std::string& base, const std::vector<std::string>& places) {
  Json decisions = ReadBase(base, "decisions.json");
  const int longest = LongestOf(places);
  const int longer = std::max(0, longest - LongestOf(Names(base).Places()));
  Json& plan = decisions["plan"];
  const int entries = plan["schema"]["properties"]["plan"]["maxItems"];
  std::vector<std::string> choices = places;
  choices.push_back("home");
  decisions["act"]["choices"] = choices;
  decisions["act"]["max_tokens"] = std::max(decisions["act"]["max_tokens"].get<int>(), longest);
  plan["max_tokens"] = std::min(plan["max_tokens"].get<int>() + entries * longer, kMaxTokensOfAPlan);
  plan["schema"]["properties"]["plan"]["items"]["properties"]["place"]["enum"] = choices;
  return decisions;
}

Json RelationsJson(const DraftPerson& person, const std::map<std::string, std::string>& names,
                   ImportReport& report) {
  Json relations = Json::array();
  for (const Relation& relation : person.relations) {
    const auto found = names.find(relation.name);
    if (found == names.end() || relation.name == person.name) {
      report.Drop("relations to themselves, or to people who are not there", relation.name);
    } else if (relations.size() == kMaxRelations) {
      report.Drop(fmt::format("relations beyond {}", kMaxRelations), person.name);
    } else {
      const std::string what = Fit(relation.relation, 24, "relations", report);
      relations.push_back({{"name", found->second}, {"relation", what.empty() ? "acquaintance" : what}});
    }
  }
  return relations;
}

Json MemoriesJson(const DraftPerson& person, ImportReport& report) {
  Json memories = Json::array();
  for (size_t i = 0; i < person.memories.size(); ++i) {
    const OldMemory& memory = person.memories[i];
    if (i + kMaxMemories < person.memories.size()) {  // the latest stay
      report.Drop(fmt::format("memories beyond {}", kMaxMemories), person.name);
      continue;
    }
    const std::string text = Fit(memory.text, 1000, "memories", report);
    if (!text.empty())
      memories.push_back({{"text", text}, {"importance", std::clamp(memory.importance, 1, 10)}});
  }
  report.memories += memories.size();
  return memories;
}

Json PersonJson(const DraftPerson& person, const std::map<std::string, std::string>& names, Names& regions,
                ImportReport& report) {
  const std::string& name = names.at(person.name);
  if (!person.home.empty() && !regions.KnowsHome(person.home)) {
    report.Change("homes that are not on the map, another given", name);
  }
  if (!person.workplace.empty() && !regions.KnowsPlace(person.workplace)) {
    report.Change("workplaces that are not on the map, another given", name);
  }
  Json traits = Json::array();
  for (const std::string& trait : person.traits) {
    const std::string line = Fit(trait, 48, "traits", report);
    if (line.empty()) continue;
    if (traits.size() == kMaxTraits) report.Drop(fmt::format("traits beyond {}", kMaxTraits), line);
    if (traits.size() < kMaxTraits) traits.push_back(line);
  }
  const int wake = std::clamp(person.wake_hour, 0, 22);
  const int sleep = std::clamp(person.sleep_hour, wake + 1, 23);
  if (wake != person.wake_hour || sleep != person.sleep_hour) {
    report.Change("hours of waking and sleeping, within one day", name);
  }
  if (person.age < 0 || person.age > 130) report.Change("ages", name);
  const std::string job = Fit(person.job, kMaxNameBytes, "jobs", report);
  Json json = {{"name", name},
               {"age", std::clamp(person.age, 0, 130)},
               {"job", job.empty() ? "resident" : job},
               {"workplace", regions.Workplace(person)},
               {"home", regions.Home(person)},
               {"wake_hour", wake},
               {"sleep_hour", sleep},
               {"traits", traits},
               {"relations", RelationsJson(person, names, report)}};
  if (person.about.size() > kMaxAboutBytes) report.Change("descriptions cut", name);
  if (!person.about.empty()) json["about"] = CleanLine(person.about, kMaxAboutBytes);
  if (!person.memories.empty()) json["memories"] = MemoriesJson(person, report);
  if (person.known_places) {
    json["places"] = Json::array();
    for (const std::string& place : *person.known_places) {
      const std::string* final = regions.FinalPlace(place);
      if (final != nullptr) json["places"].push_back(*final);
    }
  }
  return json;
}

// The built-in town's people, who find other homes.
std::vector<DraftPerson> BasePeople(const std::string& base) {
  std::vector<DraftPerson> people;
  for (const Json& entry : ReadBase(base, "personas.json")) {
    DraftPerson person;
    person.name = entry["name"];
    person.age = entry["age"];
    person.job = entry["job"];
    person.wake_hour = entry["wake_hour"];
    person.sleep_hour = entry["sleep_hour"];
    for (const Json& trait : entry["traits"]) person.traits.push_back(trait);
    for (const Json& relation : entry["relations"])
      person.relations.push_back({relation["name"], relation["relation"]});
    people.push_back(std::move(person));
  }
  return people;
}

Json PersonasFile(const std::vector<DraftPerson>& people, Names& regions, ImportReport& report) {
  std::set<std::string> taken;
  std::map<std::string, std::string> names;
  std::vector<DraftPerson> kept;
  for (const DraftPerson& person : people) {
    if (names.contains(person.name)) {
      report.Drop("people of a name that another has", person.name);
      continue;
    }
    names[person.name] = Unique(person.name, "person", taken, report);
    kept.push_back(person);
  }
  Json personas = Json::array();
  for (const DraftPerson& person : kept) personas.push_back(PersonJson(person, names, regions, report));
  return personas;
}

Json ScenarioFileOf(const Draft& draft, const std::string& base) {
  Json scenario = ReadBase(base, "scenario.json");
  scenario["name"] = draft.name;
  if (!draft.start.empty()) scenario["start"] = draft.start;
  if (draft.hours > 0) scenario["hours"] = draft.hours;
  if (draft.seconds_per_step > 0) scenario["seconds_per_step"] = draft.seconds_per_step;
  if (draft.perception_radius > 0) scenario["perception_radius"] = draft.perception_radius;
  scenario.erase("news");  // of the built-in town's people
  return scenario;
}

// The built-in town's prompts, which also tell what the people are about, if anybody has that.
void AddPrompts(const std::string& base, const Json& personas, Files& files) {
  const bool about = std::any_of(personas.begin(), personas.end(),
                                 [](const Json& person) { return person.contains("about"); });
  for (const auto& entry : fs::directory_iterator(base + "/prompts")) {
    std::string text = ReadFile(entry.path());
    const std::string traits = "Traits: {{traits}}\n";
    const size_t at = text.find(traits);
    THRONG_CHECK(at != std::string::npos);
    if (about) text.insert(at + traits.size(), "About: {{about}}\n");
    files["prompts/" + entry.path().filename().string()] = text;
  }
}

void WriteFiles(const std::string& out, const Files& files) {
  std::error_code error;
  if (fs::exists(out, error) && !fs::is_empty(out, error)) {
    throw MakeError(ErrorCode::kInvalid, "{}: this exists, and is not empty; allowed: a new folder", out);
  }
  fs::create_directories(out + "/prompts", error);
  if (error) throw MakeError(ErrorCode::kIo, "{}: {}", out, error.message());
  for (const auto& [name, text] : files) {
    AtomicFile file(out + "/" + name);
    file.Write(text.data(), text.size());
    file.Commit();
  }
}

}  // namespace

void WriteScenario(Draft draft, const std::string& base, const std::string& out, ImportReport& report) {
  Files files;
  if (draft.ground) MakeReachable(*draft.ground, report);
  Names regions = draft.ground ? Names(*draft.ground, report) : Names(base);
  if (draft.people.empty()) draft.people = BasePeople(base);
  if (draft.people.size() > kMaxPersonas) {
    throw MakeError(ErrorCode::kInvalid, "{} people, allowed: at most {}", draft.people.size(), kMaxPersonas);
  }
  const auto text = [](const Json& json) { return json.dump(1) + "\n"; };
  if (draft.ground) {
    files["map.json"] = text(MapFile(*draft.ground));
    files["places.json"] = text(PlacesFile(base, *draft.ground, report));
    files["decisions.json"] = text(DecisionsFile(base, regions.Places()));
  } else {
    for (const char* file : {"map.json", "places.json", "decisions.json"})
      files[file] = ReadFile(base + "/" + file);
  }
  const Json personas = PersonasFile(draft.people, regions, report);
  for (const Json& person : personas) report.descriptions += person.contains("about");
  files["personas.json"] = text(personas);
  files["scenario.json"] = text(ScenarioFileOf(draft, base));
  AddPrompts(base, personas, files);
  WriteFiles(out, files);
  report.people = personas.size();
  report.places = regions.Places().size();
  report.homes = regions.NumHomes();
  LoadTown(out);  // throws if it is no town after all: more places than there may be
}

}  // namespace throng::town
