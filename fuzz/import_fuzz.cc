// Any bytes as a file that `throng import` reads are refused with an Error, or as a problem that is noted:
// the first byte says which file they are. Those of Generative Agents replace one in a folder that is right.

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "town/import/csv.h"
#include "town/import/generative_agents.h"
#include "town/import/people.h"
#include "town/import/tiled.h"
#include "town/import/tiled_tilesets.h"

namespace fs = std::filesystem;
using namespace throng::town;

namespace {

constexpr const char* kSaved = "frontend_server/storage/three_neighbours";
constexpr std::string_view kPersons = "/personas/Bo Berg/bootstrap_memory/";

void UseTiled(std::string_view text) {
  Problems problems;
  ImportReport report;
  const auto json = ParseJson("input", std::string(text), problems);
  if (json && IsTiled(*json)) ReadTiled(*json, "input", report);
}

void UsePeople(const std::vector<PersonRow>& rows, Problems& problems) {
  ImportReport report;
  IsOasis(rows) ? OasisPeopleOf(rows, report, problems) : PeopleOf(rows, report, problems);
}

void UseTable(std::string_view text) {
  Problems problems;
  UsePeople(RowsOf("input", ParseCsv("input", std::string(text), kMaxPersonas, problems)), problems);
}

void UseList(std::string_view text) {
  Problems problems;
  const auto json = ParseJson("input", std::string(text), problems);
  if (!json || !json->is_array()) return;
  const std::vector<PersonRow> rows = RowsOf("input", *json, problems);
  UsePeople(rows, problems);
}

// A copy of the folder of the tests, which goes with the process.
class Folder {
 public:
  Folder() : root_(fs::temp_directory_path() / ("throng_import_fuzz." + std::to_string(getpid()))) {
    fs::copy(THRONG_SOURCE_DIR "/tests/import", root_, fs::copy_options::recursive);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }

  void UseTileset(std::string_view text) const {
    const std::string path = (root_ / "input.tsx").string();
    std::ofstream(path, std::ios::binary) << text;
    Problems problems;
    SolidTilesOfFile(path, problems);
  }

  void Use(const std::string& file, std::string_view text) const {
    const fs::path path = root_ / file;
    const fs::path kept = root_ / "kept";
    fs::rename(path, kept);
    std::ofstream(path, std::ios::binary) << text;
    try {
      ImportReport report;
      ReadGenerativeAgents((root_ / kSaved).string(), "", report);
    } catch (const throng::Error&) {
    }
    fs::rename(kept, path);
  }

 private:
  const fs::path root_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string saved = kSaved;
  const std::string person = saved + std::string(kPersons);
  const std::string matrix = "frontend_server/static_dirs/assets/hamlet/matrix/";
  try {
    if (data[0] == 't') UseTiled(text);
    if (data[0] == 'x') folder.UseTileset(text);
    if (data[0] == 'p') UseTable(text);
    if (data[0] == 'l') UseList(text);
    if (data[0] == 'm') folder.Use(saved + "/reverie/meta.json", text);
    if (data[0] == 's') folder.Use(person + "scratch.json", text);
    if (data[0] == 'n') folder.Use(person + "associative_memory/nodes.json", text);
    if (data[0] == 'i') folder.Use(matrix + "maze_meta_info.json", text);
    if (data[0] == 'c') folder.Use(matrix + "maze/sector_maze.csv", text);
    if (data[0] == 'b') folder.Use(matrix + "special_blocks/arena_blocks.csv", text);
  } catch (const throng::Error&) {
  }
  return 0;
}
