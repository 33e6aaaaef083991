#include "town/import/maze.h"

#include <fmt/format.h>

#include <map>
#include <optional>

#include "base/text/trim.h"
#include "town/content/json_file.h"

namespace throng::town {
namespace {

// Rows of values; files of this form have no quotes.
std::vector<std::vector<std::string>> ReadTable(const std::string& path, Problems& problems) {
  std::vector<std::vector<std::string>> rows;
  const std::optional<std::string> text = ReadText(path, problems);
  if (!text) return rows;
  std::vector<std::string> row;
  std::string cell;
  const auto end_cell = [&] {
    row.emplace_back(Trimmed(cell));
    cell.clear();
  };
  const auto end_row = [&] {
    end_cell();
    if (row.size() > 1 || !row[0].empty()) rows.push_back(row);
    row.clear();
  };
  for (const char c : *text) {
    if (c == ',') end_cell();
    if (c == '\n') end_row();
    if (c != ',' && c != '\n') cell += c;
  }
  end_row();
  return rows;
}

// Names by their number: the first and the last value of each row.
std::map<std::string, std::string> ReadBlocks(const std::string& path, Problems& problems) {
  std::map<std::string, std::string> names;
  for (const std::vector<std::string>& row : ReadTable(path, problems)) {
    if (row.size() >= 3) {
      names[row.front()] = row.back();
    } else {
      problems.Add(
          {path, 0, "",
           fmt::format("found a row of {} values, allowed: a number, the world and names", row.size())});
    }
  }
  return names;
}

class Layer {
 public:
  // A number per tile, in one row or many.
  Layer(const std::string& path, const Maze& maze, Problems& problems) {
    for (const std::vector<std::string>& row : ReadTable(path, problems)) {
      numbers_.insert(numbers_.end(), row.begin(), row.end());
      if (numbers_.back().empty()) numbers_.pop_back();  // a comma at the end
    }
    if (numbers_.size() == maze.tiles.size() || !problems.Empty()) return;
    problems.Add({path, 0, "",
                  fmt::format("found {} values, allowed: {} x {}, a tile each", numbers_.size(), maze.width,
                              maze.height)});
  }
  const std::string& At(size_t tile) const { return numbers_[tile]; }

 private:
  std::vector<std::string> numbers_;
};

void ReadSize(const std::string& path, Maze& maze, Problems& problems) {
  const std::optional<Json> meta = ReadJson(path, problems);
  const JsonView view(meta ? &*meta : nullptr, path, problems);
  maze.width = static_cast<int32_t>(view.At("maze_width").Int(8, 1000));
  maze.height = static_cast<int32_t>(view.At("maze_height").Int(8, 1000));
  maze.tiles.resize(static_cast<size_t>(maze.width) * maze.height);
}

}  // namespace

Maze ReadMaze(const std::string& matrix, Problems& problems, size_t& num_spawning_locations) {
  Maze maze;
  ReadSize(matrix + "/maze_meta_info.json", maze, problems);
  if (!problems.Empty()) return maze;
  const auto blocks = [&](const char* file) {
    return ReadBlocks(matrix + "/special_blocks/" + file, problems);
  };
  const auto sectors = blocks("sector_blocks.csv");
  const auto arenas = blocks("arena_blocks.csv");
  const auto objects = blocks("game_object_blocks.csv");
  const auto layer = [&](const char* file) { return Layer(matrix + "/maze/" + file, maze, problems); };
  const Layer collision = layer("collision_maze.csv");
  const Layer sector = layer("sector_maze.csv");
  const Layer arena = layer("arena_maze.csv");
  const Layer object = layer("game_object_maze.csv");
  const Layer spawning = layer("spawning_location_maze.csv");
  if (!problems.Empty()) return maze;
  const auto name = [](const std::map<std::string, std::string>& names, const std::string& number) {
    const auto found = names.find(number);
    return found == names.end() ? std::string() : found->second;
  };
  for (size_t i = 0; i < maze.tiles.size(); ++i) {
    maze.tiles[i] = {collision.At(i) != "0", name(sectors, sector.At(i)), name(arenas, arena.At(i)),
                     name(objects, object.At(i))};
    num_spawning_locations += spawning.At(i) != "0";
  }
  return maze;
}

}  // namespace throng::town
