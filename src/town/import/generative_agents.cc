#include "town/import/generative_agents.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <tuple>

#include "base/error.h"
#include "base/text/trim.h"
#include "town/content/json_file.h"
#include "town/import/maze.h"
#include "town/import/prose.h"

namespace throng::town {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTaken[] = {"name",           "first_name", "last_name",   "age",
                                  "innate",         "learned",    "currently",   "lifestyle",
                                  "daily_plan_req", "daily_req",  "living_area", "vision_r"};

struct Resident {
  DraftPerson person;
  std::string sector;              // of the living area
  std::vector<std::string> texts;  // what is said of the person, what tells most of the work first
  std::optional<std::set<std::string>> known;  // PlaceNames of the sectors and arenas in its spatial memory
  int vision = 0;
};

// Of a sector, or of an arena in it. A town says "to the" before places itself.
std::string PlaceName(const std::string& sector, const std::string& arena) {
  const bool has_article = sector.starts_with("The ") || sector.starts_with("the ");
  const std::string name = has_article ? sector.substr(4) : sector;
  return arena.empty() ? name : name + ": " + arena;
}

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
  person.job = JobIn(learned);
  resident.texts = {learned, person.about};
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

// A tree: worlds, their sectors, their arenas, lists of objects. Nothing if there is no such file.
std::optional<std::set<std::string>> ReadSpatialMemory(const std::string& path, Problems& problems) {
  if (!fs::exists(path)) return std::nullopt;
  const std::optional<Json> json = ReadJson(path, problems);
  if (!json) return std::nullopt;
  std::set<std::string> known;
  const JsonView worlds(&*json, path, problems);
  const auto children = [](const JsonView& parent) {
    std::vector<std::pair<std::string, JsonView>> found;
    if (!parent.Raw().is_object()) {
      parent.Fail("an object");
      return found;
    }
    for (const auto& [name, child] : parent.Raw().items()) found.emplace_back(name, parent.At(name));
    return found;
  };
  for (const auto& [world_name, world] : children(worlds)) {
    for (const auto& [sector, arenas] : children(world)) {
      known.insert(PlaceName(sector, ""));
      for (const auto& [arena, objects] : children(arenas)) known.insert(PlaceName(sector, arena));
    }
  }
  return known;
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
    residents.back().known = ReadSpatialMemory(memory + "/spatial_memory.json", problems);
    for (const char* file : {"associative_memory/embeddings.json", "associative_memory/kw_strength.json"}) {
      if (fs::exists(fs::path(memory) / file)) report.Drop("files", file);
    }
  }
  if (folders.empty()) problems.Add({dir + "/personas", 0, "", "found no folders, allowed: one a person"});
  return residents;
}

// What users of Generative Agents load into a simulation that has not begun: a row a person, with what it
// should remember, parted by semicolons. Its name has the number of people.
void ReadHistory(const std::string& path, std::vector<Resident>& residents, ImportReport& report,
                 Problems& problems) {
  constexpr int kImportance = 5;  // there, a model says it
  const auto is_new = [](const Resident& resident) { return resident.person.memories.empty(); };
  if (!fs::exists(path) || !std::all_of(residents.begin(), residents.end(), is_new)) return;
  std::istringstream lines(ReadText(path, problems).value_or(""));
  std::string line;
  std::getline(lines, line);  // Name,Whisper
  while (std::getline(lines, line)) {
    // By hand: some have commas outside of quotes.
    const size_t comma = std::min(line.find(','), line.size());
    const std::string name(Trimmed(std::string_view(line).substr(0, comma)));
    if (name.empty()) continue;
    std::string whisper(Trimmed(std::string_view(line).substr(std::min(comma + 1, line.size()))));
    std::erase(whisper, '"');
    const auto resident = std::find_if(residents.begin(), residents.end(),
                                       [&](const Resident& one) { return one.person.name == name; });
    if (resident == residents.end()) {
      report.Drop("rows of the history about nobody here", name);
      continue;
    }
    for (size_t begin = 0; begin < whisper.size();) {
      const size_t end = std::min(whisper.find(';', begin), whisper.size());
      const std::string memory(Trimmed(std::string_view(whisper).substr(begin, end - begin)));
      if (!memory.empty()) resident->person.memories.push_back({memory, kImportance});
      begin = end + 1;
    }
    resident->texts.push_back(whisper);
    report.Change("memories from " + fs::path(path).filename().string(), name);
  }
}

// People whom descriptions and memories name by their full names.
void ReadRelations(std::vector<Resident>& residents) {
  for (Resident& resident : residents) {
    for (const Resident& other : residents) {
      if (other.person.name == resident.person.name) continue;
      std::string relation;
      for (const std::string& text : resident.texts) {
        if (relation.empty() || relation == "acquaintance") {
          const std::string found = RelationIn(text, other.person.name);
          if (!found.empty()) relation = found;
        }
      }
      if (!relation.empty()) resident.person.relations.push_back({other.person.name, relation});
    }
  }
}

