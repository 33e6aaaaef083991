#include "town/import/tiled_tilesets.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <pugixml.hpp>
#include <vector>

#include "town/import/tiled_shapes.h"
#include "town/import/tiled_templates.h"

namespace throng::town {
namespace {

constexpr const char* kNames[] = {"collides", "collision", "solid"};
constexpr uint32_t kMostTiles = 0x0FFFFFFF;

bool IsSolidName(std::string_view name) {
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

// A shape of Tiled's Tile Collision Editor in XML. What is no number is 0.
TiledShape ShapeOf(const pugi::xml_node& object) {
  Problems ignored;
  const Json json = TiledObjectOf(object);
  return ShapeOf(JsonView(&json, "", ignored));
}

bool IsSolid(const JsonView& tile, const JsonView& tileset) {
  if (Collides(tile)) return true;
  const std::optional<JsonView> shapes = tile.Find("objectgroup");
  if (!shapes) return false;
  const double width = tileset.At("tilewidth").Number(1, 4096);
  const double height = tileset.At("tileheight").Number(1, 4096);
  const std::vector<JsonView> objects = shapes->At("objects").Items(0, 10000);
  return std::any_of(objects.begin(), objects.end(),
                     [&](const JsonView& object) { return CoversHalf(ShapeOf(object), width, height); });
}

bool IsSolid(const pugi::xml_node& tile, const pugi::xml_node& tileset) {
  for (const pugi::xml_node& property : tile.child("properties").children("property")) {
    if (IsSolidName(property.attribute("name").value()) &&
        property.attribute("value").value() == std::string_view("true"))
      return true;
  }
  const double width = tileset.attribute("tilewidth").as_double(1);
  const double height = tileset.attribute("tileheight").as_double(1);
  const auto shapes = tile.child("objectgroup").children("object");
  return std::any_of(shapes.begin(), shapes.end(), [&](const pugi::xml_node& object) {
    return CoversHalf(ShapeOf(object), width, height);
  });
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
