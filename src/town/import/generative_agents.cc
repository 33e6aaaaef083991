#include "town/import/generative_agents.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <optional>
#include <regex>
#include <set>

#include "base/error.h"
#include "base/text/trim.h"
#include "town/content/json_file.h"
#include "town/import/maze.h"

namespace throng::town {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTaken[] = {"name",           "first_name", "last_name",   "age",
                                  "innate",         "learned",    "currently",   "lifestyle",
                                  "daily_plan_req", "daily_req",  "living_area", "vision_r"};

struct Resident {
  DraftPerson person;
  std::string sector;  // of the living area
  int vision = 0;
};

// A text, which may be missing or null.
std::string TextOf(const JsonView& scratch, const char* key) {
  const std::optional<JsonView> value = scratch.Find(key);
  if (!value || value->Raw().is_null()) return "";
  return value->Lines();
}

std::string Joined(const JsonView& scratch, const char* key) {
  const std::optional<JsonView> list = scratch.Find(key);
  std::string joined;
  if (!list || list->Raw().is_null()) return joined;
  for (const JsonView& item : list->Items(0, 1000)) joined += (joined.empty() ? "" : "; ") + item.Lines();
  return joined;
}

// The hour of "goes to bed around 11pm", or midnight, after the words that the pattern begins with.
std::optional<int> HourAfter(const std::string& text, const char* words) {
  const std::regex pattern(
      std::string(words) + R"([^0-9.,;]{0,20}?(?:([0-9]{1,2})(?::[0-9]{2})? ?([ap])\.?m|midnight))",
      std::regex::icase);
  std::smatch match;
  if (!std::regex_search(text, match, pattern)) return std::nullopt;
  if (!match[1].matched) return 0;
  const int hour =
      (match[1].str().size() == 2 ? (match[1].str()[0] - '0') * 10 : 0) + (match[1].str().back() - '0');
  if (hour > 12) return std::nullopt;
  const bool afternoon = match[2].str() == "p" || match[2].str() == "P";
  return hour % 12 + (afternoon ? 12 : 0);
}

// "cafe owner" of "Isabella Rodriguez is a cafe owner of Hobbs Cafe who loves ...".
std::string JobOf(const std::string& learned) {
  static const std::regex kPattern(R"(\b(?:is|works as) an? ([^.,;:]{1,60}))");
  std::smatch match;
  if (!std::regex_search(learned, match, kPattern)) return "";
  const std::string job = match[1];
  size_t end = job.size();
  for (const char* word : {" who ", " of ", " at ", " in ", " that ", " with ", " and ", " on ", " for "}) {
    end = std::min(end, job.find(word));
  }
  return job.substr(0, end);
}

void ReadHours(const std::string& lifestyle, DraftPerson& person, ImportReport& report) {
  const std::optional<int> wake = HourAfter(lifestyle, "(?:wakes?|awakes?|gets?)(?: up)?");
  const std::optional<int> sleep = HourAfter(lifestyle, "(?:bed|sleep)");
  if (wake) person.wake_hour = *wake;
  // After midnight: the day ends at 23.
  if (sleep) person.sleep_hour = *sleep <= person.wake_hour ? 24 : *sleep;
  if (!wake || !sleep)
    report.Change("hours of waking or sleeping that the lifestyle does not tell", person.name);
}

void AddAbout(DraftPerson& person, const char* title, const std::string& text) {
  if (text.empty()) return;
  if (!person.about.empty()) person.about += ' ';
  person.about += title + text;
  if (!text.ends_with('.')) person.about += '.';
}

Resident ReadScratch(const JsonView& scratch, ImportReport& report) {
  Resident resident;
  DraftPerson& person = resident.person;
  person.name = scratch.At("name").Text(1, 1000);
  person.age = static_cast<int>(scratch.At("age").Int(0, 130));
  std::string innate = TextOf(scratch, "innate");
  while (!innate.empty()) {
    const size_t comma = innate.find(',');
    person.traits.emplace_back(Trimmed(std::string_view(innate).substr(0, comma)));
    innate = comma == std::string::npos ? "" : innate.substr(comma + 1);
  }
  const std::string learned = TextOf(scratch, "learned");
  const std::string lifestyle = TextOf(scratch, "lifestyle");
  AddAbout(person, "", learned);
  AddAbout(person, "", TextOf(scratch, "currently"));
  AddAbout(person, "", lifestyle);
  AddAbout(person, "", TextOf(scratch, "daily_plan_req"));
  AddAbout(person, "Plan of the day: ", Joined(scratch, "daily_req"));
  person.job = JobOf(learned);
  ReadHours(lifestyle, person, report);
  if (const std::optional<JsonView> vision = scratch.Find("vision_r"))
    resident.vision = static_cast<int>(vision->Int(0, 1000));
  const std::string area = scratch.At("living_area").Text(1, 1000);  // world:sector:arena
  const size_t colon = area.find(':');
  if (colon == std::string::npos) scratch.At("living_area").Fail("WORLD:SECTOR:ARENA");
  if (colon != std::string::npos)
    resident.sector = area.substr(colon + 1, area.find(':', colon + 1) - colon - 1);
  for (const auto& [key, value] : scratch.Raw().items()) {
    const bool taken = std::find(std::begin(kTaken), std::end(kTaken), key) != std::end(kTaken);
    if (!taken && key != "curr_time") report.Drop("fields of scratch.json", key);
  }
  return resident;
}

// Events, thoughts and talks in the order of their numbers: "node_1", "node_2", ...
std::vector<OldMemory> ReadNodes(const std::string& path, ImportReport& report, Problems& problems) {
  std::vector<OldMemory> memories;
  const std::optional<Json> json = ReadJson(path, problems);
  const JsonView nodes(json ? &*json : nullptr, path, problems);
  if (nodes.Missing() || !nodes.Raw().is_object()) {
    if (!nodes.Missing()) nodes.Fail("an object of nodes");
    return memories;
  }
  std::map<int64_t, OldMemory> by_number;
  for (const auto& [key, value] : nodes.Raw().items()) {
    const JsonView node = nodes.At(key);
    const int64_t number = node.At("node_count").Int(0, 1 << 30);
    const std::string type = node.At("type").Text(1, 100);
    const double poignancy = node.At("poignancy").Number(0, 100);
    by_number[number] = {node.At("description").Lines(), std::clamp(static_cast<int>(poignancy), 1, 10)};
    if (type == "chat") report.Drop("lines of talks (their descriptions stay)", key);
    if (node.Find("keywords")) report.Drop("fields of nodes.json", "keywords");
    if (node.Find("embedding_key")) report.Drop("fields of nodes.json", "embedding_key");
    if (node.Find("created"))
      report.Drop("fields of nodes.json", "created and last_accessed (memories are from before the start)");
  }
  for (const auto& [number, memory] : by_number) memories.push_back(memory);
  return memories;
}

std::vector<Resident> ReadResidents(const std::string& dir, ImportReport& report, Problems& problems) {
  std::vector<std::string> folders;
  for (const auto& entry : fs::directory_iterator(dir + "/personas")) {
    if (entry.is_directory()) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  std::vector<Resident> residents;
  for (const std::string& folder : folders) {
    const std::string memory = folder + "/bootstrap_memory";
    const std::string path = memory + "/scratch.json";
    const std::optional<Json> scratch = ReadJson(path, problems);
    if (!scratch) continue;
    residents.push_back(ReadScratch(JsonView(&*scratch, path, problems), report));
    residents.back().person.memories = ReadNodes(memory + "/associative_memory/nodes.json", report, problems);
    for (const char* file : {"associative_memory/embeddings.json", "associative_memory/kw_strength.json",
                             "spatial_memory.json"}) {
      if (fs::exists(fs::path(memory) / file)) report.Drop("files", file);
    }
  }
  if (folders.empty()) problems.Add({dir + "/personas", 0, "", "found no folders, allowed: one a person"});
  return residents;
}

// A region with many ways out is a park or a square, where people see each other from outside.
bool IsOpen(const DraftGround& ground, const std::vector<int>& region_of, int region,
            const std::vector<sim::Pos>& tiles) {
  size_t border = 0;
  size_t open = 0;
  for (const sim::Pos tile : tiles) {
    for (const sim::Pos step : {sim::Pos{0, -1}, {1, 0}, {0, 1}, {-1, 0}}) {
      const sim::Pos to = {tile.x + step.x, tile.y + step.y};
      if (ground.Contains(to) && region_of[ground.Index(to)] == region) continue;
      ++border;
      open += ground.Contains(to) && !ground.solid[ground.Index(to)] && region_of[ground.Index(to)] < 0;
    }
  }
  return open * 4 > border;
}

// A sector where somebody lives is one home; elsewhere each arena is a place.
DraftGround GroundOf(const Maze& maze, const std::set<std::string>& lived_in, ImportReport& report) {
  DraftGround ground;
  ground.width = maze.width;
  ground.height = maze.height;
  std::map<std::string, std::set<std::string>> arenas;
  for (const MazeTile& tile : maze.tiles) {
    ground.solid.push_back(tile.solid);
    // Walls may have the number of any room.
    if (!tile.solid && !tile.arena.empty()) arenas[tile.sector].insert(tile.arena);
  }
  std::map<std::string, int> index;
  std::vector<int> region_of(maze.tiles.size(), -1);
  for (size_t i = 0; i < maze.tiles.size(); ++i) {
    const MazeTile& tile = maze.tiles[i];
    if (tile.arena.empty() || tile.sector.empty()) continue;
    const bool is_home = lived_in.contains(tile.sector);
    const std::set<std::string>& rooms = arenas[tile.sector];
    const bool whole = rooms.size() == 1 || (is_home && !rooms.empty());
    const std::string name = whole ? tile.sector : tile.sector + ": " + tile.arena;
    if (!whole && !rooms.contains(tile.arena)) {
      report.Drop("tiles of rooms without a floor", name);
      continue;
    }
    const auto [found, added] = index.emplace(name, ground.regions.size());
    if (added) ground.regions.push_back({name, is_home, true, {}, {}, {}});
    DraftRegion& region = ground.regions[found->second];
    if (!tile.object.empty() && is_home) report.Drop("objects in homes", tile.object);
    const std::string use = (tile.object.starts_with("behind ") ? "work " : "use the ") + tile.object;
    if (!tile.object.empty() &&
        std::find(region.activities.begin(), region.activities.end(), use) == region.activities.end()) {
      region.activities.push_back(use);
    }
    if (tile.solid) continue;
    region_of[i] = found->second;
    region.tiles.push_back({static_cast<int32_t>(i % maze.width), static_cast<int32_t>(i / maze.width)});
  }
  for (size_t i = 0; i < ground.regions.size(); ++i) {
    DraftRegion& region = ground.regions[i];
    region.indoors = !IsOpen(ground, region_of, static_cast<int>(i), region.tiles);
  }
  return ground;
}

// The largest room of the sector that a text names first.
std::string WorkplaceOf(const DraftPerson& person, const DraftGround& ground) {
  size_t first = std::string::npos;
  const DraftRegion* workplace = nullptr;
  for (const DraftRegion& region : ground.regions) {
    const size_t at = person.about.find(region.name.substr(0, region.name.find(": ")));
    if (region.is_home || at == std::string::npos || at > first) continue;
    if (at == first && region.tiles.size() <= workplace->tiles.size()) continue;
    first = at;
    workplace = &region;
  }
  return workplace == nullptr ? "" : workplace->name;
}

std::string FindMatrix(const std::string& dir, const std::string& maze_name) {
  const fs::path simulation = fs::absolute(dir).lexically_normal();
  for (fs::path up = simulation; up != up.root_path(); up = up.parent_path()) {
    const fs::path matrix = up / "static_dirs" / "assets" / maze_name / "matrix";
    if (fs::is_directory(matrix)) return matrix;
  }
  throw MakeError(ErrorCode::kInvalid,
                  "{}: its map static_dirs/assets/{}/matrix is in no folder above it, allowed: --maze FOLDER",
                  dir, maze_name);
}

std::string MetaPath(const std::string& dir) {
  for (const char* file : {"/reverie/meta.json", "/meta.json"}) {
    if (fs::exists(dir + file)) return dir + file;
  }
  return dir + "/reverie/meta.json";
}

// "February 13, 2023, 00:01:00" as "00:01".
std::string StartOf(const JsonView& meta) {
  const std::string time = meta.At("curr_time").Text(1, 100);
  if (time.size() >= 8 && ParseClock(std::string_view(time).substr(time.size() - 8, 5))) {
    return time.substr(time.size() - 8, 5);
  }
  meta.At("curr_time").Fail("a date and a time, such as \"February 13, 2023, 00:00:00\"");
  return "";
}

}  // namespace

const char* const kGenerativeAgentsFields =
    "  innate: traits. learned, currently, lifestyle, daily_plan_req, daily_req: about. learned: job.\n"
    "  lifestyle: hours of waking and sleeping. living_area: home. The place named first: workplace.\n"
    "  nodes.json: memories, poignancy as importance. vision_r: perception_radius. curr_time: start.\n"
    "  Map: a sector where somebody lives is a home; elsewhere each arena is a place, whose objects are\n"
    "  activities; what collides is wall. Left out: embeddings, keywords, spatial memory, current acts.\n";

bool IsGenerativeAgents(const std::string& dir) {
  return fs::is_directory(dir + "/personas") && fs::exists(MetaPath(dir));
}

Draft ReadGenerativeAgents(const std::string& dir, const std::string& matrix, ImportReport& report) {
  Problems problems;
  const std::string meta_path = MetaPath(dir);
  const std::optional<Json> meta_json = ReadJson(meta_path, problems);
  const JsonView meta(meta_json ? &*meta_json : nullptr, meta_path, problems);
  Draft draft;
  draft.name = fs::absolute(dir).lexically_normal().filename();
  if (draft.name.empty()) draft.name = fs::absolute(dir).lexically_normal().parent_path().filename();
  draft.start = StartOf(meta);
  draft.hours = 24;
  draft.seconds_per_step = static_cast<int>(meta.At("sec_per_step").Int(1, 600));
  const std::string maze_name = meta.At("maze_name").Text(1, 200);
  std::vector<Resident> residents = ReadResidents(dir, report, problems);
  problems.ThrowFirst();
  size_t spawning = 0;
  const Maze maze = ReadMaze(matrix.empty() ? FindMatrix(dir, maze_name) : matrix, problems, spawning);
  problems.ThrowFirst();
  for (size_t i = 0; i < spawning; ++i) report.Drop("tiles", "spawning locations");
  std::set<std::string> lived_in;
  for (const Resident& resident : residents) lived_in.insert(resident.sector);
  draft.ground = GroundOf(maze, lived_in, report);
  for (Resident& resident : residents) {
    resident.person.home = resident.sector;
    resident.person.workplace = WorkplaceOf(resident.person, *draft.ground);
    draft.perception_radius = std::clamp(resident.vision, draft.perception_radius, 50);
    draft.people.push_back(std::move(resident.person));
  }
  report.form = "Generative Agents";
  return draft;
}

}  // namespace throng::town
