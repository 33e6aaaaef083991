// From a draft's tiles to map.json: what can be reached, where people stand, and rectangles.
#pragma once

#include <vector>

#include "town/content/json_file.h"
#include "town/import/draft.h"

namespace throng::town {

// Leaves out tiles and spots that cannot be reached from most others, and regions without any other, and
// chooses spots where there are none. Throws kInvalid if no place or no home is left.
void MakeReachable(DraftGround& ground, ImportReport& report);

// Rectangles that cover exactly the tiles for which `covered` [height * width] is true, without overlap.
std::vector<Rect> Cover(const std::vector<bool>& covered, int32_t width, int32_t height);

// Of a ground after MakeReachable.
Json MapFile(const DraftGround& ground);

}  // namespace throng::town
