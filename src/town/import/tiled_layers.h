// The numbers of tiles in the layers of a Tiled map: as lists or in base64, compressed or not, whole or, in
// infinite maps, in chunks. What tiles mean is in tiled.h. The form: doc.mapeditor.org, "JSON Map Format".
#pragma once

#include <cstdint>
#include <vector>

#include "town/content/json_file.h"

namespace throng::town {

// In tiles; x and y are those of the top left tile, and not 0 only in infinite maps and their chunks.
struct TiledArea {
  int32_t x = 0;
  int32_t y = 0;
  int32_t width = 0;
  int32_t height = 0;
  bool in_chunks = false;  // an infinite map

  size_t NumTiles() const { return static_cast<size_t>(width) * height; }
};

// Of the whole map; an infinite one has the box around the chunks of all its layers. At most 1000 x 1000
// tiles. To be used only if there are no problems.
TiledArea AreaOf(const JsonView& map);

// [area.height * area.width] of a layer of the type tilelayer: 0 for no tile, else its number with the bits
// that turn it. Empty if there is a problem, which is noted.
std::vector<uint32_t> TilesOf(const JsonView& layer, const TiledArea& area);

}  // namespace throng::town
