// Imports of tests/import: small files of our own in the forms of other programs.

#include "town/import/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/rng.h"
#include "town/content/map.h"
#include "town/import/ground.h"
#include "town/town.h"

namespace throng::town {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;
using testing::Not;
using testing::Pair;
using testing::SizeIs;

const fs::path kForms = fs::path(THRONG_SOURCE_DIR) / "tests" / "import";
const fs::path kHamlet = "frontend_server/storage/three_neighbours";
const fs::path kMatrix = "frontend_server/static_dirs/assets/hamlet/matrix";

class Imports : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    fs::copy(kForms, dir_ / "forms", fs::copy_options::recursive);
  }
  void TearDown() override { fs::remove_all(dir_); }

  ImportReport Import(const fs::path& source, const std::string& people = "", const std::string& maze = "") {
    fs::remove_all(Out());
    return town::Import({dir_ / "forms" / source, Out(), people, maze},
                        std::string(THRONG_SOURCE_DIR) + "/town");
  }
  std::string ErrorOf(const fs::path& source, const std::string& people = "") {
    try {
      Import(source, people);
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return error.what();
    }
    return "no error";
  }
  std::string Out() const { return dir_ / "town"; }
  Json Made(const char* file) const { return Json::parse(ReadFile(Out() + "/" + file)); }
  std::string Read(const fs::path& form) const { return ReadFile(dir_ / "forms" / form); }
  void Write(const fs::path& form, const std::string& text) { std::ofstream(dir_ / "forms" / form) << text; }
  void Replace(const fs::path& form, const std::string& from, const std::string& to) {
    std::string text = Read(form);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << form << ": " << from;
    Write(form, text.replace(at, from.size(), to));
  }

  fs::path dir_ = fs::temp_directory_path() / fmt::format("throng_import_{}", getpid());
};

std::vector<std::string> NamesOf(const Json& list) {
  std::vector<std::string> names;
  for (const Json& entry : list) names.push_back(entry["name"]);
  return names;
}

TEST_F(Imports, GenerativeAgentsKeepPeopleMemoriesAndPlaces) {
  const ImportReport report = Import(kHamlet);
  EXPECT_EQ(report.form, "Generative Agents");
  EXPECT_THAT(CheckTown(Out()), IsEmpty());
  const Json personas = Made("personas.json");
  EXPECT_THAT(NamesOf(personas), ElementsAre("Anna Berg", "Bo Berg", "Caspar Lind"));
  const Json& anna = personas[0];
  EXPECT_EQ(anna["age"], 41);
  EXPECT_EQ(anna["job"], "baker");
  EXPECT_EQ(anna["workplace"], "Mill Bakery");
  EXPECT_EQ(anna["home"], "Anna Berg's house");
  EXPECT_EQ(anna["wake_hour"], 4);
  EXPECT_EQ(anna["sleep_hour"], 21);
  EXPECT_EQ(anna["traits"], Json({"patient", "cheerful", "curious"}));
  for (const char* part :
       {"likes to try new recipes", "a tasting of new bread", "goes to bed around 9pm", "from 5am"}) {
    EXPECT_THAT(anna["about"].get<std::string>(), HasSubstr(part));
  }
  // In the order of their numbers.
  EXPECT_EQ(anna["memories"], Json::parse(R"([{"text": "Caspar Lind is buying two loaves", "importance": 2},
      {"text": "Bo is happier since he goes to Hill School", "importance": 6},
      {"text": "conversing about the key of the Old Tower", "importance": 4}])"));
  EXPECT_EQ(personas[1]["sleep_hour"], 20);
  EXPECT_EQ(personas[2]["sleep_hour"], 23);  // after midnight, which is another day
  EXPECT_EQ(personas[2]["job"], "teacher");
  EXPECT_EQ(Made("scenario.json")["start"], "06:30");
  EXPECT_EQ(Made("scenario.json")["perception_radius"], 6);

  const Json map = Made("map.json");
  EXPECT_THAT(NamesOf(map["places"]),
              ElementsAre("Mill Bakery", "Pond Park", "Hill School: classroom", "Hill School: library"));
  EXPECT_THAT(NamesOf(map["homes"]), ElementsAre("Anna Berg's house", "Caspar Lind's cottage"));
  EXPECT_EQ(map["places"][0]["indoors"], true);
  EXPECT_EQ(map["places"][1]["indoors"], false);
  EXPECT_EQ(Made("places.json")[1]["activities"], Json({"use the oven", "use the bakery counter"}));
  EXPECT_EQ(Made("decisions.json")["act"]["choices"].size(), 5u);
  EXPECT_EQ(Made("decisions.json")["act"]["max_tokens"], std::string("Hill School: classroom").size());
  EXPECT_GT(Made("decisions.json")["plan"]["max_tokens"], 400);
  EXPECT_THAT(ReadFile(Out() + "/prompts/say.txt"), HasSubstr("About: {{about}}\n"));
}

