// What is said of a run: a line while it goes on, and a summary or JSON in the end.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "app/run.h"
#include "app/scenario.h"
#include "app/simulation.h"
#include "journal/journal.h"
#include "llm/llm.h"
#include "sim/run/run.h"

namespace throng::app {

// A run that has ended well, and what it was of.
struct FinishedRun {
  const Simulation& simulation;
  const Scenario& scenario;
  const sim::RunOptions& options;
  const RunOutcome& outcome;
  const llm::Llm& backend;
  const journal::Journal* journal;  // null: there is none
};

// Lines for people, the last one ended.
std::string Summary(const FinishedRun& run);
// Fields for programs, in a fixed order.
nlohmann::ordered_json ReportJson(const FinishedRun& run);

// What guesses were worth, for reports: nothing is added for modes without.
void AddSpeculation(const sim::RunStats& stats, nlohmann::ordered_json& json);
std::string DescribeSpeculation(const sim::RunStats& stats);

// Time of day, steps, agents ahead, requests in flight, tokens per second, bytes of the cache. `backend` says
// how large the cache is.
std::string DescribeProgress(const sim::Progress& progress, const Scenario& scenario, sim::Step steps,
                             const llm::Stats& backend);

}  // namespace throng::app
