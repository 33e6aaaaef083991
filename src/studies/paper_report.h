// Prints the results of `throng paper`.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "studies/paper_metropolis.h"

namespace throng::studies {

// Prints Markdown that can go into a document as it is.
void PrintPaper(const std::vector<PaperRow>& rows);
nlohmann::ordered_json PaperJson(const std::vector<PaperRow>& rows);

}  // namespace throng::studies