TEST_F(Imports, GenerativeAgentsGoWhereTheirSpatialMemoriesReach) {
  const fs::path personas = kHamlet / "personas";
  Write(personas / "Bo Berg" / "bootstrap_memory" / "spatial_memory.json",
        R"({"the Hamlet": {"Hill School": {"library": ["shelf"]}, "Anna Berg's house": {"kitchen": []},
                           "Atlantis": {"bay": []}}})");
  fs::remove(dir_ / "forms" / personas / "Caspar Lind" / "bootstrap_memory" / "spatial_memory.json");
  Import(kHamlet);
  EXPECT_THAT(CheckTown(Out()), IsEmpty());
  const Json made = Made("personas.json");
  EXPECT_EQ(made[0]["places"], Json({"Mill Bakery"}));
  EXPECT_EQ(made[1]["places"], Json({"Hill School: library"}));
  EXPECT_FALSE(made[2].contains("places"));  // goes anywhere
  Write(personas / "Bo Berg" / "bootstrap_memory" / "spatial_memory.json",
        R"({"the Hamlet": ["Hill School"]})");
  EXPECT_THAT(ErrorOf(kHamlet), HasSubstr("Hamlet: found [\"Hill School\"], allowed: an object"));
}

TEST_F(Imports, GenerativeAgentsWorkInTheLargestRoomOfTheirSector) {
  const fs::path layer = kMatrix / "maze" / "arena_maze.csv";
  std::string numbers = Read(layer);
  const size_t first = numbers.find("203");  // of the classroom, which comes first and keeps this tile alone
  ASSERT_NE(first, std::string::npos);
  for (size_t at = first + 1; (at = numbers.find("203", at)) != std::string::npos;)
    numbers.replace(at, 3, "204");
  Write(layer, numbers);
  Import(kHamlet);
  EXPECT_EQ(Made("personas.json")[2]["workplace"], "Hill School: library");
}

TEST_F(Imports, GenerativeAgentsGoToBedAtMidnightAndWorkBehindCounters) {
  const fs::path scratch = kHamlet / "personas" / "Bo Berg" / "bootstrap_memory" / "scratch.json";
  Replace(scratch, "around 8:30pm", "around midnight");
  Replace(kMatrix / "special_blocks" / "game_object_blocks.csv", "bakery counter",
          "behind the bakery counter");
  const ImportReport report = Import(kHamlet);
  EXPECT_EQ(Made("personas.json")[1]["sleep_hour"], 23);
  EXPECT_THAT(report.Changed(), Not(Contains(Key(HasSubstr("does not tell")))));
  EXPECT_EQ(Made("places.json")[1]["activities"], Json({"use the oven", "work behind the bakery counter"}));
}

TEST_F(Imports, GenerativeAgentsThatHaveNotBegunRememberTheirHistory) {
  for (const char* name : {"Anna Berg", "Bo Berg", "Caspar Lind"})
    Write(kHamlet / "personas" / name / "bootstrap_memory" / "associative_memory" / "nodes.json", "{}");
  const fs::path history = kMatrix.parent_path() / "agent_history_init_n3.csv";
  Write(history,
        "Name,Whisper\nBo Berg,\"Anna Berg is your mother; you like \"\"fog\"\"; \"\n"
        "Caspar Lind,Bo Berg is a pupil, and a good one\r\nDora Holm,You sing\n\n");
  ImportReport report = Import(kHamlet);
  EXPECT_THAT(CheckTown(Out()), IsEmpty());
  const Json personas = Made("personas.json");
  EXPECT_FALSE(personas[0].contains("memories"));
  EXPECT_EQ(personas[1]["memories"], Json::parse(R"([{"text": "Anna Berg is your mother", "importance": 5},
                                                     {"text": "you like fog", "importance": 5}])"));
  EXPECT_EQ(personas[2]["memories"],
            Json::parse(R"([{"text": "Bo Berg is a pupil, and a good one", "importance": 5}])"));
  EXPECT_EQ(personas[1]["relations"], Json::parse(R"([{"name": "Anna Berg", "relation": "mother"}])"));
  EXPECT_EQ(personas[2]["relations"], Json::parse(R"([{"name": "Bo Berg", "relation": "acquaintance"}])"));
  EXPECT_THAT(report.Changed().at("memories from agent_history_init_n3.csv"), SizeIs(2));
  EXPECT_THAT(report.Dropped().at("rows of the history about nobody here"), ElementsAre(Key("Dora Holm")));
  // A simulation that has begun has memories of its own.
  Write(kHamlet / "personas" / "Bo Berg" / "bootstrap_memory" / "associative_memory" / "nodes.json",
        R"({"node_1": {"node_count": 1, "type": "event", "poignancy": 3, "description": "Bo slept"}})");
  report = Import(kHamlet);
  EXPECT_EQ(report.memories, 1u);
}

