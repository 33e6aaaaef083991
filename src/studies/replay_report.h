// Prints the modes that `throng replay` ran.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "trace/replayer.h"

namespace throng::studies {

void PrintReplay(const std::vector<trace::ReplayRow>& rows);
// One of the rows, compared with the others.
nlohmann::ordered_json ReplayJson(const trace::ReplayRow& row, const std::vector<trace::ReplayRow>& rows);

}  // namespace throng::studies
