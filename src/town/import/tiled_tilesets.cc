#include "town/import/tiled_tilesets.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <pugixml.hpp>
#include <sstream>
#include <vector>

namespace throng::town {
namespace {

constexpr const char* kNames[] = {"collides", "collision", "solid"};
constexpr uint32_t kMostTiles = 0x0FFFFFFF;

bool IsSolidName(std::string_view name) {
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

struct Size {
  double width;
  double height;
};

// The box around a collision shape, in pixels of its tile.
class Box {
 public:
  Box(double x, double y, double width, double height)
      : x_(x), y_(y), left_(x), top_(y), right_(x + width), bottom_(y + height) {}

  // A corner, from where the shape is.
  void Add(double x, double y) {
    left_ = std::min(left_, x_ + x);
    top_ = std::min(top_, y_ + y);
    right_ = std::max(right_, x_ + x);
    bottom_ = std::max(bottom_, y_ + y);
  }

  bool CoversHalfOf(const Size& tile) const {
    const double width = std::min(right_, tile.width) - std::max(left_, 0.0);
    const double height = std::min(bottom_, tile.height) - std::max(top_, 0.0);
    return width > 0 && height > 0 && 2 * width * height >= tile.width * tile.height;
  }

 private:
  double x_, y_;
  double left_, top_, right_, bottom_;
};

// A shape of Tiled's Tile Collision Editor.
Box BoxOf(const JsonView& shape) {
  const auto number = [](const JsonView& object, const char* key) {
    const std::optional<JsonView> value = object.Find(key);
    return value ? value->Number(-1e9, 1e9) : 0;
  };
  Box box(number(shape, "x"), number(shape, "y"), number(shape, "width"), number(shape, "height"));
  for (const char* kind : {"polygon", "polyline"}) {
    const std::optional<JsonView> corners = shape.Find(kind);
    if (!corners) continue;
    for (const JsonView& corner : corners->Items(0, 10000)) box.Add(number(corner, "x"), number(corner, "y"));
  }
  return box;
}

Box BoxOf(const pugi::xml_node& shape) {
  const auto number = [&](const char* name) { return shape.attribute(name).as_double(); };
  Box box(number("x"), number("y"), number("width"), number("height"));
  for (const char* kind : {"polygon", "polyline"}) {
    std::istringstream corners(shape.child(kind).attribute("points").value());  // "0,0 16,0 16,9.5"
    double x = 0;
    double y = 0;
    for (char comma = 0; corners >> x >> comma >> y;) box.Add(x, y);
  }
  return box;
}

bool IsSolid(const JsonView& tile, const JsonView& tileset) {
  if (Collides(tile)) return true;
  const std::optional<JsonView> shapes = tile.Find("objectgroup");
  if (!shapes) return false;
  const Size size = {tileset.At("tilewidth").Number(1, 4096), tileset.At("tileheight").Number(1, 4096)};
  const std::vector<JsonView> objects = shapes->At("objects").Items(0, 10000);
  return std::any_of(objects.begin(), objects.end(),
                     [&](const JsonView& shape) { return BoxOf(shape).CoversHalfOf(size); });
}

bool IsSolid(const pugi::xml_node& tile, const pugi::xml_node& tileset) {
  for (const pugi::xml_node& property : tile.child("properties").children("property")) {
    if (IsSolidName(property.attribute("name").value()) &&
        property.attribute("value").value() == std::string_view("true"))
      return true;
  }
  const Size size = {tileset.attribute("tilewidth").as_double(1),
                     tileset.attribute("tileheight").as_double(1)};
  const auto shapes = tile.child("objectgroup").children("object");
  return std::any_of(shapes.begin(), shapes.end(),
                     [&](const pugi::xml_node& shape) { return BoxOf(shape).CoversHalfOf(size); });
}

// Whether the text is a tileset, whose solid tiles go to `solid`.
bool ReadXmlTileset(const std::string& text, std::set<uint32_t>& solid) {
  pugi::xml_document document;
  if (!document.load_buffer(text.data(), text.size())) return false;
  const pugi::xml_node tileset = document.child("tileset");
  for (const pugi::xml_node& tile : tileset.children("tile")) {
    const std::string_view id = tile.attribute("id").value();
    uint32_t number = 0;
    const auto read = std::from_chars(id.data(), id.data() + id.size(), number);
    if (read.ec != std::errc() || number > kMostTiles) return false;
    if (IsSolid(tile, tileset)) solid.insert(number);
  }
  return !tileset.empty();
}

}  // namespace

std::optional<JsonView> Property(const JsonView& element, std::string_view name) {
  const std::optional<JsonView> list = element.Find("properties");
  if (!list) return std::nullopt;
  for (const JsonView& property : list->Items(0, 1000)) {
    if (property.At("name").Text(0, 1000) == name) return property.At("value");
  }
  return std::nullopt;
}

bool Collides(const JsonView& element) {
  return std::any_of(std::begin(kNames), std::end(kNames), [&](const char* name) {
    const std::optional<JsonView> value = Property(element, name);
    return value && value->Bool();
  });
}

std::set<uint32_t> SolidTilesOf(const JsonView& tileset) {
  std::set<uint32_t> solid;
  const std::optional<JsonView> tiles = tileset.Find("tiles");
  if (!tiles) return solid;
  for (const JsonView& tile : tiles->Items(0, 100000)) {
    const auto id = static_cast<uint32_t>(tile.At("id").Int(0, kMostTiles));
    if (IsSolid(tile, tileset)) solid.insert(id);
  }
  return solid;
}

std::set<uint32_t> SolidTilesOfFile(const std::string& path, Problems& problems) {
  std::set<uint32_t> solid;
  if (std::filesystem::path(path).extension() != ".tsx") {
    const std::optional<Json> json = ReadJson(path, problems);
    return json ? SolidTilesOf(JsonView(&*json, path, problems)) : solid;
  }
  const std::optional<std::string> text = ReadText(path, problems);
  if (text && !ReadXmlTileset(*text, solid)) {
    problems.Add({path, 0, "", "this is no tileset of Tiled, allowed: its XML (.tsx) or JSON (.tsj)"});
  }
  return solid;
}

}  // namespace throng::town