TEST_F(Imports, GenerativeAgentsHousesWithABedAreHomesWhetherSomebodyLivesThereOrNot) {
  fs::remove_all(dir_ / "forms" / kHamlet / "personas" / "Anna Berg");
  fs::remove_all(dir_ / "forms" / kHamlet / "personas" / "Bo Berg");
  Import(kHamlet);
  EXPECT_THAT(NamesOf(Made("map.json")["homes"]), ElementsAre("Anna Berg's house", "Caspar Lind's cottage"));
}

TEST_F(Imports, GenerativeAgentsPlacesHaveTheirNamesAndAreOpenIfTheyAreGardens) {
  Replace(kMatrix / "special_blocks" / "game_object_blocks.csv", "oven", "large oven of red bricks inside");
  Replace(kMatrix / "special_blocks" / "arena_blocks.csv", "Hill School, classroom", "Hill School, garden");
  Replace(kMatrix / "special_blocks" / "sector_blocks.csv", "Mill Bakery", "The Mill Bakery");
  Import(kHamlet);
  const Json map = Made("map.json");
  EXPECT_EQ(map["places"][0]["name"], "Mill Bakery");  // people go "to the Mill Bakery"
  EXPECT_EQ(map["places"][2]["name"], "Hill School: garden");
  EXPECT_EQ(map["places"][2]["indoors"], false);
  EXPECT_EQ(map["places"][3]["indoors"], true);
  EXPECT_THAT(Made("places.json")[1]["activities"], Contains("large oven of red bricks inside"));
}

// Real maps have numbers of other rooms on their walls.
TEST_F(Imports, GenerativeAgentsRoomsAreMadeOfTheirFloors) {
  const fs::path layers = kMatrix / "maze";
  const auto numbers = [&](const char* file) {
    std::string text = Read(layers / file);
    std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
    std::vector<std::string> values;
    std::istringstream stream(text);
    for (std::string value; std::getline(stream, value, ',');) values.push_back(value);
    return values;
  };
  const std::vector<std::string> solid = numbers("collision_maze.csv");
  const std::vector<std::string> sectors = numbers("sector_maze.csv");
  std::vector<std::string> arenas = numbers("arena_maze.csv");
  int walls = 0;
  for (size_t i = 0; i < arenas.size(); ++i) {
    if (solid[i] == "0" || sectors[i] != "101") continue;
    arenas[i] = "204";
    ++walls;
  }
  ASSERT_GT(walls, 0);
  Write(layers / "arena_maze.csv", fmt::format("{}", fmt::join(arenas, ", ")));
  Import(kHamlet);
  EXPECT_THAT(NamesOf(Made("map.json")["places"]),
              ElementsAre("Mill Bakery", "Pond Park", "Hill School: classroom", "Hill School: library"));
  EXPECT_EQ(Made("personas.json")[0]["workplace"], "Mill Bakery");
}

TEST_F(Imports, GenerativeAgentsTellWhatIsLeftOut) {
  const ImportReport report = Import(kHamlet);
  const ImportReport::Names& dropped = report.Dropped();
  EXPECT_THAT(dropped.at("places that nobody can reach"), ElementsAre(Pair("Old Tower", 1)));
  EXPECT_THAT(dropped.at("files"), ElementsAre(Pair("associative_memory/embeddings.json", 3),
                                               Pair("associative_memory/kw_strength.json", 3)));
  EXPECT_THAT(dropped.at("fields of scratch.json"), Contains(Pair("retention", 3)));
  EXPECT_THAT(dropped.at("tiles"), ElementsAre(Pair("spawning locations", 2)));
  EXPECT_THAT(report.Changed(), Contains(Key("hours of waking and sleeping, within one day")));
}

TEST_F(Imports, ImportedMapsHaveTheSolidTilesOfTheirSource) {
  Import(kHamlet);
  Problems problems;
  const std::optional<Json> json = ReadJson(Out() + "/map.json", problems);
  const Map map(JsonView(&*json, "map.json", problems));
  ASSERT_TRUE(problems.Empty());
  std::string numbers = Read(kMatrix / "maze" / "collision_maze.csv");
  std::erase_if(numbers, [](char c) { return c == ' ' || c == '\n'; });
  size_t begin = 0;
  for (int32_t y = 0; y < map.Height(); ++y) {
    for (int32_t x = 0; x < map.Width(); ++x) {
      const size_t end = std::min(numbers.find(',', begin), numbers.size());
      EXPECT_EQ(map.Walkable({x, y}), numbers.substr(begin, end - begin) == "0") << x << " " << y;
      begin = end + 1;
    }
  }
}