// Where people see each other from outside: what is called so, or has many ways out.
bool IsOpen(const DraftGround& ground, const std::vector<int>& region_of, int region,
            const std::vector<sim::Pos>& tiles) {
  for (const char* word : {"park", "garden", "yard", "square", "plaza", "field", "street", "beach"}) {
    if (FindPlace(ground.regions[region].name, word)) return true;
  }
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

// A sector where somebody lives, or could, is one home; elsewhere each arena is a place.
DraftGround GroundOf(const Maze& maze, std::set<std::string> lived_in, ImportReport& report) {
  DraftGround ground;
  for (const MazeTile& tile : maze.tiles) {
    if (tile.object == "bed" && !tile.sector.empty()) lived_in.insert(tile.sector);
  }
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
    const std::string name = is_home && whole ? tile.sector : PlaceName(tile.sector, whole ? "" : tile.arena);
    if (!whole && !rooms.contains(tile.arena)) {
      report.Drop("tiles of rooms without a floor", name);
      continue;
    }
    const auto [found, added] = index.emplace(name, ground.regions.size());
    if (added) ground.regions.push_back({name, is_home, true, {}, {}, {}});
    DraftRegion& region = ground.regions[found->second];
    if (!tile.object.empty() && is_home) report.Drop("objects in homes", tile.object);
    std::string use = (tile.object.starts_with("behind ") ? "work " : "use the ") + tile.object;
    if (use.size() > kMaxActivityBytes) use = tile.object;
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
    region.indoors = region.is_home || !IsOpen(ground, region_of, static_cast<int>(i), region.tiles);
  }
  return ground;
}

// Of the sector that a text names first, the largest of the rooms where there is something to do.
std::string WorkplaceOf(const Resident& resident, const DraftGround& ground) {
  for (const std::string& text : resident.texts) {
    const DraftRegion* workplace = nullptr;
    std::tuple<size_t, bool, size_t> best;  // the smaller the better
    for (const DraftRegion& region : ground.regions) {
      if (region.is_home) continue;
      const std::optional<size_t> at = FindPlace(text, region.name.substr(0, region.name.find(": ")));
      if (!at) continue;
      const std::tuple rank(*at, region.activities.empty(), SIZE_MAX - region.tiles.size());
      if (workplace != nullptr && rank >= best) continue;
      best = rank;
      workplace = &region;
    }
    if (workplace != nullptr) return workplace->name;
  }
  return "";
}

// Of those on the map, in its order.
std::optional<std::vector<std::string>> KnownPlaces(const Resident& resident, const DraftGround& ground) {
  if (!resident.known) return std::nullopt;
  std::vector<std::string> places;
  for (const DraftRegion& region : ground.regions) {
    if (!region.is_home && resident.known->contains(region.name)) places.push_back(region.name);
  }
  return places;
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
    "  spatial_memory.json: places, where somebody may decide to go.\n"
    "  nodes.json: memories, poignancy as importance; if nobody has any, the map's "
    "agent_history_init_nN.csv,\n"
    "  N people. People named: relations. vision_r: perception_radius. curr_time: start.\n"
    "  Map: a sector where somebody lives, or with a bed, is a home; elsewhere each arena is a place, whose "
    "objects are\n"
    "  activities; what collides is wall. Left out: embeddings, keywords, current acts.\n";

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
  const std::string matrix_dir = matrix.empty() ? FindMatrix(dir, maze_name) : matrix;
  const Maze maze = ReadMaze(matrix_dir, problems, spawning);
  problems.ThrowFirst();
  for (size_t i = 0; i < spawning; ++i) report.Drop("tiles", "spawning locations");
  const std::string history = fmt::format("agent_history_init_n{}.csv", residents.size());
  ReadHistory(fs::path(matrix_dir) / ".." / history, residents, report, problems);
  problems.ThrowFirst();
  ReadRelations(residents);
  std::set<std::string> lived_in;
  for (const Resident& resident : residents) lived_in.insert(resident.sector);
  draft.ground = GroundOf(maze, lived_in, report);
  for (Resident& resident : residents) {
    resident.person.home = resident.sector;
    resident.person.workplace = WorkplaceOf(resident, *draft.ground);
    resident.person.known_places = KnownPlaces(resident, *draft.ground);
    if (resident.person.workplace.empty())
      report.Change("workplaces that no text names, one given", resident.person.name);
    draft.perception_radius = std::clamp(resident.vision, draft.perception_radius, 50);
    draft.people.push_back(std::move(resident.person));
  }
  report.form = "Generative Agents";
  return draft;
}

}  // namespace throng::town
