// Shows the results of `throng eval ruler`: tables and JSON.
#pragma once

#include <nlohmann/json.hpp>

#include "eval/ruler.h"

namespace throng::studies {

// Accuracy is the share of the words of right answers that were found; its change is that to f32's on the
// same texts, with the 95 % interval of its mean over texts.
nlohmann::json RulerJson(const eval::RulerRun& run);
void PrintRuler(const eval::RulerRun& run);

}  // namespace throng::studies