TEST_F(Imports, TheMapOfAnotherFolder) {
  fs::rename(dir_ / "forms" / kMatrix, dir_ / "forms" / "matrix");
  EXPECT_THAT(ErrorOf(kHamlet),
              HasSubstr("its map static_dirs/assets/hamlet/matrix is in no folder above it"));
  EXPECT_EQ(Import(kHamlet, "", dir_ / "forms" / "matrix").places, 4u);
}

TEST_F(Imports, TiledMaps) {
  const ImportReport report = Import("garden.tmj", kForms / "people.csv");
  EXPECT_THAT(CheckTown(Out()), IsEmpty());
  const Json map = Made("map.json");
  EXPECT_THAT(NamesOf(map["places"]), ElementsAre("tea house", "orchard", "pond"));  // an ellipse
  EXPECT_THAT(NamesOf(map["homes"]), ElementsAre("lodge", "hut"));
  EXPECT_EQ(map["places"][0]["spots"], Json::parse("[[3, 3]]"));
  // The walls of the layer, and the two tiles that the tileset calls solid, one of them turned.
  size_t solid = 0;
  for (const Json& rect : map["walls"]) solid += rect[2].get<size_t>() * rect[3].get<size_t>();
  EXPECT_EQ(solid, 2u * 7 + 2 * 3 - 1 + 2);
  EXPECT_EQ(Made("places.json")[1]["activities"], Json({"drink tea", "read the news"}));
  const ImportReport::Names& dropped = report.Dropped();
  EXPECT_THAT(dropped.at("layers of images"), ElementsAre(Key("sky")));
  EXPECT_THAT(dropped.at("layers of pictures"), ElementsAre(Key("ground")));
  EXPECT_THAT(dropped.at("objects of the class camera"), ElementsAre(Key("start")));
  EXPECT_THAT(dropped.at("tilesets in files that are not there (their solid tiles are not known)"),
              ElementsAre(Key("walls.tsx")));
  EXPECT_EQ(Made("personas.json")[0]["home"], "lodge");
  // So that the embedded model, of a context of 1024, can give them.
  EXPECT_LT(Made("decisions.json")["plan"]["max_tokens"], 400);
  EXPECT_EQ(Import("garden.tmj").people, 25u);
}

// Tile 6 of the map is tile 1 of the tileset in the other file.
TEST_F(Imports, TilesetsInFilesOfTheirOwn) {
  Json map = Json::parse(Read("garden.tmj"));
  map["layers"][0]["data"][20 * 15] = 6;
  Write("garden.tmj", map.dump());
  Write(
      "walls.tsx",
      R"(<tileset><tile id="1"><properties><property name="collides" value="true"/></properties></tile></tileset>)");
  EXPECT_FALSE(Import("garden.tmj")
                   .Dropped()
                   .contains("tilesets in files that are not there (their solid tiles are not known)"));
  EXPECT_THAT(Made("map.json")["walls"], Contains(Json({0, 15, 1, 1})));
  Write("walls.tsx", "{}");
  EXPECT_THAT(ErrorOf("garden.tmj"), HasSubstr("walls.tsx: this is no tileset of Tiled"));
}

TEST_F(Imports, LayersAreWhereTheirOffsetsAndThoseOfTheirGroupsPutThem) {
  Import("garden.tmj");
  const Json still = Made("map.json");
  Json map = Json::parse(Read("garden.tmj"));
  for (Json& layer : map["layers"]) {
    layer["offsetx"] = layer.contains("layers") ? -16 : -32;
    layer["offsety"] = 32.0;
    if (!layer.contains("layers")) continue;
    for (Json& inner : layer["layers"]) inner["offsetx"] = -16;
  }
  Write("garden.tmj", map.dump());
  EXPECT_THAT(Import("garden.tmj").Changed(), Not(Contains(Key("offsets of layers, to whole tiles"))));
  const auto moved = [](Json rects) {  // two tiles to the left, two down
    for (Json& rect : rects) rect = {rect[0].get<int>() - 2, rect[1].get<int>() + 2, rect[2], rect[3]};
    return rects;
  };
  EXPECT_EQ(Made("map.json")["walls"], moved(still["walls"]));
  EXPECT_EQ(Made("map.json")["homes"][0]["rects"], moved(still["homes"][0]["rects"]));
}

TEST_F(Imports, OffsetsThatAreNoWholeTilesOrLeaveTheMapAreReported) {
  Json map = Json::parse(Read("garden.tmj"));
  map["layers"][1]["offsetx"] = -41;  // of the walls, which begin at tile 2
  Write("garden.tmj", map.dump());
  const ImportReport report = Import("garden.tmj");
  EXPECT_THAT(report.Changed().at("offsets of layers, to whole tiles"), Contains(Key("walls")));
  EXPECT_THAT(report.Dropped().at("solid tiles that an offset moves off the map"), Contains(Key("walls")));
}

