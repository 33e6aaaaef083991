#include "town/import/ground.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <utility>

#include "base/error.h"

namespace throng::town {
namespace {

using sim::Pos;

constexpr size_t kChosenSpots = 12;
constexpr size_t kMaxSpots = 100;

// The number of each tile's part of the ground, -1 where it is solid. Walks go as in map.h: to eight
// neighbours, but not across the corner of something solid.
std::vector<int> Parts(const DraftGround& ground, int& num_parts) {
  std::vector<int> parts(ground.solid.size(), -1);
  const auto free = [&](Pos pos) { return ground.Contains(pos) && !ground.solid[ground.Index(pos)]; };
  num_parts = 0;
  std::vector<Pos> stack;
  for (int32_t y = 0; y < ground.height; ++y) {
    for (int32_t x = 0; x < ground.width; ++x) {
      if (!free({x, y}) || parts[ground.Index({x, y})] >= 0) continue;
      parts[ground.Index({x, y})] = num_parts;
      stack.push_back({x, y});
      while (!stack.empty()) {
        const Pos from = stack.back();
        stack.pop_back();
        for (int step = 0; step < 9; ++step) {
          const Pos to = {from.x + step % 3 - 1, from.y + step / 3 - 1};
          if (!free(to) || !free({to.x, from.y}) || !free({from.x, to.y})) continue;
          if (parts[ground.Index(to)] >= 0) continue;
          parts[ground.Index(to)] = num_parts;
          stack.push_back(to);
        }
      }
      ++num_parts;
    }
  }
  return parts;
}

// The part of the ground that holds most tiles of regions.
int MainPart(const DraftGround& ground, const std::vector<int>& parts, int num_parts) {
  std::vector<size_t> tiles(static_cast<size_t>(std::max(num_parts, 1)));
  for (const DraftRegion& region : ground.regions) {
    for (const Pos pos : region.tiles) {
      const int part = parts[ground.Index(pos)];
      if (part >= 0) ++tiles[static_cast<size_t>(part)];
    }
  }
  return static_cast<int>(std::max_element(tiles.begin(), tiles.end()) - tiles.begin());
}

int64_t SquaredDistance(Pos a, Pos b) {
  const int64_t x = a.x - b.x;
  const int64_t y = a.y - b.y;
  return x * x + y * y;
}

// The tile nearest to the middle, then always the one furthest from those chosen.
std::vector<Pos> ChooseSpots(const std::vector<Pos>& tiles) {
  Pos sum = {0, 0};
  for (const Pos tile : tiles) sum = {sum.x + tile.x, sum.y + tile.y};
  const auto count = static_cast<int32_t>(tiles.size());
  const Pos middle = {sum.x / count, sum.y / count};
  std::vector<Pos> spots = {*std::min_element(tiles.begin(), tiles.end(), [&](Pos a, Pos b) {
    return SquaredDistance(a, middle) < SquaredDistance(b, middle);
  })};
  std::vector<int64_t> distance(tiles.size(), std::numeric_limits<int64_t>::max());
  while (spots.size() < std::min(kChosenSpots, tiles.size())) {
    for (size_t i = 0; i < tiles.size(); ++i) {
      distance[i] = std::min(distance[i], SquaredDistance(tiles[i], spots.back()));
    }
    spots.push_back(
        tiles[static_cast<size_t>(std::max_element(distance.begin(), distance.end()) - distance.begin())]);
  }
  return spots;
}

Json RectsJson(const std::vector<Rect>& rects) {
  Json json = Json::array();
  for (const Rect& rect : rects) json.push_back({rect.x, rect.y, rect.width, rect.height});
  return json;
}

}  // namespace

void MakeReachable(DraftGround& ground, ImportReport& report) {
  int num_parts = 0;
  const std::vector<int> parts = Parts(ground, num_parts);
  const int main_part = MainPart(ground, parts, num_parts);
  const auto is_out = [&](Pos pos) { return parts[ground.Index(pos)] != main_part; };
  for (DraftRegion& region : ground.regions) {
    std::erase_if(region.tiles, is_out);
    const size_t spots = region.spots.size();
    std::erase_if(region.spots, [&](Pos pos) {
      return is_out(pos) || std::find(region.tiles.begin(), region.tiles.end(), pos) == region.tiles.end();
    });
    if (region.spots.size() > kMaxSpots) region.spots.resize(kMaxSpots);
    if (region.spots.size() < spots) report.Drop("spots that nobody can stand on", region.name);
    if (region.tiles.empty()) {
      report.Drop(region.is_home ? "homes that nobody can reach" : "places that nobody can reach",
                  region.name);
    } else if (region.spots.empty()) {
      region.spots = ChooseSpots(region.tiles);
    }
  }
  std::erase_if(ground.regions, [](const DraftRegion& region) { return region.tiles.empty(); });
  for (const bool is_home : {false, true}) {
    const auto of_kind = [&](const DraftRegion& region) { return region.is_home == is_home; };
    if (std::any_of(ground.regions.begin(), ground.regions.end(), of_kind)) continue;
    throw MakeError(ErrorCode::kInvalid, "the map has no {} that can be reached, allowed: at least one",
                    is_home ? "home" : "place");
  }
}

std::vector<Rect> Cover(const std::vector<bool>& covered, int32_t width, int32_t height) {
  std::vector<bool> left = covered;
  std::vector<Rect> rects;
  const auto run_is_left = [&](int32_t x, int32_t y, int32_t length) {
    for (int32_t i = 0; i < length; ++i) {
      if (!left[static_cast<size_t>(y) * width + x + i]) return false;
    }
    return true;
  };
  for (int32_t y = 0; y < height; ++y) {
    for (int32_t x = 0; x < width; ++x) {
      if (!left[static_cast<size_t>(y) * width + x]) continue;
      Rect rect = {x, y, 1, 1};
      while (x + rect.width < width && run_is_left(x + rect.width, y, 1)) ++rect.width;
      while (y + rect.height < height && run_is_left(x, y + rect.height, rect.width)) ++rect.height;
      for (int32_t row = y; row < y + rect.height; ++row) {
        for (int32_t i = 0; i < rect.width; ++i) left[static_cast<size_t>(row) * width + x + i] = false;
      }
      rects.push_back(rect);
    }
  }
  return rects;
}

Json MapFile(const DraftGround& ground) {
  Json map = {{"width", ground.width},
              {"height", ground.height},
              {"walls", RectsJson(Cover(ground.solid, ground.width, ground.height))},
              {"places", Json::array()},
              {"homes", Json::array()}};
  for (const DraftRegion& region : ground.regions) {
    std::vector<bool> tiles(ground.solid.size());
    for (const Pos tile : region.tiles) tiles[ground.Index(tile)] = true;
    Json spots = Json::array();
    for (const Pos spot : region.spots) spots.push_back({spot.x, spot.y});
    map[region.is_home ? "homes" : "places"].push_back(
        {{"name", region.name},
         {"rects", RectsJson(Cover(tiles, ground.width, ground.height))},
         {"walls", false},
         {"indoors", region.indoors},
         {"spots", spots}});
  }
  return map;
}

}  // namespace throng::town
