#include "town/import/tiled_shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace throng::town {
namespace {

using testing::StartsWith;

// The tiles of a map of 6 x 5 tiles of 10 pixels that a shape covers, as rows of a picture.
std::string Picture(TiledShape shape) {
  std::vector<TiledPoint> outline = OutlineOf(shape);
  for (TiledPoint& point : outline) point = {point.x / 10, point.y / 10};
  std::string picture = "......\n......\n......\n......\n......\n";
  for (const sim::Pos tile : TilesWithin(outline, 6, 5)) {
    char& c = picture[static_cast<size_t>(tile.y) * 7 + tile.x];
    EXPECT_EQ(c, '.');
    c = '#';
  }
  return picture;
}

TEST(TiledShapes, CoverTheTilesWhoseMiddlesTheyHave) {
  EXPECT_EQ(Picture({.x = 10, .y = 10, .width = 30, .height = 20}),
            "......\n.###..\n.###..\n......\n......\n");
  EXPECT_EQ(Picture({.x = 15, .y = 16, .width = 20, .height = 20}),
            "......\n......\n.##...\n.##...\n......\n");
  EXPECT_EQ(Picture({.x = -1e9, .y = -50, .width = 2e9, .height = 75}),
            "######\n######\n......\n......\n......\n");
  EXPECT_EQ(Picture({.width = 50, .height = 50, .is_ellipse = true}),
            ".###..\n#####.\n#####.\n#####.\n.###..\n");
  EXPECT_EQ(Picture({.x = -11, .width = 82, .height = 50, .is_capsule = true}),
            "######\n######\n######\n######\n######\n");
  EXPECT_EQ(Picture({.x = 60, .y = 3, .width = 44, .height = 30, .rotation = 90, .is_capsule = true}),
            "....#.\n...###\n...###\n...###\n....#.\n");
  EXPECT_EQ(Picture({.x = 1, .y = 1, .corners = {{0, 0}, {40, 0}, {0, 40}}}),
            "####..\n###...\n##....\n#.....\n......\n");
  // A room with a corner cut out.
  EXPECT_EQ(Picture({.x = 10, .corners = {{0, 0}, {40, 0}, {40, 20}, {20, 20}, {20, 40}, {0, 40}}}),
            ".####.\n.####.\n.##...\n.##...\n......\n");
  EXPECT_EQ(Picture({.x = 10, .y = 10}), "......\n......\n......\n......\n......\n");
}

// As Tiled does: clockwise, around x, y.
TEST(TiledShapes, AreTurned) {
  EXPECT_EQ(Picture({.x = 40, .y = 10, .width = 30, .height = 20, .rotation = 90}),
            "......\n..##..\n..##..\n..##..\n......\n");
  EXPECT_EQ(Picture({.x = 40, .y = 30, .width = 30, .height = 20, .rotation = -180}),
            "......\n.###..\n.###..\n......\n......\n");
  EXPECT_EQ(Picture({.x = 30, .y = 1, .width = 28, .height = 28, .rotation = 45}),
            "......\n..##..\n.####.\n..##..\n......\n");
}

TEST(TiledShapes, OfObjectsThatAreNoneAreProblems) {
  const auto problem_of = [](const char* text) {
    Problems problems;
    const Json json = Json::parse(text);
    ShapeOf(JsonView(&json, "a.tmj", problems));
    return problems.Empty() ? "none" : problems.All()[0].Sentence();
  };
  EXPECT_EQ(problem_of(R"({"x": 1.5})"), "none");
  EXPECT_THAT(problem_of(R"({"capsule": 1})"), StartsWith("a.tmj: capsule: found 1, allowed: "));
  EXPECT_THAT(problem_of(R"({"x": "left"})"), StartsWith("a.tmj: x: found \"left\", allowed: a number"));
  EXPECT_THAT(problem_of(R"({"width": 1e300})"), StartsWith("a.tmj: width: found 1e+300, allowed: a number"));
  EXPECT_THAT(problem_of(R"({"polygon": [{"x": 0, "y": []}]})"), StartsWith("a.tmj: polygon[0].y: found []"));
  EXPECT_THAT(problem_of(R"({"polygon": 7})"), StartsWith("a.tmj: polygon: found 7, allowed: a list"));
}

}  // namespace
}  // namespace throng::town
