#include "cli/replay_interactive.h"

#include "base/error.h"
#include "cli/call_stack.h"
#include "cli/progress_line.h"
#include "trace/replayer.h"

namespace throng::cli {

namespace {

struct Row {
  const char* name;
  sim::RunResult result;
  std::vector<double> latencies;
};

Row Measure(const char* name, Simulation simulation, const Scenario& scenario, double target_ms,
            const std::string& mode) {
  simulation.target_ms = target_ms;
  simulation.mode = mode;
  sim::RunOptions options = MakeRunOptions(simulation, scenario);
  ProgressLine line(/*quiet=*/false);
  options.progress_interval_s = line.IntervalSeconds();
  options.on_progress = [&](const sim::Progress& progress) {
    line.Show(fmt::format("{}: step {} of {}, {} calls", name, progress.base_step, options.steps,
                          progress.stats.calls));
  };
  const CallStack stack = MakeCallStack(simulation, scenario, trace::MakeVirtualBackend(simulation.llm), {});
  Row row{name, sim::RunWorld(*scenario.world, *stack.top, options), {}};
  row.latencies = stack.interactive->Latencies();
  return row;
}

}  // namespace

void ReplayInteractive(const Simulation& simulation) {
  const Scenario scenario = LoadScenario(simulation);
  const Row rows[] = {Measure("without", simulation, scenario, 0, simulation.mode),
                      Measure("with", simulation, scenario, simulation.target_ms, simulation.mode),
                      Measure("alone", simulation, scenario, 0, "single")};
  for (const Row& row : rows) {
    if (row.result.hash == rows[0].result.hash) continue;
    throw MakeError(ErrorCode::kCorrupt, "{}: priority for {} left another state", simulation.trace,
                    simulation.interactive);
  }
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  if (!simulation.json) {
    fmt::print("{}, target {:.0f} ms\n", simulation.interactive, simulation.target_ms);
    fmt::print("{:<9} {:>7} {:>8} {:>8} {:>13}\n", "priority", "calls", "p50 s", "p99 s", "completion s");
  }
  for (const Row& row : rows) {
    const double p50 = llm::Quantile(row.latencies, 0.5);
    const double p99 = llm::Quantile(row.latencies, 0.99);
    const double completion = row.result.stats.backend_s;
    if (!simulation.json) {
      fmt::print("{:<9} {:>7} {:>8.2f} {:>8.2f} {:>13.1f}\n", row.name, row.latencies.size(), p50, p99,
                 completion);
    }
    results.push_back({{"priority", row.name},
                       {"interactive_calls", row.latencies.size()},
                       {"p50_s", p50},
                       {"p99_s", p99},
                       {"completion_s", completion},
                       {"hash", row.result.hash.Hex()}});
  }
  if (simulation.json) {
    const nlohmann::ordered_json json = {
        {"agent", simulation.interactive}, {"target_ms", simulation.target_ms}, {"results", results}};
    fmt::print("{}\n", json.dump(2));
  }
}

}  // namespace throng::cli
