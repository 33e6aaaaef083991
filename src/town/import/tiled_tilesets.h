// Which tiles of a Tiled map are solid: those to which their tileset, in the map or in a file of its own
// (.tsj, .tsx), gives the property "collides", or a collision shape whose box covers at least half of the
// tile. The forms: doc.mapeditor.org, "JSON Map Format" and "TMX Map Format".
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "town/content/json_file.h"

namespace throng::town {

// Whether a layer or tile has one of the properties collides, collision or solid.
bool Collides(const JsonView& element);

// The value of one of an element's own properties.
std::optional<JsonView> Property(const JsonView& element, std::string_view name);

// The solid tiles of a tileset by their number in it.
std::set<uint32_t> SolidTilesOf(const JsonView& tileset);

// The same of a file. What is wrong with it is noted.
std::set<uint32_t> SolidTilesOfFile(const std::string& path, Problems& problems);

}  // namespace throng::town