TEST_F(Imports, ObjectsOfCollisionLayersAndSolidTilesThatAreObjectsAreWalls) {
  Json map = Json::parse(Read("garden.tmj"));
  Json objects = Json::parse(R"([{"x": 0, "y": 0, "width": 16, "height": 16},
                                 {"x": 32, "y": 0, "width": 32, "height": 16, "capsule": true}])");
  map["layers"].push_back({{"type", "objectgroup"}, {"name", "Collisions"}, {"objects", objects}});
  // A tile stands on its lower left corner; tile 3 is solid, tile 1 is not.
  objects = Json::parse(R"([{"x": 0, "y": 256, "width": 16, "height": 16, "gid": 2147483651},
                            {"x": 16, "y": 256, "width": 16, "height": 16, "gid": 1, "name": "lamp"},
                            {"x": 32, "y": 256, "width": 16, "height": 16, "gid": 1, "name": "well",
                             "properties": [{"name": "collides", "type": "bool", "value": true}]}])");
  map["layers"].push_back({{"type", "objectgroup"}, {"name", "things"}, {"objects", objects}});
  Write("garden.tmj", map.dump());
  Import("garden.tmj");
  const Json walls = Made("map.json")["walls"];
  for (const char* rect : {"[0, 0, 1, 1]", "[2, 0, 2, 1]", "[0, 15, 1, 1]", "[2, 15, 1, 1]"}) {
    EXPECT_THAT(walls, Contains(Json::parse(rect)));
  }
  EXPECT_THAT(walls, Not(Contains(Json::parse("[1, 15, 1, 1]"))));
  EXPECT_THAT(NamesOf(Made("map.json")["places"]), Contains("lamp"));
}

TEST_F(Imports, ObjectsOfTemplatesAreReadFromTheirFiles) {
  Json map = Json::parse(Read("garden.tmj"));
  const Json objects = Json::parse(R"([{"id": 1, "template": "kiosk.tj", "x": 160, "y": 0},
                                       {"id": 2, "template": "kiosk.tj", "x": 256, "y": 0, "name": "stall",
                                        "properties": [{"name": "indoors", "type": "bool", "value": false}]},
                                       {"id": 3, "template": "rock.tx", "x": 0, "y": 256},
                                       {"id": 4, "template": "lost.tx", "x": 0, "y": 0}])");
  map["layers"].push_back({{"type", "objectgroup"}, {"name", "things"}, {"objects", objects}});
  Write("garden.tmj", map.dump());
  Write("kiosk.tj",
        R"({"type": "template", "object": {"name": "kiosk", "type": "place", "width": 32, "height": 16,
      "properties": [{"name": "activities", "type": "string", "value": "buy a paper"},
                     {"name": "indoors", "type": "bool", "value": true}]}})");
  Write("rock.tx", R"(<template><tileset firstgid="1" source="rocks.tsx"/>
      <object gid="2" width="16" height="16"><properties><property name="heavy">very</property></properties></object></template>)");
  Write(
      "rocks.tsx",
      R"(<tileset><tile id="1"><properties><property name="solid" value="true"/></properties></tile></tileset>)");
  const ImportReport report = Import("garden.tmj");
  const Json places = Made("map.json")["places"];
  const auto place = [&](const char* name) {
    return *std::find_if(places.begin(), places.end(), [&](const Json& one) { return one["name"] == name; });
  };
  ASSERT_THAT(NamesOf(places), testing::IsSupersetOf({"kiosk", "stall"}));
  EXPECT_EQ(place("kiosk")["rects"], Json::parse("[[10, 0, 2, 1]]"));
  EXPECT_EQ(place("stall")["rects"], Json::parse("[[16, 0, 2, 1]]"));
  EXPECT_EQ(place("kiosk")["indoors"], true);
  EXPECT_EQ(place("stall")["indoors"], false);
  EXPECT_THAT(Made("map.json")["walls"], Contains(Json::parse("[0, 15, 1, 1]")));
  EXPECT_THAT(report.Dropped().at("objects of templates in files that are not there"),
              ElementsAre(Key("lost.tx")));
  Write("kiosk.tj", R"({"object": 7})");
  EXPECT_THAT(ErrorOf("garden.tmj"), HasSubstr("kiosk.tj: this is no template of Tiled"));
}

TEST_F(Imports, TiledMapsWithoutPlacesAreRefusedWithWhatIsMissing) {
  Json map = Json::parse(Read("garden.tmj"));
  for (Json& layer : map["layers"]) {
    if (layer.contains("objects")) layer["objects"] = Json::array();
  }
  Write("garden.tmj", map.dump());
  EXPECT_THAT(ErrorOf("garden.tmj"),
              HasSubstr("garden.tmj: found no places, allowed: rectangles or polygons in a layer"));
}

