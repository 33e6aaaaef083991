#include "town/content/map.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <queue>

#include "base/check.h"
#include "base/error.h"

namespace throng::town {
namespace {

using sim::Pos;

constexpr int64_t kMaxSide = 1000;
constexpr size_t kMaxRegions = 500;
constexpr size_t kMaxRects = 100000;
constexpr size_t kMaxSpots = 100;
constexpr int32_t kFar = std::numeric_limits<int32_t>::max();

// Straight directions first: among equals, a walk goes straight.
constexpr std::array<Pos, 8> kDirections = {
    {{0, -1}, {1, 0}, {0, 1}, {-1, 0}, {1, -1}, {1, 1}, {-1, 1}, {-1, -1}}};

Pos operator+(Pos a, Pos b) { return {a.x + b.x, a.y + b.y}; }
Pos operator-(Pos a, Pos b) { return {a.x - b.x, a.y - b.y}; }

std::optional<Pos> ReadPos(const JsonView& value) {
  const std::vector<JsonView> items = value.Items(2, 2);
  if (items.empty()) return std::nullopt;
  return Pos{static_cast<int32_t>(items[0].Int(0, kMaxSide)),
             static_cast<int32_t>(items[1].Int(0, kMaxSide))};
}

std::optional<Rect> ReadRect(const JsonView& value, int32_t width, int32_t height) {
  const std::vector<JsonView> items = value.Items(4, 4);
  if (items.empty()) return std::nullopt;
  int32_t numbers[4];
  for (size_t i = 0; i < 4; ++i) numbers[i] = static_cast<int32_t>(items[i].Int(i < 2 ? 0 : 1, kMaxSide));
  const Rect rect = {numbers[0], numbers[1], numbers[2], numbers[3]};
  if (rect.x + rect.width <= width && rect.y + rect.height <= height) return rect;
  value.Fail(fmt::format("[x, y, width, height] inside the map of {} x {}", width, height));
  return std::nullopt;
}

bool IsSolid(Tile tile) {
  return tile == Tile::kWall || tile == Tile::kFurniture || tile == Tile::kWater || tile == Tile::kTree;
}

bool OnEdge(const Rect& rect, Pos pos) {
  return rect.Contains(pos) && (pos.x == rect.x || pos.y == rect.y || pos.x == rect.x + rect.width - 1 ||
                                pos.y == rect.y + rect.height - 1);
}

template <typename Visit>
void ForEachTile(const Rect& rect, Visit visit) {
  for (int32_t y = rect.y; y < rect.y + rect.height; ++y) {
    for (int32_t x = rect.x; x < rect.x + rect.width; ++x) visit(Pos{x, y});
  }
}

Json PosJson(Pos pos) { return Json::array({pos.x, pos.y}); }

}  // namespace

Rect Region::Around() const {
  Rect around = rects[0];
  for (const Rect& rect : rects) {
    const int32_t right = std::max(around.x + around.width, rect.x + rect.width);
    const int32_t bottom = std::max(around.y + around.height, rect.y + rect.height);
    around.x = std::min(around.x, rect.x);
    around.y = std::min(around.y, rect.y);
    around.width = right - around.x;
    around.height = bottom - around.y;
  }
  return around;
}

Map::Map(const JsonView& file)
    : width_(static_cast<int32_t>(file.At("width").Int(8, kMaxSide))),
      height_(static_cast<int32_t>(file.At("height").Int(8, kMaxSide))),
      tiles_(static_cast<size_t>(width_) * height_, Tile::kGrass),
      region_at_(tiles_.size(), kNoRegion) {
  const bool has_size = file.GetProblems().Empty();
  file.OnlyKeys({"width", "height", "roads", "water", "trees", "walls", "places", "homes"});
  if (!has_size) return;  // nothing else can be judged
  PaintRects(file, "roads", Tile::kRoad);
  PaintRects(file, "water", Tile::kWater);
  PaintRects(file, "trees", Tile::kTree);
  PaintRects(file, "walls", Tile::kWall);
  for (const JsonView& entry : file.At("places").Items(1, kMaxRegions)) AddRegion(entry, false);
  for (const JsonView& entry : file.At("homes").Items(1, kMaxRegions)) AddRegion(entry, true);
  if (!file.GetProblems().Empty()) return;
  moves_.resize(tiles_.size());
  ForEachTile({0, 0, width_, height_}, [&](Pos from) {
    for (size_t direction = 0; direction < kDirections.size(); ++direction)
      moves_[Index(from)][direction] = MoveCost(from, direction);
  });
  fields_ = std::make_unique<Field[]>(num_spots_);
  CheckReachable(file);
}

void Map::PaintRects(const JsonView& file, const char* key, Tile tile) {
  const std::optional<JsonView> list = file.Find(key);
  if (!list) return;
  for (const JsonView& entry : list->Items(0, kMaxRects)) {
    const std::optional<Rect> rect = ReadRect(entry, width_, height_);
    if (rect) ForEachTile(*rect, [&](Pos pos) { tiles_[Index(pos)] = tile; });
  }
}

// Walls around, floor inside.
void Map::PaintGround(const JsonView& value, const Rect& rect, const Region& region, int16_t index) {
  ForEachTile(rect, [&](Pos pos) {
    const int other = RegionAt(pos);
    if (other != kNoRegion) {
      const std::string& name = other == index ? region.name : regions_[other].name;
      value.Fail(fmt::format("a rectangle that does not lie over {}", name));
      return;
    }
    region_at_[Index(pos)] = index;
    Tile& tile = tiles_[Index(pos)];
    if (region.walls && OnEdge(rect, pos)) {
      tile = Tile::kWall;
    } else if (tile != Tile::kWall && (region.walls || tile != Tile::kWater)) {  // a pond may lie in a park
      tile = Tile::kFloor;
    }
  });
}

void Map::ReadGround(const JsonView& entry, Region& region, int16_t index) {
  const std::optional<JsonView> several = entry.Find("rects");
  std::vector<JsonView> values;
  if (several) {
    values = several->Items(1, kMaxRects);
    if (region.walls)
      several->Note(
          "a place of several rectangles has \"walls\": false, and its walls in \"walls\" of the map");
    if (entry.Find("rect")) several->Note("found \"rect\" and \"rects\", allowed: one of them");
  } else {
    values.push_back(entry.At("rect"));
  }
  for (const JsonView& value : values) {
    const std::optional<Rect> rect = ReadRect(value, width_, height_);
    if (!rect) continue;
    if (region.walls && (rect->width < 3 || rect->height < 3)) {
      value.Fail("at least 3 x 3 tiles for a place with walls");
      continue;
    }
    PaintGround(value, *rect, region, index);
    region.rects.push_back(*rect);
  }
}

void Map::PaintDoors(const JsonView& doors, Region& region) {
  for (const JsonView& door : doors.Items(0, 16)) {
    const std::optional<Pos> pos = ReadPos(door);
    if (!pos) continue;
    if (!region.walls || !OnEdge(region.rects[0], *pos)) {
      door.Fail("an [x, y] in the wall of this place");
      continue;
    }
    tiles_[Index(*pos)] = Tile::kDoor;
    region.doors.push_back(*pos);
  }
}

void Map::PaintFurniture(const JsonView& furniture, int16_t index) {
  for (const JsonView& piece : furniture.Items(0, 100)) {
    const std::optional<Rect> rect = ReadRect(piece, width_, height_);
    if (!rect) continue;
    ForEachTile(*rect, [&](Pos pos) {
      if (RegionAt(pos) == index) {
        tiles_[Index(pos)] = Tile::kFurniture;
      } else {
        piece.Fail("a rectangle inside this place");
      }
    });
  }
}

void Map::ReadSpots(const JsonView& spots, Region& region, int16_t index) const {
  for (const JsonView& spot : spots.Items(1, kMaxSpots)) {
    const std::optional<Pos> pos = ReadPos(spot);
    if (!pos) continue;
    if (!Contains(*pos) || RegionAt(*pos) != index || TileAt(*pos) != Tile::kFloor) {
      spot.Fail("an [x, y] on the floor of this place");
      continue;
    }
    region.spots.push_back(*pos);
  }
}

void Map::AddRegion(const JsonView& entry, bool is_home) {
  entry.OnlyKeys({"name", "rect", "rects", "walls", "indoors", "doors", "furniture", "spots"});
  Region region;
  region.is_home = is_home;
  region.name = entry.At("name").Text(1, kMaxNameBytes);
  if (FindRegion(region.name) != kNoRegion) entry.At("name").Fail("a name that no other place or home has");
  region.walls = entry.At("walls").Bool();
  region.indoors = region.walls;
  if (const std::optional<JsonView> indoors = entry.Find("indoors")) region.indoors = indoors->Bool();
  const auto index = static_cast<int16_t>(regions_.size());
  ReadGround(entry, region, index);
  if (!region.rects.empty()) {  // else what lies in it cannot be judged
    if (const std::optional<JsonView> furniture = entry.Find("furniture")) PaintFurniture(*furniture, index);
    if (const std::optional<JsonView> doors = entry.Find("doors")) PaintDoors(*doors, region);
    ReadSpots(entry.At("spots"), region, index);
  }
  region.first_spot = num_spots_;
  num_spots_ += region.spots.size();
  regions_.push_back(std::move(region));
}

// Walks work in both directions, so one search finds everything connected.
void Map::CheckReachable(const JsonView& file) const {
  const std::vector<int32_t> cost = CostsTo(regions_[0].spots[0]);
  std::vector<JsonView> entries = file.At("places").Items(1, kMaxRegions);
  for (const JsonView& home : file.At("homes").Items(1, kMaxRegions)) entries.push_back(home);
  for (size_t i = 0; i < regions_.size(); ++i) {
    const Region& region = regions_[i];
    const std::vector<JsonView> spots = entries[i].At("spots").Items(1, kMaxSpots);
    for (size_t k = 0; k < spots.size(); ++k) {
      const Pos spot = region.spots[k];
      if (cost[Index(spot)] != kFar) continue;
      spots[k].Note(
          fmt::format("nobody can walk from the spot [{}, {}] of {} to {}, allowed: a way through doors",
                      spot.x, spot.y, region.name, regions_[0].name));
      break;  // the other spots are in the same room
    }
  }
}

int Map::FindRegion(const std::string& name) const {
  for (size_t i = 0; i < regions_.size(); ++i) {
    if (regions_[i].name == name) return static_cast<int>(i);
  }
  return kNoRegion;
}

bool Map::Walkable(Pos pos) const { return Contains(pos) && !IsSolid(TileAt(pos)); }

int Map::SightAt(Pos pos) const {
  const int region = RegionAt(pos);
  return region != kNoRegion && regions_[region].indoors ? region : kNoRegion;
}

// 10 per straight and 14 per diagonal tile (about the root of two); half as much again for stepping on grass.
uint8_t Map::MoveCost(Pos from, size_t direction) const {
  const Pos step = kDirections[direction];
  const Pos to = from + step;
  if (!Walkable(to)) return kNoMove;
  const bool diagonal = step.x != 0 && step.y != 0;
  if (diagonal && (!Walkable({to.x, from.y}) || !Walkable({from.x, to.y}))) return kNoMove;
  const int cost = diagonal ? 14 : 10;
  return static_cast<uint8_t>(TileAt(to) == Tile::kGrass ? cost + cost / 2 : cost);
}

// Dijkstra from the target backwards.
std::vector<int32_t> Map::CostsTo(Pos target) const {
  std::vector<int32_t> cost(tiles_.size(), kFar);
  using Entry = std::pair<int32_t, size_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  cost[Index(target)] = 0;
  queue.emplace(0, Index(target));
  while (!queue.empty()) {
    const auto [known, index] = queue.top();
    queue.pop();
    if (known > cost[index]) continue;
    const Pos to = {static_cast<int32_t>(index % width_), static_cast<int32_t>(index / width_)};
    for (size_t direction = 0; direction < kDirections.size(); ++direction) {
      const Pos from = to - kDirections[direction];
      if (!Walkable(from)) continue;
      const uint8_t move = moves_[Index(from)][direction];
      if (move == kNoMove || known + move >= cost[Index(from)]) continue;
      cost[Index(from)] = known + move;
      queue.emplace(known + move, Index(from));
    }
  }
  return cost;
}

const std::vector<int32_t>& Map::FieldOf(int region, size_t spot) const {
  THRONG_DCHECK(spot < regions_[region].spots.size());
  Field& field = fields_[regions_[region].first_spot + spot];
  std::call_once(field.once, [&] { field.cost = CostsTo(regions_[region].spots[spot]); });
  return field.cost;
}

Pos Map::NextTile(Pos from, int region, size_t spot) const {
  const std::vector<int32_t>& cost = FieldOf(region, spot);
  if (cost[Index(from)] == 0) return from;
  Pos best = from;
  int64_t best_cost = std::numeric_limits<int64_t>::max();
  for (size_t direction = 0; direction < kDirections.size(); ++direction) {
    const uint8_t move = moves_[Index(from)][direction];
    if (move == kNoMove) continue;
    const Pos to = from + kDirections[direction];
    const int64_t total = int64_t{move} + cost[Index(to)];
    if (total >= best_cost) continue;
    best = to;
    best_cost = total;
  }
  return best;
}

int Map::WalkLength(Pos from, int region, size_t spot) const {
  int length = 0;
  for (Pos pos = from; pos != regions_[region].spots[spot]; ++length) pos = NextTile(pos, region, spot);
  return length;
}

Json Map::ToJson() const {
  constexpr char kLetters[] = ".=,+#o~T";
  Json json = {{"width", width_}, {"height", height_}, {"places", Json::array()}, {"homes", Json::array()}};
  for (const Region& region : regions_) {
    Json doors = Json::array();
    for (const Pos door : region.doors) doors.push_back(PosJson(door));
    const Rect around = region.Around();
    json[region.is_home ? "homes" : "places"].push_back({{"name", region.name},
                                                         {"x", around.x},
                                                         {"y", around.y},
                                                         {"width", around.width},
                                                         {"height", around.height},
                                                         {"walls", region.walls},
                                                         {"doors", doors}});
  }
  Json rows = Json::array();
  for (int32_t y = 0; y < height_; ++y) {
    std::string row;
    for (int32_t x = 0; x < width_; ++x) row += kLetters[static_cast<size_t>(TileAt({x, y}))];
    rows.push_back(row);
  }
  json["rows"] = rows;
  return json;
}

}  // namespace throng::town
