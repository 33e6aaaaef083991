#include "town/import/tiled.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/text/trim.h"
#include "town/import/tiled_layers.h"

namespace throng::town {
namespace {

constexpr uint32_t kTileBits = 0x0FFFFFFF;  // the upper ones say how a tile is turned

std::string Lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return text;
}

std::string TextOf(const JsonView& object, const char* key) {
  const std::optional<JsonView> value = object.Find(key);
  return value ? value->Text(0, 1000) : "";
}

// The value of one of an element's own properties.
std::optional<JsonView> Property(const JsonView& element, std::string_view name) {
  const std::optional<JsonView> list = element.Find("properties");
  if (!list) return std::nullopt;
  for (const JsonView& property : list->Items(0, 1000)) {
    if (property.At("name").Text(0, 1000) == name) return property.At("value");
  }
  return std::nullopt;
}

bool Collides(const JsonView& element) {
  for (const char* name : {"collides", "collision", "solid"}) {
    const std::optional<JsonView> value = Property(element, name);
    if (value && value->Bool()) return true;
  }
  return false;
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
  TiledMap(const JsonView& map, ImportReport& report) : report_(report) {
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
      if (tileset.Find("source"))
        report_.Drop("tilesets in other files (their solid tiles are not known)", TextOf(tileset, "source"));
      const std::optional<JsonView> tiles = tileset.Find("tiles");
      if (!tiles) continue;
      for (const JsonView& tile : tiles->Items(0, 100000)) {
        const auto id = static_cast<uint32_t>(tile.At("id").Int(0, kTileBits));
        if (Collides(tile)) solid_tiles_.insert(first + id);
      }
    }
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
      spots_.push_back({{ToTile(LeftOf(object)), ToTile(TopOf(object))}, name});
      return;
    }
    for (const char* shape : {"point", "ellipse", "polygon", "polyline", "text", "template", "gid"}) {
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

  // In tiles of the ground.
  double LeftOf(const JsonView& object) const {
    return object.At("x").Number(-1e9, 1e9) / tile_width_ - area_.x;
  }
  double TopOf(const JsonView& object) const {
    return object.At("y").Number(-1e9, 1e9) / tile_height_ - area_.y;
  }
  static int32_t ToTile(double tile) { return static_cast<int32_t>(std::floor(std::clamp(tile, -1e6, 1e6))); }

  void AddRegion(const JsonView& object, const std::string& name, bool is_home) {
    const double x = LeftOf(object);
    const double y = TopOf(object);
    const double right = x + object.At("width").Number(0, 1e9) / tile_width_;
    const double bottom = y + object.At("height").Number(0, 1e9) / tile_height_;
    DraftRegion region;
    region.name = name;
    region.is_home = is_home;
    region.indoors = is_home;
    if (const std::optional<JsonView> indoors = Property(object, "indoors")) region.indoors = indoors->Bool();
    if (const std::optional<JsonView> list = Property(object, "activities")) {
      AddActivities(list->Text(0, 10000), region);
    }
    // A tile belongs to the object that covers its middle.
    for (int32_t row = std::max(0, ToTile(y)); row < std::min<double>(ground_.height, bottom); ++row) {
      for (int32_t column = std::max(0, ToTile(x)); column < std::min<double>(ground_.width, right);
           ++column) {
        const bool covered =
            column + 0.5 >= x && column + 0.5 < right && row + 0.5 >= y && row + 0.5 < bottom;
        if (covered) AddTile({column, row}, region);
      }
    }
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
    "  Orthogonal maps; layers in CSV or in base64, also with zlib or gzip. An infinite map is the box\n"
    "  around its chunks. A layer named collision, collisions, walls or blocked, or with the property\n"
    "  collides: all its tiles are wall; in other layers, those whose tileset gives them this property.\n"
    "  Rectangles of objects, of the class place (or none) and home: their places, with the properties\n"
    "  activities (\"a; b\") and indoors. Objects of the class spot: where people stand. Left out:\n"
    "  pictures, other shapes.\n";

bool IsTiled(const Json& json) {
  return json.is_object() && json.contains("layers") && json.contains("tilewidth");
}

DraftGround ReadTiled(const Json& json, const std::string& path, ImportReport& report) {
  Problems problems;
  TiledMap map(JsonView(&json, path, problems), report);
  problems.ThrowFirst();
  report.form = "Tiled";
  DraftGround ground = map.Take();
  if (ground.regions.empty()) {
    throw MakeError(
        ErrorCode::kInvalid,
        "{}: found no places, allowed: rectangles in a layer of objects, at least one of the class "
        "place (or none) and one of the class home",
        path);
  }
  return ground;
}

}  // namespace throng::town
