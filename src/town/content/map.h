// The ground of the town: walls, streets, places and homes with the spots where people stand, and shortest
// walks to each spot. Walks move one tile per step to any of the eight neighbours; a diagonal move never cuts
// the corner of something solid.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sim/space/space.h"
#include "town/content/json_file.h"

namespace throng::town {

enum class Tile : uint8_t { kGrass, kRoad, kFloor, kDoor, kWall, kFurniture, kWater, kTree };

inline constexpr size_t kMaxNameBytes = 64;  // of a place, a home or a person

struct Rect {
  int32_t x, y, width, height;
  bool Contains(sim::Pos pos) const {
    return pos.x >= x && pos.y >= y && pos.x < x + width && pos.y < y + height;
  }
};

struct Region {
  std::string name;  // name of a place or a home
  bool is_home = false;
  bool walls = false;       // its edge is wall
  bool indoors = false;     // those inside and those outside do not see each other
  std::vector<Rect> rects;  // do not overlap
  std::vector<sim::Pos> doors;
  std::vector<sim::Pos> spots;
  size_t first_spot = 0;  // index of spots[0] among the spots of all regions

  Rect Around() const;  // the smallest that holds all of rects
};

class Map {
 public:
  static constexpr int kNoRegion = -1;

  // What is wrong goes to the problems of the file, of which there must be none before: rectangles outside
  // the map or overlapping, spots that are solid, regions that nobody can walk to. Then only FindRegion and
  // Regions may be used.
  explicit Map(const JsonView& file);

  int32_t Width() const { return width_; }
  int32_t Height() const { return height_; }
  const std::vector<Region>& Regions() const { return regions_; }
  // kNoRegion if no region has this name.
  int FindRegion(const std::string& name) const;

  Tile TileAt(sim::Pos pos) const { return tiles_[Index(pos)]; }
  bool Walkable(sim::Pos pos) const;
  int RegionAt(sim::Pos pos) const { return region_at_[Index(pos)]; }
  // Whether two people on these tiles can see each other: walls of houses block sight.
  bool InSight(sim::Pos a, sim::Pos b) const { return SightAt(a) == SightAt(b); }

  // The next tile on the way to a spot; `from` itself when there. Streets are quicker than grass, and ties go
  // to the first direction in a fixed order, so a walk is a function of its ends.
  sim::Pos NextTile(sim::Pos from, int region, size_t spot) const;
  // Number of tiles from `from` to the spot along NextTile.
  int WalkLength(sim::Pos from, int region, size_t spot) const;

  // See Town::MapJson.
  Json ToJson() const;

 private:
  // Cost of the cheapest walk from every tile to one spot; computed on first use.
  struct Field {
    std::once_flag once;
    std::vector<int32_t> cost;
  };

  size_t Index(sim::Pos pos) const { return static_cast<size_t>(pos.y) * width_ + pos.x; }
  bool Contains(sim::Pos pos) const { return pos.x >= 0 && pos.y >= 0 && pos.x < width_ && pos.y < height_; }
  int SightAt(sim::Pos pos) const;
  static constexpr uint8_t kNoMove = 0;
  uint8_t MoveCost(sim::Pos from, size_t direction) const;  // kNoMove: not allowed
  void PaintRects(const JsonView& file, const char* key, Tile tile);
  void PaintGround(const JsonView& value, const Rect& rect, const Region& region, int16_t index);
  void ReadGround(const JsonView& entry, Region& region, int16_t index);
  void ReadSpots(const JsonView& spots, Region& region, int16_t index) const;
  void PaintDoors(const JsonView& doors, Region& region);
  void PaintFurniture(const JsonView& furniture, int16_t index);
  void AddRegion(const JsonView& entry, bool is_home);
  void CheckReachable(const JsonView& file) const;
  std::vector<int32_t> CostsTo(sim::Pos target) const;
  const std::vector<int32_t>& FieldOf(int region, size_t spot) const;

  int32_t width_;
  int32_t height_;
  std::vector<Tile> tiles_;                    // [height * width]
  std::vector<int16_t> region_at_;             // [height * width]
  std::vector<std::array<uint8_t, 8>> moves_;  // [height * width][direction], as MoveCost
  std::vector<Region> regions_;
  size_t num_spots_ = 0;
  std::unique_ptr<Field[]> fields_;  // [num_spots_]
};

}  // namespace throng::town
