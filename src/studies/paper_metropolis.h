// Measures the results that AI Metropolis (arXiv 2411.03519) reports again, on synthetic days and modelled
// servers, or compares its modes on servers of the user's own.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "trace/trace.h"

namespace throng::studies {

struct PaperRow {
  std::string setting;
  std::string measure;
  std::string unit;             // "x", "%", "s" or ""
  std::optional<double> paper;  // the paper's figure, if it reports one
  std::vector<double> values;   // measured values, one per seed

  double Median() const;
};

struct PaperFlags {
  int seeds = 5;
  std::function<trace::Trace(int agents, int seed)> make_day;  // makes a day of 24 hours
  std::function<void(const std::string&)> on_progress;
  // Servers (llm::IsServerBackend) instead of the modelled ones, with workloads of so many agents and minutes
  // of the busy hour; empty: the paper's settings.
  std::string llm{};
  std::vector<int> agents{};
  int minutes = 60;
};

// Rows in the paper's order. On servers throws what CheckServer and Replayer throw.
std::vector<PaperRow> MeasureMetropolis(const PaperFlags& flags);

}  // namespace throng::studies
