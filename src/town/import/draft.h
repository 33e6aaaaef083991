// A scenario in the making: what an importer found, before it has the forms and limits of a town's folder.
#pragma once

#include <string>
#include <vector>

#include "sim/space/space.h"
#include "town/content/content.h"
#include "town/import/report.h"

namespace throng::town {

// A place or a home on a draft's ground.
struct DraftRegion {
  std::string name;
  bool is_home = false;
  bool indoors = false;
  std::vector<std::string> activities;  // of places
  std::vector<sim::Pos> tiles;          // solid ones do not count
  std::vector<sim::Pos> spots;          // where people stand; empty: chosen among the tiles
};

struct DraftGround {
  int32_t width = 0;
  int32_t height = 0;
  std::vector<bool> solid;  // [height * width]
  std::vector<DraftRegion> regions;

  size_t Index(sim::Pos pos) const { return static_cast<size_t>(pos.y) * width + pos.x; }
  bool Contains(sim::Pos pos) const { return pos.x >= 0 && pos.y >= 0 && pos.x < width && pos.y < height; }
};

struct DraftPerson {
  std::string name;
  int age = 30;
  std::string job;
  std::string workplace;  // name of a place; another name, or none: places are shared out
  std::string home;       // name of a home; another name, or none: homes are shared out
  int wake_hour = 7;
  int sleep_hour = 22;
  std::vector<std::string> traits;
  std::vector<Relation> relations;
  std::string about;
  std::vector<OldMemory> memories;
  std::optional<std::vector<std::string>> known_places;  // nothing: all
};

// The built-in town with other values where a draft has them.
struct Draft {
  std::string name;
  std::string start;  // "06:00"; empty: the built-in town's
  int hours = 0;      // 0: the built-in town's, as of the next
  int seconds_per_step = 0;
  int perception_radius = 0;
  std::optional<DraftGround> ground;  // nothing: the built-in town's
  std::vector<DraftPerson> people;    // none: the built-in town's
};

// Writes a folder that `throng run --scenario` takes. `base` is the built-in town's folder. What does not fit
// the limits of a town is cut, and reported. Throws kInvalid if the draft is no town (nobody can live or go
// anywhere in it, too many people), or the folder exists and has files in it, and kIo.
void WriteScenario(Draft draft, const std::string& base, const std::string& out, ImportReport& report);

}  // namespace throng::town
