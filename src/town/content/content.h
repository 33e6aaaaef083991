// Loads and checks the files of a town's folder: people, places, decisions and their prompts, settings. map.h
// holds the map.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "llm/llm.h"
#include "town/content/map.h"
#include "town/content/problems.h"
#include "town/content/scenario_file.h"
#include "town/mind/prompt.h"

namespace throng::town {

using PlaceId = uint16_t;  // index into Content::places
inline constexpr size_t kMaxPlaces = 200;
inline constexpr size_t kMaxPersonas = 1000;

struct Relation {
  std::string name;
  std::string relation;
};

// What a persona remembers from before the first step.
struct OldMemory {
  std::string text;
  int importance;
};

struct Persona {
  std::string name;
  int age;
  std::string job;
  PlaceId workplace;
  int home;      // region of the map
  int home_idx;  // index among the home's residents, in file order
  int wake_hour;
  int sleep_hour;
  std::vector<std::string> traits;
  std::vector<Relation> relations;
  bool absent = false;  // not there at the start: may arrive later
  std::string about;    // for {{about}}
  std::vector<OldMemory> memories;
  // Where it may decide to go besides home: its workplace and the places that it knows. Nothing: anywhere.
  std::optional<std::vector<PlaceId>> known_places;
  std::map<Decision, llm::Constraint> constraints;  // of `act` and `plan`, if it knows some places alone
};

inline constexpr size_t kMaxActivityBytes = 32;

struct Place {
  std::string name;
  bool is_home;  // the place "home": differs by persona
  int region;    // region of the map; for "home", the persona's
  std::vector<std::string> activities;
};

struct DecisionRules {
  Template prompt;
  llm::Constraint constraint;
  llm::Sampling sampling;
  std::vector<std::string> stop;
  int max_tokens;
};

// What one persona has heard before the first step.
struct News {
  size_t persona;
  std::string from;
  std::string text;
  int importance;
};

// News for everyone: heard at a time of the first day by all who are awake, by others when they wake.
struct PublicNews {
  int minute;
  std::string text;
};

struct Settings {
  std::string name;
  int start_minute;  // time of day of step 0
  int hours;         // default length of a run
  int seconds_per_step;
  int perception_radius;
  int act_spread_minutes;    // after each full hour, agents decide where to go within this time
  int stroll_minutes;        // time spent at one spot of a place
  int memory_lines;          // most lines of memories in a prompt
  int memory_bytes;          // most bytes of memories in a prompt
  int recency_half_minutes;  // age at which a memory's recency is half
  int pair_pause_minutes;    // pause before the same two consider talking again
  int rest_minutes;          // pause after a talk before looking for another
  int max_turns;
  int steps_per_turn;
};

struct Content {
  Settings settings;
  std::vector<Place> places;
  PlaceId home;  // the place "home"
  std::vector<Persona> personas;
  std::array<DecisionRules, kDecisions.size()> decisions;
  std::vector<News> news;
  std::vector<PublicNews> announcements;
  std::unique_ptr<const Map> map;
  std::vector<ScenarioFile> files;  // as they were read
  Digest digest;                    // of all files

  const DecisionRules& Rules(Decision decision) const { return decisions[static_cast<size_t>(decision)]; }
};

// Reads all files of a folder. With a problem in any of them, the content is not complete and of no use.
Content ReadContent(const std::string& dir, Problems& problems);

// Throws kInvalid with the first problem.
Content LoadContent(const std::string& dir);

}  // namespace throng::town
