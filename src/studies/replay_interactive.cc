#include "studies/replay_interactive.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "app/run.h"
#include "app/run_options.h"
#include "app/scenario.h"
#include "base/error.h"
#include "llm/decorators/interactive.h"
#include "trace/replayer.h"

namespace throng::studies {

namespace {

using OnProgress = std::function<void(const std::string&)>;

struct Row {
  const char* name;
  app::RunOutcome outcome;
};

Row Measure(const char* name, app::Simulation simulation, const app::Scenario& scenario, double target_ms,
            const std::string& mode, const OnProgress& on_progress) {
  simulation.limits.target_ms = target_ms;
  simulation.mode = mode;
  sim::RunOptions options = app::MakeRunOptions(simulation, scenario);
  options.on_progress = [&](const sim::Progress& progress) {
    on_progress(fmt::format("{}: step {} of {}, {} calls", name, progress.base_step, options.steps,
                            progress.stats.calls));
  };
  const std::unique_ptr<llm::Llm> backend = trace::MakeVirtualBackend(simulation.llm);
  return {name, app::Run(*scenario.world, *backend, options, {simulation.limits, nullptr, {}})};
}

}  // namespace

void ReplayInteractive(const app::Simulation& simulation, bool json, const OnProgress& on_progress) {
  const app::Scenario scenario = app::LoadScenario(simulation);
  const double target_ms = simulation.limits.target_ms;
  const std::string& agent = simulation.limits.interactive;
  const Row rows[] = {Measure("without", simulation, scenario, 0, simulation.mode, on_progress),
                      Measure("with", simulation, scenario, target_ms, simulation.mode, on_progress),
                      Measure("alone", simulation, scenario, 0, "single", on_progress)};
  for (const Row& row : rows) {
    if (row.outcome.result.hash == rows[0].outcome.result.hash) continue;
    throw MakeError(ErrorCode::kCorrupt, "{}: priority for {} left another state", simulation.trace, agent);
  }
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  if (!json) {
    fmt::print("{}, target {:.0f} ms\n", agent, target_ms);
    fmt::print("{:<9} {:>7} {:>8} {:>8} {:>13}\n", "priority", "calls", "p50 s", "p99 s", "completion s");
  }
  for (const Row& row : rows) {
    const double p50 = llm::Quantile(row.outcome.interactive_s, 0.5);
    const double p99 = llm::Quantile(row.outcome.interactive_s, 0.99);
    const double completion = row.outcome.result.stats.backend_s;
    if (!json) {
      fmt::print("{:<9} {:>7} {:>8.2f} {:>8.2f} {:>13.1f}\n", row.name, row.outcome.interactive_s.size(), p50,
                 p99, completion);
    }
    results.push_back({{"priority", row.name},
                       {"interactive_calls", row.outcome.interactive_s.size()},
                       {"p50_s", p50},
                       {"p99_s", p99},
                       {"completion_s", completion},
                       {"hash", row.outcome.result.hash.Hex()}});
  }
  if (json) {
    const nlohmann::ordered_json report = {{"agent", agent}, {"target_ms", target_ms}, {"results", results}};
    fmt::print("{}\n", report.dump(2));
  }
}

}  // namespace throng::studies
