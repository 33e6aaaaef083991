// The map of Generative Agents: for each tile whether it is solid, and the sector, arena and object it
// belongs to.
#pragma once

#include <string>
#include <vector>

#include "town/content/problems.h"

namespace throng::town {

struct MazeTile {
  bool solid = false;
  std::string sector;  // "Hobbs Cafe"; empty outside of all
  std::string arena;   // "cafe"
  std::string object;  // "piano"
};

struct Maze {
  int32_t width = 0;
  int32_t height = 0;
  std::vector<MazeTile> tiles;  // [height * width]
};

// Of the folder `matrix`. With a problem, the maze is of no use.
Maze ReadMaze(const std::string& matrix, Problems& problems, size_t& num_spawning_locations);

}  // namespace throng::town
