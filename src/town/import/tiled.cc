#include "town/import/tiled.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/text/trim.h"
#include "town/import/tiled_layers.h"
#include "town/import/tiled_shapes.h"
#include "town/import/tiled_templates.h"
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
    ReadLayers(map, {});
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
      for (const uint32_t id : SolidTilesIn(tileset, folder_)) solid_tiles_.insert(first + id);
    }
  }

  // Of a tileset in the map, or in a file that is named from `folder`.
  std::set<uint32_t> SolidTilesIn(const JsonView& tileset, const fs::path& folder) {
    if (!tileset.Find("source")) return SolidTilesOf(tileset);
    const std::string source = TextOf(tileset, "source");
    const std::string path = (folder / source).lexically_normal();
    std::error_code ignored;  // such as of a name that no file can have
    if (fs::exists(path, ignored)) return SolidTilesOfFile(path, tileset.GetProblems());
    report_.Drop("tilesets in files that are not there (their solid tiles are not known)", source);
    return {};
  }

  // What holds for all that is in a layer or group: what it says, and the groups around it.
  struct Surroundings {
    TiledPoint offset = {};  // pixels
    bool is_solid = false;
  };

  static Surroundings WithinLayer(const JsonView& layer, Surroundings around) {
    const TiledPoint offset = OffsetOf(layer);
    around.offset = {around.offset.x + offset.x, around.offset.y + offset.y};
    around.is_solid = around.is_solid || IsCollisionName(TextOf(layer, "name")) || Collides(layer);
    return around;
  }

  void ReadLayers(const JsonView& parent, const Surroundings& around) {
    for (const JsonView& layer : parent.At("layers").Items(0, 1000)) {
      const std::string type = layer.At("type").Text(0, 100);
      const Surroundings within = WithinLayer(layer, around);
      if (type == "group") {
        ReadLayers(layer, within);
      } else if (type == "tilelayer") {
        ReadTiles(layer, within);
      } else if (type == "objectgroup") {
        for (const JsonView& object : layer.At("objects").Items(0, 100000)) ReadObject(object, within);
      } else if (type == "imagelayer") {
        report_.Drop("layers of images", TextOf(layer, "name"));
      } else {
        layer.At("type").Fail("\"tilelayer\", \"objectgroup\", \"group\" or \"imagelayer\"");
      }
    }
  }

  void ReadTiles(const JsonView& layer, const Surroundings& within) {
    const std::string name = TextOf(layer, "name");
    const std::vector<uint32_t> tiles = TilesOf(layer, area_);
    const double right = within.offset.x / tile_width_;
    const double down = within.offset.y / tile_height_;
    bool used = within.is_solid;
    for (size_t i = 0; i < tiles.size(); ++i) {
      const uint32_t tile = tiles[i] & kTileBits;
      if (tile == 0 || !(within.is_solid || solid_tiles_.contains(tile))) continue;
      used = true;
      AddWall({static_cast<int32_t>(i % area_.width + std::lround(right)),
               static_cast<int32_t>(i / area_.width + std::lround(down))},
              name);
    }
    if (!used) report_.Drop("layers of pictures", name);
    if (used && (right != std::round(right) || down != std::round(down))) {
      report_.Change("offsets of layers, to whole tiles", name);
    }
  }

  void AddWall(sim::Pos pos, const std::string& layer) {
    if (ground_.Contains(pos)) {
      ground_.solid[ground_.Index(pos)] = true;
    } else {
      report_.Drop("solid tiles that an offset moves off the map", layer);
    }
  }

  void ReadObject(const JsonView& object, const Surroundings& within) {
    if (object.Find("template")) {
      ReadInstance(object, within);
    } else {
      ReadObject(object, IsSolidTile(object, solid_tiles_), within);
    }
  }

  // An object that is made of a template in a file of its own.
  void ReadInstance(const JsonView& object, const Surroundings& within) {
    const std::string source = TextOf(object, "template");
    const auto [found, is_new] = templates_.try_emplace(source);
    Template& of_template = found->second;
    if (is_new) of_template = ReadTemplate(source, object.GetProblems());
    if (of_template.object.is_null()) return;
    const Json merged = WithTemplate(object.Raw(), of_template.object);
    const JsonView view(&merged, (folder_ / source).lexically_normal(), object.GetProblems());
    ReadObject(view, IsSolidTile(view, of_template.solid_tiles), within);
  }

  struct Template {
    Json object;  // null: it is not there, or no template
    std::set<uint32_t> solid_tiles;
  };

  Template ReadTemplate(const std::string& source, Problems& problems) {
    const fs::path path = (folder_ / source).lexically_normal();
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
      report_.Drop("objects of templates in files that are not there", source);
      return {};
    }
    std::optional<TiledTemplate> read = ReadTiledTemplate(path, problems);
    if (!read) return {};
    Template result = {.object = std::move(read->object), .solid_tiles = {}};
    if (read->tileset.is_null()) return result;
    const JsonView tileset(&read->tileset, path, problems);
    const auto first = static_cast<uint32_t>(tileset.At("firstgid").Int(1, kTileBits));
    for (const uint32_t id : SolidTilesIn(tileset, path.parent_path())) result.solid_tiles.insert(first + id);
    return result;
  }

  void ReadObject(const JsonView& object, bool is_solid_tile, const Surroundings& within) {
    const std::string name = TextOf(object, "name");
    // Tiled 1.9 wrote "class", all others write "type".
    const std::string type = Lower(TextOf(object, object.Find("class") ? "class" : "type"));
    const std::vector<TiledPoint> outline = OutlineOnGround(object, within.offset);
    if (type == "spot") {
      spots_.push_back({MiddleOf(outline), name});
      return;
    }
    for (const char* shape : {"point", "polyline", "text"}) {
      if (!object.Find(shape)) continue;
      report_.Drop(fmt::format("objects of the shape {}", shape), name);
      return;
    }
    if (within.is_solid || Collides(object) || is_solid_tile) {
      for (const sim::Pos tile : TilesWithin(outline, ground_.width, ground_.height)) AddWall(tile, name);
      return;
    }
    if (name.empty() || (!type.empty() && type != "place" && type != "home")) {
      report_.Drop(name.empty() ? "objects without a name" : "objects of the class " + type, name);
      return;
    }
    AddRegion(object, outline, name, type == "home");
  }

  static bool IsSolidTile(const JsonView& object, const std::set<uint32_t>& solid_tiles) {
    const std::optional<JsonView> tile = object.Find("gid");
    return tile && solid_tiles.contains(static_cast<uint32_t>(tile->Int(0, 0xFFFFFFFF)) & kTileBits);
  }

  // In tiles of the ground.
  std::vector<TiledPoint> OutlineOnGround(const JsonView& object, const TiledPoint& offset) const {
    std::vector<TiledPoint> outline = OutlineOf(ShapeOf(object));
    for (TiledPoint& point : outline) {
      point = {(point.x + offset.x) / tile_width_ - area_.x, (point.y + offset.y) / tile_height_ - area_.y};
    }
    return outline;
  }

  static sim::Pos MiddleOf(const std::vector<TiledPoint>& outline) {
    TiledPoint sum = {};
    for (const TiledPoint& point : outline) sum = {sum.x + point.x, sum.y + point.y};
    const auto tile = [&](double at) {
      return static_cast<int32_t>(
          std::floor(std::clamp(at / static_cast<double>(outline.size()), -1e6, 1e6)));
    };
    return {tile(sum.x), tile(sum.y)};
  }

  // A tile belongs to the object that covers its middle.
  void AddRegion(const JsonView& object, const std::vector<TiledPoint>& outline, const std::string& name,
                 bool is_home) {
    DraftRegion region;
    region.name = name;
    region.is_home = is_home;
    region.indoors = is_home;
    if (const std::optional<JsonView> indoors = Property(object, "indoors")) region.indoors = indoors->Bool();
    if (const std::optional<JsonView> list = Property(object, "activities")) {
      AddActivities(list->Text(0, 10000), region);
    }
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
  std::map<std::string, Template> templates_;  // by the name that the map has for it
  std::vector<bool> owner_;                    // [height * width]: whether an object covers the tile
  std::vector<Spot> spots_;
};

}  // namespace

const char* const kTiledParts =
    "  Orthogonal maps; layers in CSV or in base64, also with zlib, gzip or zstd. An infinite map is the\n"
    "  box around its chunks. A layer or group named collision, collisions, walls or blocked, or with the\n"
    "  property collides: all its tiles and objects are wall; in others, objects with this property, and\n"
    "  tiles to which their tileset, in the map or in a file of its own (.tsj, .tsx), gives it, or a\n"
    "  collision shape whose bounding box covers at least half of the tile.\n"
    "  Objects with an area of the class place (or none) and home: places, with the properties activities\n"
    "  (\"a; b\") and indoors. Objects of the class spot: where people stand. Templates\n"
    "  (.tj, .tx) are read. Left out: pictures, points, lines, texts.\n";

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
