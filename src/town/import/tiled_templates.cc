#include "town/import/tiled_templates.h"

#include <cmath>
#include <filesystem>
#include <sstream>
#include <utility>

namespace throng::town {
namespace {

// "0,0 16,0 16,9.5"
Json PointsOf(const char* text) {
  Json points = Json::array();
  std::istringstream numbers(text);
  double x = 0;
  double y = 0;
  for (char comma = 0; numbers >> x >> comma >> y;) points.push_back({{"x", x}, {"y", y}});
  return points;
}

Json PropertyOf(const pugi::xml_node& property) {
  const std::string value = property.attribute("value") ? property.attribute("value").value()
                                                        : property.text().get();  // of several lines
  const bool is_bool = property.attribute("type").value() == std::string_view("bool");
  return {{"name", property.attribute("name").value()},
          {"value", is_bool ? Json(value == "true") : Json(value)}};
}

std::optional<TiledTemplate> ReadXml(const std::string& text) {
  pugi::xml_document document;
  if (!document.load_buffer(text.data(), text.size())) return std::nullopt;
  const pugi::xml_node root = document.child("template");
  if (root.child("object").empty()) return std::nullopt;
  TiledTemplate result = {.object = TiledObjectOf(root.child("object")), .tileset = nullptr};
  if (const pugi::xml_node tileset = root.child("tileset")) {
    result.tileset = {{"firstgid", tileset.attribute("firstgid").as_uint()},
                      {"source", tileset.attribute("source").value()}};
  }
  return result;
}

std::optional<TiledTemplate> ReadJsonTemplate(const std::string& path, const std::string& text,
                                              Problems& problems) {
  std::optional<Json> json = ParseJson(path, text, problems);
  if (!json || !json->is_object() || !json->contains("object") || !(*json)["object"].is_object()) {
    return std::nullopt;
  }
  return TiledTemplate{.object = std::move((*json)["object"]),
                       .tileset = json->contains("tileset") ? std::move((*json)["tileset"]) : nullptr};
}

}  // namespace

Json TiledObjectOf(const pugi::xml_node& object) {
  Json json = Json::object();
  for (const char* key : {"name", "type", "class"}) {
    if (const pugi::xml_attribute text = object.attribute(key)) json[key] = text.value();
  }
  for (const char* key : {"x", "y", "width", "height", "rotation"}) {
    const double number = object.attribute(key).as_double();
    if (std::isfinite(number)) json[key] = number;
  }
  if (const pugi::xml_attribute tile = object.attribute("gid")) json["gid"] = tile.as_uint();
  for (const char* kind : {"ellipse", "capsule", "point", "text"}) {
    if (object.child(kind)) json[kind] = true;
  }
  for (const char* kind : {"polygon", "polyline"}) {
    if (const pugi::xml_node line = object.child(kind))
      json[kind] = PointsOf(line.attribute("points").value());
  }
  for (const pugi::xml_node& property : object.child("properties").children("property")) {
    json["properties"].push_back(PropertyOf(property));
  }
  return json;
}

Json WithTemplate(const Json& object, const Json& of_template) {
  Json merged = of_template;
  for (const auto& [key, value] : object.items()) merged[key] = value;
  merged.erase("template");
  const auto own = object.find("properties");
  const auto others = of_template.find("properties");
  if (own != object.end() && others != of_template.end() && own->is_array() && others->is_array()) {
    // The first of a name counts.
    merged["properties"].insert(merged["properties"].end(), others->begin(), others->end());
  }
  return merged;
}

std::optional<TiledTemplate> ReadTiledTemplate(const std::string& path, Problems& problems) {
  const std::optional<std::string> text = ReadText(path, problems);
  if (!text) return std::nullopt;
  std::optional<TiledTemplate> result = std::filesystem::path(path).extension() == ".tx"
                                            ? ReadXml(*text)
                                            : ReadJsonTemplate(path, *text, problems);
  if (!result) {
    problems.Add({path, 0, "", "this is no template of Tiled, allowed: its XML (.tx) or JSON (.tj)"});
  }
  return result;
}

}  // namespace throng::town
