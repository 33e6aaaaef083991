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
