#include "town/import/tiled_shapes.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

namespace throng::town {
namespace {

constexpr int kRoundCorners = 64;
constexpr size_t kMaxCorners = 10000;
constexpr double kFarthest = 1e9;  // pixels

double NumberOf(const JsonView& object, const char* key) {
  const std::optional<JsonView> value = object.Find(key);
  return value ? value->Number(-kFarthest, kFarthest) : 0;
}

bool IsSet(const JsonView& object, const char* key) {
  const std::optional<JsonView> value = object.Find(key);
  return value && value->Bool();
}

// Of an ellipse, whose ends are its halves, or of a capsule.
std::vector<TiledPoint> RoundCorners(const TiledShape& shape) {
  const double across = shape.width / 2;
  const double down = shape.height / 2;
  const double radius = std::min(across, down);
  const TiledPoint end = shape.is_capsule ? TiledPoint{radius, radius} : TiledPoint{across, down};
  std::vector<TiledPoint> corners;
  for (int i = 0; i < kRoundCorners; ++i) {
    const double angle = 2 * std::numbers::pi * (i + 0.5) / kRoundCorners;
    const double x = std::cos(angle);
    const double y = std::sin(angle);
    corners.push_back({across + std::copysign(across - end.x, x) + end.x * x,
                       down + std::copysign(down - end.y, y) + end.y * y});
  }
  return corners;
}

// Before it is turned, from the shape's x, y.
std::vector<TiledPoint> CornersOf(const TiledShape& shape) {
  if (!shape.corners.empty()) return shape.corners;
  if (shape.is_ellipse || shape.is_capsule) return RoundCorners(shape);
  return {{0, 0}, {shape.width, 0}, {shape.width, shape.height}, {0, shape.height}};
}

// The first tile, from 0 to `end`, whose middle is not before `at`.
int32_t FirstTile(double at, int32_t end) {
  return static_cast<int32_t>(std::clamp(std::ceil(at - 0.5), 0.0, static_cast<double>(end)));
}

// Where a line through the middles of a row crosses the outline, from left to right.
std::vector<double> Crossings(const std::vector<TiledPoint>& outline, double y) {
  std::vector<double> crossings;
  for (size_t i = 0; i < outline.size(); ++i) {
    const TiledPoint& a = outline[i];
    const TiledPoint& b = outline[(i + 1) % outline.size()];
    if ((a.y <= y) != (b.y <= y)) crossings.push_back(a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x));
  }
  std::sort(crossings.begin(), crossings.end());
  return crossings;
}

}  // namespace

TiledShape ShapeOf(const JsonView& object) {
  TiledShape shape = {.x = NumberOf(object, "x"),
                      .y = NumberOf(object, "y"),
                      .width = NumberOf(object, "width"),
                      .height = NumberOf(object, "height"),
                      .rotation = NumberOf(object, "rotation"),
                      .is_ellipse = IsSet(object, "ellipse"),
                      .is_capsule = IsSet(object, "capsule")};
  if (object.Find("gid")) {
    shape.corners = {{0, -shape.height}, {shape.width, -shape.height}, {shape.width, 0}, {0, 0}};
  }
  for (const char* kind : {"polygon", "polyline"}) {
    const std::optional<JsonView> corners = object.Find(kind);
    if (!corners) continue;
    for (const JsonView& corner : corners->Items(0, kMaxCorners)) {
      shape.corners.push_back({NumberOf(corner, "x"), NumberOf(corner, "y")});
    }
  }
  return shape;
}

TiledPoint OffsetOf(const JsonView& layer) {
  return {.x = NumberOf(layer, "offsetx"), .y = NumberOf(layer, "offsety")};
}

std::vector<TiledPoint> OutlineOf(const TiledShape& shape) {
  const double angle = shape.rotation * std::numbers::pi / 180;
  const double cosine = std::cos(angle);
  const double sine = std::sin(angle);
  std::vector<TiledPoint> outline = CornersOf(shape);
  for (TiledPoint& point : outline) {
    point = {shape.x + point.x * cosine - point.y * sine, shape.y + point.x * sine + point.y * cosine};
  }
  return outline;
}

std::vector<sim::Pos> TilesWithin(const std::vector<TiledPoint>& outline, int32_t width, int32_t height) {
  std::vector<sim::Pos> tiles;
  if (outline.empty()) return tiles;
  const auto [top, bottom] = std::minmax_element(
      outline.begin(), outline.end(), [](const TiledPoint& a, const TiledPoint& b) { return a.y < b.y; });
  for (int32_t y = FirstTile(top->y, height); y < FirstTile(bottom->y, height); ++y) {
    const std::vector<double> crossings = Crossings(outline, y + 0.5);
    for (size_t i = 0; i + 1 < crossings.size(); i += 2) {  // inside between each two
      const int32_t end = FirstTile(crossings[i + 1], width);
      for (int32_t x = FirstTile(crossings[i], width); x < end; ++x) tiles.push_back({x, y});
    }
  }
  return tiles;
}

bool CoversHalf(const TiledShape& shape, double width, double height) {
  const std::vector<TiledPoint> outline = OutlineOf(shape);
  const auto [left, right] = std::minmax_element(
      outline.begin(), outline.end(), [](const TiledPoint& a, const TiledPoint& b) { return a.x < b.x; });
  const auto [top, bottom] = std::minmax_element(
      outline.begin(), outline.end(), [](const TiledPoint& a, const TiledPoint& b) { return a.y < b.y; });
  const double across = std::min(right->x, width) - std::max(left->x, 0.0);
  const double down = std::min(bottom->y, height) - std::max(top->y, 0.0);
  return across > 0 && down > 0 && 2 * across * down >= width * height;
}

}  // namespace throng::town
