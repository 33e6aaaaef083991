// What `throng paper` prints.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "studies/paper_metropolis.h"

namespace throng::studies {

// In Markdown, so that it can go into a document as it is.
void PrintPaper(const std::vector<PaperRow>& rows);
nlohmann::ordered_json PaperJson(const std::vector<PaperRow>& rows);

}  // namespace throng::studies
