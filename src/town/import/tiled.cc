#include "town/import/tiled.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/text/trim.h"
#include "town/import/tiled_layers.h"
#include "town/import/tiled_shapes.h"
#include "town/import/tiled_tilesets.h"

namespace throng::town {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kTileBits = 0x0FFFFFFF;  // the upper ones say how a tile is turned

std::string Lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return text;
}

std::string TextOf(const JsonView& object, const char* key) {
  const std::optional<JsonView> value = object.Find(key);
  return value ? value->Text(0, 1000) : "";
}

bool IsCollisionName(const std::string& name) {
  const std::string lower = Lower(name);
  return lower == "collision" || lower == "collisions" || lower == "walls" || lower == "blocked";
}

// An object that becomes a spot once all places are known.
struct Spot {
  sim::Pos pos;
  std::string name;
};

class TiledMap {
 public:
  // folder: from where files are that the map names.
  TiledMap(const JsonView& map, fs::path folder, ImportReport& report)
      : folder_(std::move(folder)), report_(report) {
    ReadSize(map);
    if (!map.GetProblems().Empty()) return;
    ReadTilesets(map);
    ReadLayers(map);
    PlaceSpots();
  }
  DraftGround Take() { return std::move(ground_); }

 private:
  void ReadSize(const JsonView& map) {
    const std::string orientation = map.At("orientation").Text(0, 100);
    if (orientation != "orthogonal") map.At("orientation").Fail("\"orthogonal\"");
    tile_width_ = static_cast<double>(map.At("tilewidth").Int(1, 4096));
    tile_height_ = static_cast<double>(map.At("tileheight").Int(1, 4096));
    area_ = AreaOf(map);
    if (!map.GetProblems().Empty()) return;
    ground_.width = area_.width;
    ground_.height = area_.height;
    ground_.solid.resize(area_.NumTiles());
    owner_.resize(area_.NumTiles(), false);
  }

  void ReadTilesets(const JsonView& map) {
    const std::optional<JsonView> tilesets = map.Find("tilesets");
    if (!tilesets) return;
    for (const JsonView& tileset : tilesets->Items(0, 1000)) {
      const auto first = static_cast<uint32_t>(tileset.At("firstgid").Int(1, kTileBits));
      for (const uint32_t id : SolidTilesIn(tileset)) solid_tiles_.insert(first + id);
    }
  }

  // Of a tileset in the map, or in a file beside it.
  std::set<uint32_t> SolidTilesIn(const JsonView& tileset) {
    if (!tileset.Find("source")) return SolidTilesOf(tileset);
    const std::string source = TextOf(tileset, "source");
    const std::string path = (folder_ / source).lexically_normal();
    std::error_code ignored;  // such as of a name that no file can have
    if (fs::exists(path, ignored)) return SolidTilesOfFile(path, tileset.GetProblems());
    report_.Drop("tilesets in files that are not there (their solid tiles are not known)", source);
    return {};
  }

  void ReadLayers(const JsonView& parent) {
    for (const JsonView& layer : parent.At("layers").Items(0, 1000)) {
      const std::string type = layer.At("type").Text(0, 100);
      if (type == "group") {
        ReadLayers(layer);
      } else if (type == "tilelayer") {
        ReadTiles(layer);
      } else if (type == "objectgroup") {
        for (const JsonView& object : layer.At("objects").Items(0, 100000)) ReadObject(object);
      } else if (type == "imagelayer") {
        report_.Drop("layers of images", TextOf(layer, "name"));
      } else {
        layer.At("type").Fail("\"tilelayer\", \"objectgroup\", \"group\" or \"imagelayer\"");
      }
    }
  }

  void ReadTiles(const JsonView& layer) {
    const std::string name = TextOf(layer, "name");
    const bool all = IsCollisionName(name) || Collides(layer);
    const std::vector<uint32_t> tiles = TilesOf(layer, area_);
    bool used = all;
    for (size_t i = 0; i < tiles.size(); ++i) {
      const uint32_t tile = tiles[i] & kTileBits;
      const bool solid = tile != 0 && (all || solid_tiles_.contains(tile));
      used = used || solid;
      if (solid) ground_.solid[i] = true;
    }
    if (!used) report_.Drop("layers of pictures", name);
  }

  void ReadObject(const JsonView& object) {
    const std::string name = TextOf(object, "name");
    // Tiled 1.9 wrote "class", all others write "type".
    const std::string type = Lower(TextOf(object, object.Find("class") ? "class" : "type"));
    if (type == "spot") {
      const TiledShape shape = ShapeOf(object);
      spots_.push_back({TileAt({shape.x, shape.y}), name});
      return;
    }
    for (const char* shape : {"point", "polyline", "capsule", "text", "template", "gid"}) {
      if (!object.Find(shape)) continue;
      report_.Drop(fmt::format("objects of the shape {}", shape), name);
      return;
    }
    if (name.empty() || (!type.empty() && type != "place" && type != "home")) {
      report_.Drop(name.empty() ? "objects without a name" : "objects of the class " + type, name);
      return;
    }
    AddRegion(object, name, type == "home");
  }

