// Shows the results of `throng eval`: tables, JSON, plots.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "eval/divergence.h"
#include "eval/key_errors.h"
#include "eval/recall.h"

namespace throng::studies {

enum class EvalKind { kKl, kPpl, kRecall };

// Both take the reference first, as eval/ returns the rows. In JSON it is `reference`, and the codecs are
// `results`.
nlohmann::json EvalJson(std::span<const eval::CodecDivergence> rows, const std::string& softmax);
nlohmann::json EvalJson(std::span<const eval::CodecRecall> rows, const std::string& softmax);
nlohmann::json EvalJson(std::span<const eval::KeyErrors> rows);
void PrintDivergence(std::span<const eval::CodecDivergence> rows, EvalKind kind);
void PrintRecall(std::span<const eval::CodecRecall> rows);
void PrintKeyErrors(std::span<const eval::KeyErrors> rows);

// Plot quality over bits per element. Throw kIo.
void PlotDivergence(std::span<const eval::CodecDivergence> rows, EvalKind kind, const std::string& path);
void PlotRecall(std::span<const eval::CodecRecall> rows, const std::string& path);

}  // namespace throng::studies