TEST_F(Imports, WhatTiledCanDoAndThisCannotIsRefusedByName) {
  struct Case {
    const char* from;
    const char* to;
    const char* message;
  };
  const Case cases[] = {
      {"\"name\": \"ground\",", "\"name\": \"ground\", \"encoding\": \"base32\",",
       "layers[0].encoding: found \"base32\""},
      {"\"name\": \"ground\",", "\"name\": \"ground\", \"compression\": \"lzma\",",
       "layers[0].compression: found \"lzma\""},
      {"\"infinite\": false", "\"infinite\": true", "layers[0].chunks: this key is missing"},
      {"\"orthogonal\"", "\"hexagonal\"", "orientation: found \"hexagonal\""},
      {"\"imagelayer\"", "\"hologram\"", "layers[2].type: found \"hologram\""},
      {"\"type\": \"home\"", "\"type\": \"place\"", "no error"},
      {"\"width\": 20, \"height\": 16", "\"width\": 20, \"height\": 17", "layers[0].data: found"},
  };
  const std::string whole = Read("garden.tmj");
  for (const Case& c : cases) {
    Replace("garden.tmj", c.from, c.to);
    EXPECT_THAT(ErrorOf("garden.tmj"), HasSubstr(c.message)) << c.to;
    Write("garden.tmj", whole);
  }
  for (int i = 0; i < 2; ++i) Replace("garden.tmj", "\"type\": \"home\"", "\"type\": \"place\"");
  EXPECT_THAT(ErrorOf("garden.tmj"), HasSubstr("the map has no home that can be reached"));
  Write("garden.tmx", "<?xml version=\"1.0\"?>");
  EXPECT_THAT(ErrorOf("garden.tmx"), HasSubstr("found Tiled's XML"));
}

TEST_F(Imports, ColumnsThatPandasAndOasisAddAreNoPartOfADescription) {
  Replace("twitter.csv", ",user_id,name", "Unnamed: 0,user_id,name");
  Replace("twitter.csv", ",followers_count,", ",follower_count,");
  const ImportReport report = Import("twitter.csv");
  EXPECT_THAT(report.Dropped().at("columns"), Contains(Key("follower_count")));
  EXPECT_THAT(report.Dropped().at("columns"), Contains(Key("(without a name)")));
  EXPECT_THAT(Made("personas.json")[0]["about"].get<std::string>(), Not(HasSubstr("Unnamed")));
}

TEST_F(Imports, LongDescriptionsAreCutAndTheirPeopleNamed) {
  const std::string longer(9000, 'x');
  Replace("twitter.csv", "Tor counts wagons.", longer);
  const ImportReport report = Import("twitter.csv");
  EXPECT_THAT(report.Changed().at("descriptions cut"), ElementsAre(Key("torvik")));
  EXPECT_THAT(CheckTown(Out()), IsEmpty());
}

TEST_F(Imports, TablesOfPeople) {
  const ImportReport report = Import("people.csv");
  EXPECT_THAT(CheckTown(Out()), IsEmpty());
  const Json personas = Made("personas.json");
  EXPECT_THAT(NamesOf(personas), ElementsAre("Ines \"Nina\" Faro", "Odd Rask", "Zoë Åkesson"));
  EXPECT_EQ(personas[0]["age"], 34);
  EXPECT_EQ(personas[0]["wake_hour"], 5);
  EXPECT_EQ(personas[0]["about"], "Grows apples, and sells them. Education: college");
  EXPECT_EQ(personas[0]["relations"], Json::parse(R"([{"name": "Odd Rask", "relation": "neighbour"}])"));
  EXPECT_EQ(personas[2]["relations"], Json::parse(R"([{"name": "Odd Rask", "relation": "friend"}])"));
  EXPECT_THAT(report.Dropped().at("relations to themselves, or to people who are not there"),
              ElementsAre(Key("Nobody")));
  EXPECT_THAT(report.Changed().at("homes that are not on the map, another given"),
              SizeIs(2));  // lodge, castle
  EXPECT_EQ(ReadFile(Out() + "/map.json"), ReadFile(std::string(THRONG_SOURCE_DIR) + "/town/map.json"));

  Import("people.json");
  EXPECT_THAT(CheckTown(Out()), IsEmpty());
  EXPECT_EQ(Made("personas.json")[0]["job"], "nurse");
  EXPECT_EQ(Made("personas.json")[0]["about"], "income: 2400");
  EXPECT_EQ(Made("personas.json")[1]["sleep_hour"], 7);
}

// None of the two is lost.
TEST_F(Imports, ColumnsThatMeanTheSame) {
  Write("twice.csv", "name,full_name,job,job\nAnn,Ann Berg,baker,singer\n");
  const ImportReport report = Import("twice.csv");
  const Json ann = Made("personas.json")[0];
  EXPECT_EQ(ann["name"], "Ann");
  EXPECT_EQ(ann["job"], "baker");
  EXPECT_EQ(ann["about"], "full_name: Ann Berg. job: singer");
  EXPECT_THAT(report.Changed().at("columns that became part of the description"),
              ElementsAre(Key("full_name"), Key("job")));
}

