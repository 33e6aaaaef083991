// A map of the Tiled editor in its JSON form (.tmj): orthogonal. How its layers are written is in
// tiled_layers.h.
#pragma once

#include <string>

#include "town/content/json_file.h"
#include "town/import/draft.h"

namespace throng::town {

// What becomes of layers, tiles and objects, in lines for --help.
extern const char* const kTiledParts;

bool IsTiled(const Json& json);

// Throws kInvalid with the place in the file; what Tiled can do and this cannot read is refused by its name.
DraftGround ReadTiled(const Json& json, const std::string& path, ImportReport& report);

}  // namespace throng::town
