#include "town/content/map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"

namespace throng::town {
namespace {

using sim::Pos;
using testing::HasSubstr;

Map BuiltIn() {
  const std::string path = std::string(THRONG_SOURCE_DIR) + "/town/map.json";
  Problems problems;
  const std::optional<Json> json = ReadJson(path, problems);
  return Map(JsonView(&*json, path, problems));
}

Map Parse(const std::string& text) {
  Problems problems;
  const std::optional<Json> json = ParseJson("map.json", text, problems);
  problems.ThrowFirst();
  Map map(JsonView(&*json, "map.json", problems));
  problems.ThrowFirst();
  return map;
}

std::string ErrorOf(const std::string& text) {
  try {
    Parse(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// A house with one door on the right, and an open place to the left of it.
constexpr const char* kSmall = R"({"width": 20, "height": 10,
  "places": [{"name": "green", "rect": [0, 3, 3, 3], "walls": false, "spots": [[1, 4]]}],
  "homes": [{"name": "house", "rect": [6, 2, 6, 5], "walls": true, "doors": [[11, 4]], "spots": [[7, 4]]}]})";

TEST(Map, WalksGoAroundWallsAndThroughDoors) {
  const Map map = Parse(kSmall);
  const int house = map.FindRegion("house");
  // Along y = 1 or 7 around the right end of the house, in through (11, 4), and back to (7, 4).
  std::vector<Pos> walk = {{1, 4}};
  while (walk.back() != Pos{7, 4}) walk.push_back(map.NextTile(walk.back(), house, 0));
  EXPECT_THAT(walk, testing::Contains(Pos{11, 4}));
  EXPECT_EQ(map.WalkLength({1, 4}, house, 0), static_cast<int>(walk.size()) - 1);
  EXPECT_EQ(map.WalkLength({1, 4}, house, 0), 19);
  EXPECT_EQ(map.NextTile({7, 4}, house, 0), (Pos{7, 4}));
}

TEST(Map, EveryStepIsToAFreeNeighbourAndCutsNoCorner) {
  const Map map = BuiltIn();
  for (size_t from = 0; from < map.Regions().size(); from += 3) {
    for (size_t to = 0; to < map.Regions().size(); ++to) {
      const Region& target = map.Regions()[to];
      const size_t spot = target.spots.size() - 1;
      Pos pos = map.Regions()[from].spots[0];
      while (pos != target.spots[spot]) {
        const Pos next = map.NextTile(pos, static_cast<int>(to), spot);
        ASSERT_NE(next, pos);
        ASSERT_TRUE(map.Walkable(next));
        ASSERT_LE(std::max(std::abs(next.x - pos.x), std::abs(next.y - pos.y)), 1);
        ASSERT_TRUE(map.Walkable({pos.x, next.y}) && map.Walkable({next.x, pos.y}));
        pos = next;
      }
    }
  }
}

TEST(Map, EveryPlaceIsNearEnoughToEveryHome) {
  const Map map = BuiltIn();
  int homes = 0;
  for (const Region& home : map.Regions()) {
    if (!home.is_home) continue;
    ++homes;
    for (size_t i = 0; i < map.Regions().size(); ++i) {
      if (map.Regions()[i].is_home) continue;
      const int length = map.WalkLength(home.spots[0], static_cast<int>(i), 0);
      EXPECT_GT(length, 5) << home.name;
      EXPECT_LT(length, 200) << home.name << " to " << map.Regions()[i].name;
    }
  }
  EXPECT_EQ(homes, 17);
}

TEST(Map, WallsHideAndOpenPlacesDoNot) {
  const Map map = Parse(kSmall);
  EXPECT_TRUE(map.InSight({1, 4}, {4, 4}));
  EXPECT_FALSE(map.InSight({5, 4}, {7, 4}));
  EXPECT_TRUE(map.InSight({7, 4}, {10, 4}));
}

TEST(Map, JsonShowsEveryTile) {
  const Json json = Parse(kSmall).ToJson();
  EXPECT_EQ(json["rows"].size(), 10u);
  EXPECT_EQ(json["rows"][4].get<std::string>(), ",,,...#,,,,+........");
  EXPECT_EQ(json["homes"][0]["name"], "house");
}

TEST(Map, RefusesWhatDoesNotFitInOneSentence) {
  struct Case {
    const char* from;
    const char* to;
    const char* message;
  };
  const Case cases[] = {
      {"\"width\": 20", "\"width\": 4", "map.json: width: found 4, allowed: a whole number from 8"},
      {"\"width\": 20", "\"widht\": 20", "map.json: width: this key is missing"},
      {"\"height\": 10", "\"height\": 10, \"lakes\": []",
       "map.json: found the key \"lakes\", allowed: width"},
      {"[0, 3, 3, 3]", "[0, 8, 3, 3]",
       "places[0].rect: found [0,8,3,3], allowed: [x, y, width, height] inside"},
      {"[0, 3, 3, 3]", "[5, 3, 3, 3]", "spots[0]: found [1,4], allowed: an [x, y] on the floor"},
      {"[6, 2, 6, 5]", "[2, 2, 10, 5]",
       "homes[0].rect: found [2,2,10,5], allowed: a rectangle that does not lie"},
      {"[6, 2, 6, 5]", "[6, 2, 6, 2]", "allowed: at least 3 x 3 tiles for a place with walls"},
      {"\"house\"", "\"green\"", "homes[0].name: found \"green\", allowed: a name that no other"},
      {"[[11, 4]]", "[[10, 4]]", "doors[0]: found [10,4], allowed: an [x, y] in the wall"},
      {"[[11, 4]]", "[]", "nobody can walk from the spot [7, 4] of house to green"},
      {"[[7, 4]]", "[[6, 4]]", "spots[0]: found [6,4], allowed: an [x, y] on the floor"},
      {"[[7, 4]]", "[]", "spots: found [], allowed: a list of 1 to 100 values"},
      {"\"walls\": true", "\"walls\": 1", "walls: found 1, allowed: true or false"},
      {"\"spots\": [[7, 4]]", "\"furniture\": [[7, 4, 9, 1]], \"spots\": [[7, 4]]",
       "allowed: a rectangle inside this"},
      {"\"spots\": [[7, 4]]", "\"furniture\": [[7, 4, 1, 1]], \"spots\": [[7, 4]]",
       "on the floor of this place"},
      {"\"homes\"", "homes", "map.json:3: this is not JSON from here on"},
  };
  for (const Case& c : cases) {
    std::string text = kSmall;
    text.replace(text.find(c.from), std::string(c.from).size(), c.to);
    EXPECT_THAT(ErrorOf(text), HasSubstr(c.message)) << c.to;
  }
}

}  // namespace
}  // namespace throng::town
