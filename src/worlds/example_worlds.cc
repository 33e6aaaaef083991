#include "worlds/example_worlds.h"

#include <algorithm>

namespace throng::worlds {

std::span<const ExampleWorld> ExampleWorlds() {
  static const std::vector<ExampleWorld> worlds = {
      {"plaza",
       "a plane: people walk at their own speeds, and talk",
       MakePlazaWorld,
       25,
       600,
       1,
       {"choose", "greet"}},
      {"followers",
       "a network: people pass posts on to who follows them",
       MakeFollowerWorld,
       60,
       96,
       900,
       {"react", "write"}},
      {"microblog",
       "followers of each other, who change: posts, likes, feeds and messages",
       MakeMicroblogWorld,
       200,
       48,
       180,
       {"react"}},
      {"colony", "a grid: foragers are born and die", MakeColonyWorld, 60, 200, 300, {"bear"}},
  };
  return worlds;
}

const ExampleWorld* FindExampleWorld(std::string_view name) {
  const std::span<const ExampleWorld> worlds = ExampleWorlds();
  const auto found = std::find_if(worlds.begin(), worlds.end(),
                                  [&](const ExampleWorld& world) { return world.name == name; });
  return found == worlds.end() ? nullptr : &*found;
}

}  // namespace throng::worlds