TEST_F(Imports, ProfilesOfOasis) {
  const ImportReport reddit = Import("reddit.json");
  EXPECT_EQ(reddit.form, "OASIS profiles");
  EXPECT_THAT(CheckTown(Out()), IsEmpty());
  EXPECT_EQ(Made("personas.json")[0]["name"], "moonlia");
  EXPECT_EQ(Made("personas.json")[0]["job"], "Food & Drink");
  EXPECT_EQ(Made("personas.json")[0]["about"],
            "real name: Lia Moon. Bakes and blogs. Lia argues about flour. gender: female. mbti: ENFP. "
            "country: Chile. "
            "interested_topics: Baking; Travel");
  EXPECT_THAT(reddit.Dropped().at("columns"), ElementsAre(Pair("karma", 1)));

  const ImportReport twitter = Import("twitter.csv");
  EXPECT_EQ(twitter.form, "OASIS profiles");
  EXPECT_EQ(Made("personas.json")[0]["relations"], Json::parse(R"([{"name": "torvik", "relation": "follows"},
      {"name": "adaoye", "relation": "follows"}])"));
  EXPECT_THAT(twitter.Dropped().at("follows of agents who are not in the file"),
              ElementsAre(Pair("adaoye", 1)));
  EXPECT_THAT(twitter.Dropped().at("columns"), Contains(Pair("previous_tweets", 3)));
}

TEST_F(Imports, TablesTellAllTheirProblems) {
  const auto problems_of = [&](const char* file, const std::string& text) {
    Write(file, text);
    std::string sentences;
    try {
      Import(file);
    } catch (const ProblemsError& error) {
      for (const Problem& problem : error.All()) {
        sentences += problem.Sentence().substr((dir_ / "forms/").string().size()) + "\n";
      }
    }
    return sentences;
  };
  EXPECT_EQ(problems_of("bad.csv",
                        "Name,Age,wake,sleep\nAnn,old,noon,noon\nBo\n,5,7 am,10:30 PM\nCy,34.0,07:30:00,22\n"
                        "Di,3.5,13 pm,7:3x\n"),
            "bad.csv:3: found 1 value, allowed: 4, as many as columns\n"
            "bad.csv:2: Age: found \"old\", allowed: a whole number\n"
            "bad.csv:2: wake: found \"noon\", allowed: an hour such as 7, 07:30 or 7 am\n"
            "bad.csv:2: sleep: found \"noon\", allowed: an hour such as 7, 07:30 or 7 am\n"
            "bad.csv:4: name: found \"\", allowed: a name\n"
            "bad.csv:6: Age: found \"3.5\", allowed: a whole number\n"
            "bad.csv:6: wake: found \"13 pm\", allowed: an hour such as 7, 07:30 or 7 am\n"
            "bad.csv:6: sleep: found \"7:3x\", allowed: an hour such as 7, 07:30 or 7 am\n");
  EXPECT_EQ(problems_of("bad.json", R"([{"name": "Ann", "age": "old"}, 7, {"name": {}}, {"name": "Bo"}])"),
            "bad.json: [1]: found 7, allowed: an object with a person's values\n"
            "bad.json: [2].name: found {}, allowed: a text, a number or a list of texts\n"
            "bad.json: [0].age: found \"old\", allowed: a whole number\n");
  EXPECT_EQ(
      problems_of("oasis.csv", "username,bio,age,following_agentid_list\nann,x,y,\"[0, me]\"\n,z,,[you]\n"),
      "oasis.csv:2: age: found \"y\", allowed: a whole number\n"
      "oasis.csv:3: username: found \"\", allowed: a name\n"
      "oasis.csv:2: following_agentid_list: found \"[0, me]\", allowed: a list of whole numbers\n"
      "oasis.csv:3: following_agentid_list: found \"[you]\", allowed: a list of whole numbers\n");
}

// As Excel saves a table: with a mark, semicolons, empty rows and columns at the end, and hours with minutes.
TEST_F(Imports, TablesOfExcel) {
  Write("excel.csv",
        "\xEF\xBB\xBFsep=;\r\nName;Age;Wake;Sleep;\r\nAnn;34,0;7:00;10:30 PM;\r\n"
        "\"Bo; the 2nd\";12;12 am;23:00:00;\r\n;;;;\r\n");
  Import("excel.csv");
  const Json people = Made("personas.json");
  EXPECT_THAT(NamesOf(people), ElementsAre("Ann", "Bo; the 2nd"));
  EXPECT_EQ(people[0]["age"], 34);
  EXPECT_EQ(people[0]["wake_hour"], 7);
  EXPECT_EQ(people[0]["sleep_hour"], 22);
  EXPECT_EQ(people[1]["wake_hour"], 0);
  EXPECT_EQ(people[1]["sleep_hour"], 23);
}

