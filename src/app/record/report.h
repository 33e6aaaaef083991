// Reports on a run: a progress line, and a summary or JSON at the end.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/run.h"
#include "app/scenario.h"
#include "app/simulation.h"
#include "journal/journal.h"
#include "llm/backends/server_stats.h"
#include "llm/llm.h"
#include "sim/run/run.h"

namespace throng::app {

// A run that has ended well, with everything it ran on.
struct FinishedRun {
  const Simulation& simulation;
  const Scenario& scenario;
  const sim::RunOptions& options;
  const RunOutcome& outcome;
  const llm::Llm& backend;
  const journal::Journal* journal;  // null: no journal
};

// Lines for people, each ending in a newline.
std::string Summary(const FinishedRun& run);
// Fields for programs, in a fixed order.
nlohmann::ordered_json ReportJson(const FinishedRun& run);

// What guesses were worth, for reports; adds nothing for modes without guesses.
void AddSpeculation(const sim::RunStats& stats, nlohmann::ordered_json& json);
std::string DescribeSpeculation(const sim::RunStats& stats);

// What servers over the network did, for reports: one object each under "servers", and a line each if there
// are several.
void AddServers(const std::vector<llm::ServerStats>& servers, nlohmann::ordered_json& json);
std::vector<std::string> DescribeServers(const std::vector<llm::ServerStats>& servers);

// Time of day, steps, agents ahead, requests in flight, tokens per second, bytes of the cache. `backend`
// gives the cache size.
std::string DescribeProgress(const sim::Progress& progress, const Scenario& scenario, sim::Step steps,
                             const llm::Stats& backend);

}  // namespace throng::app
