// Templates of Tiled's objects, in files of their own (.tj, .tx), and objects of its XML. The forms:
// doc.mapeditor.org, "JSON Map Format" and "TMX Map Format".
#pragma once

#include <optional>
#include <pugixml.hpp>
#include <string>

#include "town/content/json_file.h"

namespace throng::town {

struct TiledTemplate {
  Json object;   // in the form of the JSON
  Json tileset;  // the same, of its tile; null: it has none
};

// Nothing if the file is no template, which is a problem.
std::optional<TiledTemplate> ReadTiledTemplate(const std::string& path, Problems& problems);

// An object that is made of a template: what it says itself is in place of what the template says.
Json WithTemplate(const Json& object, const Json& of_template);

// An object of the XML in the form of the JSON.
Json TiledObjectOf(const pugi::xml_node& object);

}  // namespace throng::town