  // From pixels to tiles of the ground.
  TiledPoint OnGround(const TiledPoint& point) const {
    return {point.x / tile_width_ - area_.x, point.y / tile_height_ - area_.y};
  }
  sim::Pos TileAt(const TiledPoint& point) const {
    const auto tile = [](double at) { return static_cast<int32_t>(std::floor(std::clamp(at, -1e6, 1e6))); };
    const TiledPoint at = OnGround(point);
    return {tile(at.x), tile(at.y)};
  }

  void AddRegion(const JsonView& object, const std::string& name, bool is_home) {
    DraftRegion region;
    region.name = name;
    region.is_home = is_home;
    region.indoors = is_home;
    if (const std::optional<JsonView> indoors = Property(object, "indoors")) region.indoors = indoors->Bool();
    if (const std::optional<JsonView> list = Property(object, "activities")) {
      AddActivities(list->Text(0, 10000), region);
    }
    // A tile belongs to the object that covers its middle.
    std::vector<TiledPoint> outline = OutlineOf(ShapeOf(object));
    for (TiledPoint& point : outline) point = OnGround(point);
    for (const sim::Pos tile : TilesWithin(outline, ground_.width, ground_.height)) AddTile(tile, region);
    ground_.regions.push_back(std::move(region));
  }

  void AddTile(sim::Pos pos, DraftRegion& region) {
    const size_t tile = ground_.Index(pos);
    if (owner_[tile]) report_.Drop("tiles that an earlier object covers", region.name);
    if (!owner_[tile]) region.tiles.push_back(pos);
    owner_[tile] = true;
  }

  static void AddActivities(const std::string& list, DraftRegion& region) {
    for (size_t begin = 0; begin <= list.size();) {
      const size_t end = std::min(list.find(';', begin), list.size());
      region.activities.emplace_back(Trimmed(std::string_view(list).substr(begin, end - begin)));
      begin = end + 1;
    }
  }

  void PlaceSpots() {
    for (const Spot& spot : spots_) {
      const auto found =
          std::find_if(ground_.regions.begin(), ground_.regions.end(), [&](const DraftRegion& region) {
            return std::find(region.tiles.begin(), region.tiles.end(), spot.pos) != region.tiles.end();
          });
      if (found == ground_.regions.end()) {
        report_.Drop("spots outside of all places", spot.name);
      } else if (std::find(found->spots.begin(), found->spots.end(), spot.pos) == found->spots.end()) {
        found->spots.push_back(spot.pos);
      }
    }
  }

  const fs::path folder_;
  ImportReport& report_;
  DraftGround ground_;
  TiledArea area_;
  double tile_width_ = 1;
  double tile_height_ = 1;
  std::set<uint32_t> solid_tiles_;
  std::vector<bool> owner_;  // [height * width]: whether an object covers the tile
  std::vector<Spot> spots_;
};

}  // namespace

const char* const kTiledParts =
    "  Orthogonal maps; layers in CSV or in base64, also with zlib, gzip or zstd. An infinite map is the\n"
    "  box around its chunks. A layer named collision, collisions, walls or blocked, or with the property\n"
    "  collides: all its tiles are wall; in other layers, those whose tileset, in the map or in a file of\n"
    "  its own (.tsj, .tsx), gives them this property, or a collision shape whose bounding box covers at\n"
    "  least half of the tile.\n"
    "  Rectangles, ellipses and polygons of the class place (or none) and home: places, with the properties\n"
    "  activities (\"a; b\") and indoors. Objects of the class spot: where people stand. Left out:\n"
    "  pictures, other shapes.\n";

bool IsTiled(const Json& json) {
  return json.is_object() && json.contains("layers") && json.contains("tilewidth");
}

DraftGround ReadTiled(const Json& json, const std::string& path, ImportReport& report) {
  Problems problems;
  TiledMap map(JsonView(&json, path, problems), fs::path(path).parent_path(), report);
  problems.ThrowFirst();
  report.form = "Tiled";
  DraftGround ground = map.Take();
  if (ground.regions.empty()) {
    throw MakeError(ErrorCode::kInvalid,
                    "{}: found no places, allowed: rectangles or polygons in a layer of objects, at least "
                    "one of the class "
                    "place (or none) and one of the class home",
                    path);
  }
  return ground;
}

}  // namespace throng::town
