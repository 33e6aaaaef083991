// Shapes of objects in Tiled, on maps and in its Tile Collision Editor.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/space/space.h"
#include "town/content/json_file.h"

namespace throng::town {

struct TiledPoint {
  double x;
  double y;
};

// A rectangle, an ellipse or a capsule in one, or a polygon.
struct TiledShape {
  double x = 0;  // pixels
  double y = 0;
  double width = 0;
  double height = 0;
  double rotation = 0;  // degrees, clockwise around x, y
  bool is_ellipse = false;
  bool is_capsule = false;               // the longer sides are straight, the ends half circles
  std::vector<TiledPoint> corners = {};  // of a polygon, from x, y
};

// What is missing is 0, as in Tiled. A tile that is an object stands on x, y, its lower left corner.
TiledShape ShapeOf(const JsonView& object);

// Where a layer is drawn, from the layers around it.
TiledPoint OffsetOf(const JsonView& layer);

// The corners of the shape as it is turned; many of an ellipse.
std::vector<TiledPoint> OutlineOf(const TiledShape& shape);

// The tiles of a map, row by row, whose middles are within an outline, which is in tiles.
std::vector<sim::Pos> TilesWithin(const std::vector<TiledPoint>& outline, int32_t width, int32_t height);

// Whether the box around a shape covers at least half of its tile of width x height pixels.
bool CoversHalf(const TiledShape& shape, double width, double height);

}  // namespace throng::town
