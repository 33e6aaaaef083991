#include "town/import/tiled_tilesets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace throng::town {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::string kCollides =
    R"(<properties><property name="collides" type="bool" value="true"/></properties>)";

std::string Tsx(const std::string& tiles) {
  return R"(<?xml version="1.0" encoding="UTF-8"?>
<!-- <tile> --> <tileset name='walls' tilewidth="16">)" +
         kCollides + R"(<image source="a>b.png"/>)" + tiles + "</tileset>\n";
}

class TiledTilesets : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::set<uint32_t> SolidTilesIn(const std::string& file, const std::string& text, Problems& problems) {
    std::filesystem::create_directories(dir_);
    std::ofstream(dir_ / file) << text;
    return SolidTilesOfFile(dir_ / file, problems);
  }

  std::filesystem::path dir_ =
      std::filesystem::temp_directory_path() / fmt::format("throng_tilesets_{}", getpid());
};

TEST_F(TiledTilesets, HaveTheSolidTilesThatTheirFilesSay) {
  Problems problems;
  const auto solid = [&](const std::string& file, const std::string& text) {
    return SolidTilesIn(file, text, problems);
  };
  EXPECT_THAT(solid("a.tsx", Tsx(R"(<tile id="0"/><tile id="7">)" + kCollides + "</tile>")), ElementsAre(7));
  // The tileset has the property, and an object in the tile: not the tile.
  EXPECT_THAT(solid("a.tsx", Tsx(R"(<tile id="1"><objectgroup><object id="1">)" + kCollides +
                                 "</object></objectgroup></tile>")),
              IsEmpty());
  EXPECT_THAT(
      solid("a.tsx",
            Tsx(R"(<tile id="1"><properties><property value="false" name="solid"/></properties></tile>)")),
      IsEmpty());
  const std::string json =
      R"({"tiles": [{"id": 2}, {"id": 3, "properties": [{"name": "solid", "value": true}]}]})";
  EXPECT_THAT(solid("a.tsj", json), ElementsAre(3));
  EXPECT_THAT(solid("a.json", json), ElementsAre(3));
  EXPECT_TRUE(problems.Empty());
}

// Of Tiled's Tile Collision Editor: a tile is solid if the box around one of its shapes covers half of it.
TEST_F(TiledTilesets, HaveCollisionShapes) {
  struct Shape {
    const char* xml;
    const char* json;
    bool is_solid;  // of a tile of 16 x 16 pixels
  };
  const Shape shapes[] = {
      {R"(<object id="1" x="0" y="0" width="16" height="16"/>)",
       R"({"x": 0, "y": 0, "width": 16, "height": 16})", true},
      {R"(<object x="0" y="8" width="16" height="8"/>)", R"({"x": 0, "y": 8, "width": 16, "height": 8})",
       true},
      {R"(<object x="0" y="8.1" width="16" height="8"/>)", R"({"x": 0, "y": 8.1, "width": 16, "height": 8})",
       false},
      {R"(<object x="-20" y="-20" width="20" height="60"/>)",
       R"({"x": -20, "y": -20, "width": 20, "height": 60})", false},
      {R"(<object x="2" y="1" width="12" height="14"><ellipse/></object>)",
       R"({"x": 2, "y": 1, "width": 12, "height": 14, "ellipse": true})", true},
      {R"(<object x="16" y="0"><polygon points="0,0 -16,0.5 -16,15.5"/></object>)",
       R"({"x": 16, "y": 0, "width": 0, "height": 0,
           "polygon": [{"x": 0, "y": 0}, {"x": -16, "y": 0.5}, {"x": -16, "y": 15.5}]})",
       true},
      {R"(<object x="0" y="0"><polyline points="0,0 16,4"/></object>)",
       R"({"x": 0, "y": 0, "polyline": [{"x": 0, "y": 0}, {"x": 16, "y": 4}]})", false},
      {R"(<object x="16" y="0" width="16" height="16" rotation="90"/>)",
       R"({"x": 16, "y": 0, "width": 16, "height": 16, "rotation": 90})", true},
      {R"(<object x="16" y="0" width="16" height="16" rotation="-90"/>)",
       R"({"x": 16, "y": 0, "width": 16, "height": 16, "rotation": -90})", false},
      {R"(<object x="nan" y="inf" width="1e999" height="-nan" rotation="x"/>)", R"({"x": 0, "y": 0})", false},
      {R"(<object x="8" y="8"><point/></object>)", R"({"x": 8, "y": 8, "point": true})", false},
  };
  for (const Shape& shape : shapes) {
    SCOPED_TRACE(shape.xml);
    Problems problems;
    const std::set<uint32_t> expected = shape.is_solid ? std::set<uint32_t>{3} : std::set<uint32_t>{};
    EXPECT_EQ(SolidTilesIn("a.tsx",
                           fmt::format(R"(<tileset tilewidth="16" tileheight="16"><tile id="3">
                                          <objectgroup draworder="index">{}</objectgroup></tile></tileset>)",
                                       shape.xml),
                           problems),
              expected);
    EXPECT_EQ(SolidTilesIn("a.tsj",
                           fmt::format(R"({{"tilewidth": 16, "tileheight": 16,
                                           "tiles": [{{"id": 3, "objectgroup": {{"objects": [{}]}}}}]}})",
                                       shape.json),
                           problems),
              expected);
    EXPECT_TRUE(problems.Empty());
  }
}

// What nests deeply, expands or is cut costs neither the stack nor much time.
TEST_F(TiledTilesets, ThatAreHostileAreRefusedOrRead) {
  std::string deep;
  for (int i = 0; i < 500'000; ++i) deep += "<a>";
  Problems problems;
  EXPECT_THAT(SolidTilesIn("a.tsx", "<tileset>" + deep, problems), IsEmpty());
  EXPECT_EQ(problems.All().size(), 1u);
  std::string closed = deep;
  for (int i = 0; i < 500'000; ++i) closed += "</a>";
  EXPECT_THAT(SolidTilesIn("b.tsx", "<tileset>" + closed + "</tileset>", problems), IsEmpty());
  EXPECT_THAT(
      SolidTilesIn("c.tsx", R"(<!DOCTYPE t [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><tileset name="&b;"/>)",
                   problems),
      IsEmpty());
  EXPECT_EQ(problems.All().size(), 1u);
}

TEST_F(TiledTilesets, ThatAreDamagedAreProblems) {
  const std::string whole = Tsx("<tile id=\"1\"/>");
  for (const std::string& text :
       {std::string(), std::string("{}"), whole.substr(0, whole.size() - 5), Tsx("<tile id=\"x\"/>"),
        Tsx("</tile>"), Tsx("<tile id=1/>"), Tsx("<!--")}) {
    Problems problems;
    SolidTilesIn("a.tsx", text, problems);
    ASSERT_EQ(problems.All().size(), 1u) << text;
    EXPECT_THAT(problems.All()[0].Sentence(),
                testing::HasSubstr("a.tsx: this is no tileset of Tiled, allowed"));
  }
  Problems problems;
  SolidTilesIn("a.tsj", "<tileset/>", problems);
  EXPECT_THAT(problems.All()[0].Sentence(), testing::HasSubstr("a.tsj:1: this is not JSON"));
}

}  // namespace
}  // namespace throng::town