TEST_F(Imports, RefusesInOneSentence) {
  Write("nameless.csv", "name,age\n,5\n");
  EXPECT_THAT(ErrorOf("nameless.csv"),
              HasSubstr("nameless.csv: found no name in any row, allowed: a column"));
  Write("old.csv", "name,age\nAnn,old\n");
  EXPECT_THAT(ErrorOf("old.csv"), HasSubstr("old.csv:2: age: found \"old\", allowed: a whole number"));
  Write("latin.csv", "name\nJos\xE9\n");
  EXPECT_THAT(ErrorOf("latin.csv"), HasSubstr("found the byte 0xE9 in line 2, as in Latin-1"));
  Write("empty.json", "[]");
  EXPECT_THAT(ErrorOf("empty.json"), HasSubstr("empty.json: found [], allowed: a list of 1 to 1000 values"));
  Write("object.json", "{}");
  EXPECT_THAT(ErrorOf("object.json"), HasSubstr("this JSON has no form that can be imported"));
  Write("people.txt", "x");
  EXPECT_THAT(ErrorOf("people.txt"), HasSubstr("found the ending \".txt\""));
  EXPECT_THAT(ErrorOf("frontend_server"), HasSubstr("this folder has no form that can be imported"));
  EXPECT_THAT(ErrorOf("nowhere.csv"), HasSubstr("nowhere.csv: there is no such file"));
  EXPECT_THAT(ErrorOf("people.csv", kForms / "people.csv"), HasSubstr("has people, allowed: with a map"));
  Replace(kHamlet / "personas/Bo Berg/bootstrap_memory/scratch.json", "\"age\": 12", "\"age\": \"12\"");
  EXPECT_THAT(ErrorOf(kHamlet), HasSubstr("Bo Berg/bootstrap_memory/scratch.json: age: found \"12\""));
  Import("people.json");
  try {
    town::Import({dir_ / "forms" / "people.csv", Out(), "", ""}, std::string(THRONG_SOURCE_DIR) + "/town");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("this exists, and is not empty"));
  }
}

// Cut, or with a byte changed: a sentence, or a town without problems.
TEST_F(Imports, DamagedSourcesAreRefusedOrImported) {
  const fs::path bo = kHamlet / "personas/Anna Berg/bootstrap_memory";
  const std::pair<fs::path, fs::path> files[] = {{"garden.tmj", "garden.tmj"},
                                                 {"people.csv", "people.csv"},
                                                 {"reddit.json", "reddit.json"},
                                                 {"twitter.csv", "twitter.csv"},
                                                 {kHamlet, bo / "scratch.json"},
                                                 {kHamlet, bo / "associative_memory/nodes.json"},
                                                 {kHamlet, kMatrix / "maze/arena_maze.csv"},
                                                 {kHamlet, kMatrix / "special_blocks/arena_blocks.csv"},
                                                 {kHamlet, kMatrix / "maze_meta_info.json"},
                                                 {kHamlet, kHamlet / "reverie/meta.json"}};
  CounterRng rng(3);
  for (const auto& [source, file] : files) {
    const std::string whole = Read(file);
    for (int i = 0; i < 8; ++i) {
      std::string damaged = whole;
      const size_t at = rng.NextBelow(whole.size());
      if (i % 2 == 0) damaged.resize(at);
      if (i % 2 == 1) damaged[at] = static_cast<char>(rng.Next() % 128);
      Write(file, damaged);
      if (ErrorOf(source) == "no error") {
        EXPECT_THAT(CheckTown(Out()), IsEmpty()) << file << " " << at;
      }
    }
    Write(file, whole);
  }
}

TEST(Cover, RectanglesCoverExactlyOnce) {
  CounterRng rng(5);
  for (int round = 0; round < 50; ++round) {
    const auto width = static_cast<int32_t>(1 + rng.NextBelow(20));
    const auto height = static_cast<int32_t>(1 + rng.NextBelow(20));
    std::vector<bool> covered(static_cast<size_t>(width) * height);
    for (size_t i = 0; i < covered.size(); ++i) covered[i] = rng.NextBelow(3) > 0;
    std::vector<int> times(covered.size());
    for (const Rect& rect : Cover(covered, width, height)) {
      for (int32_t y = rect.y; y < rect.y + rect.height; ++y) {
        for (int32_t x = rect.x; x < rect.x + rect.width; ++x) ++times[static_cast<size_t>(y) * width + x];
      }
    }
    for (size_t i = 0; i < covered.size(); ++i) ASSERT_EQ(times[i], covered[i] ? 1 : 0);
  }
}

}  // namespace
}  // namespace throng::town
