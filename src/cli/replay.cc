// throng replay: a recorded day under each scheduler, against a model of a server in virtual time.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/manifest.h"
#include "app/report.h"
#include "app/run_options.h"
#include "app/scenario.h"
#include "base/error.h"
#include "cli/commands.h"
#include "cli/flags/run_flags.h"
#include "cli/progress_line.h"
#include "cli/run_and_report.h"
#include "studies/replay_interactive.h"
#include "studies/server_preset.h"
#include "studies/timeline_svg.h"
#include "trace/replayer.h"
#include "trace/trace.h"

namespace throng::cli {
namespace {

struct Options {
  std::string trace;
  std::string mode = "ooo";
  std::string coupling = "paper";
  std::string llm = "latency";
  std::string preset;
  int radius = -1;  // the trace's own
  int steps = 0;
  std::string plot;
  std::string journal;
  std::string plot_window;
  app::Limits limits;  // interactive and target
  bool json = false;
};

const trace::ReplayRow* Find(const std::vector<trace::ReplayRow>& rows, const std::string& mode) {
  for (const trace::ReplayRow& row : rows) {
    if (row.mode == mode) return &row;
  }
  return nullptr;
}

// How much sooner `row` ends than `base`; empty if there is no base to compare with.
std::optional<double> Speedup(const trace::ReplayRow* base, const trace::ReplayRow& row) {
  if (base == nullptr || row.stats.backend_s == 0) return std::nullopt;
  return base->stats.backend_s / row.stats.backend_s;
}

void PrintTable(const std::vector<trace::ReplayRow>& rows) {
  const auto times = [](const std::optional<double>& ratio) {
    return ratio ? fmt::format("{:.2f}x", *ratio) : std::string("-");
  };
  const auto percent = [](const std::optional<double>& ratio) {
    return ratio ? fmt::format("{:.1f} %", *ratio * 100) : std::string("-");
  };
  fmt::print("{:<13} {:>12} {:>9} {:>11} {:>9} {:>9} {:>8} {:>13} {:>13} {:>14} {:>7}\n", "mode",
             "completion s", "vs single", "vs lockstep", "of oracle", "in flight", "calls", "prompt tokens",
             "output tokens", "scheduling us", "wall s");
  for (const trace::ReplayRow& row : rows) {
    const sim::RunStats& stats = row.stats;
    fmt::print("{:<13} {:>12.1f} {:>9} {:>11} {:>9} {:>9.2f} {:>8} {:>13} {:>13} {:>14.2f} {:>7.2f}\n",
               row.mode, stats.backend_s, times(Speedup(Find(rows, "single"), row)),
               times(Speedup(Find(rows, "lockstep"), row)), percent(Speedup(Find(rows, trace::kOracle), row)),
               stats.parallelism, stats.calls, stats.prompt_tokens, stats.output_tokens,
               row.SchedulerMicros(stats.agent_steps), stats.wall_s);
  }
  for (const trace::ReplayRow& row : rows) {
    if (row.stats.speculated_steps > 0) fmt::print("{}: {}\n", row.mode, app::DescribeSpeculation(row.stats));
  }
  if (const trace::ReplayRow* critical = Find(rows, trace::kCritical)) {
    fmt::print(
        "The path of most tokens has {:.0f} of them, prompts and answers. Scheduling: wall time outside "
        "the backend, for each step of an agent.\n",
        critical->critical_tokens);
  }
}

nlohmann::ordered_json RowJson(const trace::ReplayRow& row, const std::vector<trace::ReplayRow>& rows) {
  const sim::RunStats& stats = row.stats;
  nlohmann::ordered_json json = {{"mode", row.mode},
                                 {"completion_s", stats.backend_s},
                                 {"parallelism", stats.parallelism},
                                 {"llm_calls", stats.calls},
                                 {"prompt_tokens", stats.prompt_tokens},
                                 {"output_tokens", stats.output_tokens},
                                 {"agent_steps", stats.agent_steps},
                                 {"wall_s", stats.wall_s},
                                 {"scheduler_s", row.scheduler_s},
                                 {"scheduler_us_per_agent_step", row.SchedulerMicros(stats.agent_steps)}};
  if (stats.calls > 0) json["scheduler_us_per_call"] = row.SchedulerMicros(stats.calls);
  if (row.hash) {
    json["clusters"] = stats.clusters;
    json["max_spread"] = stats.max_spread;
    app::AddSpeculation(stats, json);
    json["hash"] = row.hash->Hex();
  }
  if (row.mode == trace::kCritical) json["critical_tokens"] = row.critical_tokens;
  const auto add = [&](const char* key, const std::optional<double>& ratio) {
    if (ratio) json[key] = *ratio;
  };
  add("speedup_vs_single", Speedup(Find(rows, "single"), row));
  add("speedup_vs_lockstep", Speedup(Find(rows, "lockstep"), row));
  add("share_of_oracle", Speedup(Find(rows, trace::kOracle), row));
  return json;
}

// What a mode is worth shows against the others: those that are slower, and named before it, run too.
std::vector<std::string> ModesToRun(const std::string& mode) {
  std::vector<std::string> modes = trace::ReplayModes();
  if (mode == "all") return modes;
  const auto found = std::find(modes.begin(), modes.end(), mode);
  if (found == modes.end()) {
    throw MakeError(ErrorCode::kInvalid, "--mode {}: allowed: {} all", mode, fmt::join(modes, " "));
  }
  modes.erase(std::next(found), modes.end());
  return modes;
}

app::Simulation SimulationOf(const Options& options) {
  app::Simulation simulation;
  simulation.limits = options.limits;
  simulation.trace = options.trace;
  simulation.radius = options.radius;
  simulation.steps = options.steps;
  simulation.seed = 0;
  simulation.mode = options.mode;
  simulation.coupling = options.coupling;
  simulation.llm = options.llm;
  return simulation;
}

// One mode alone, so that what is there when it is killed belongs to one run.
void RunJournaled(const Options& options) {
  const app::Simulation simulation = SimulationOf(options);
  const std::unique_ptr<llm::Llm> llm = trace::MakeVirtualBackend(options.llm);
  const app::Scenario scenario = app::LoadScenario(simulation);
  const sim::RunOptions run = app::MakeRunOptions(simulation, scenario);
  if (run.steps > scenario.default_steps) {
    throw MakeError(ErrorCode::kInvalid, "--steps {}: {} has {}", options.steps, options.trace,
                    scenario.default_steps);
  }
  const std::unique_ptr<journal::Journal> journal = journal::Journal::Create(options.journal);
  journal->Begin(app::ManifestOf(simulation, scenario, *llm), *scenario.world, run, llm->Identity());
  RunAndReport(simulation, {options.json, /*quiet=*/false}, scenario, run, *llm, journal.get());
}

void Run(const Options& options) {
  if (!options.journal.empty()) {
    RunJournaled(options);
    return;
  }
  if (!options.limits.interactive.empty()) {
    ProgressLine line(/*quiet=*/false);
    studies::ReplayInteractive(SimulationOf(options), options.json,
                               [&](const std::string& text) { line.ShowRarely(text); });
    return;
  }
  const studies::TimeWindow window =
      options.plot_window.empty() ? studies::TimeWindow() : studies::TimeWindow::Parse(options.plot_window);
  const std::vector<std::string> modes = ModesToRun(options.mode);
  trace::MakeVirtualBackend(options.llm);  // refuses a wrong one before the trace is read
  trace::Replayer replayer(trace::LoadTrace(options.trace), options.radius, options.steps);
  std::ofstream plot;
  if (!options.plot.empty()) plot.open(options.plot);
  if (!plot) throw MakeError(ErrorCode::kIo, "--plot {}: cannot open to write", options.plot);
  ProgressLine line(/*quiet=*/false);
  std::vector<trace::ReplayRow> rows;
  for (const std::string& mode : modes) {
    trace::Replayer::RunFlags flags;
    flags.llm = options.llm;
    flags.coupling = sim::ParseCoupling(options.coupling);
    flags.keep_spans = !options.plot.empty();
    flags.progress_interval_s = line.IntervalSeconds();
    flags.on_progress = [&](const sim::Progress& progress) {
      line.Show(fmt::format("{}: step {} of {}, {} calls", mode, progress.base_step, replayer.NumSteps(),
                            progress.stats.calls));
    };
    rows.push_back(replayer.Run(mode, flags));
  }
  line.Clear();
  if (plot.is_open()) {
    std::vector<std::string> agents;
    for (const trace::TraceAgent& agent : replayer.GetTrace().agents) agents.push_back(agent.name);
    plot << studies::TimelineSvg(rows, window, agents);
    plot.close();
    if (!plot) throw MakeError(ErrorCode::kIo, "--plot {}: cannot write", options.plot);
  }
  if (!options.json) {
    PrintTable(rows);
  } else if (options.mode == "all") {
    nlohmann::ordered_json results = nlohmann::ordered_json::array();
    for (const trace::ReplayRow& row : rows) results.push_back(RowJson(row, rows));
    fmt::print("{}\n", nlohmann::ordered_json{{"results", results}}.dump(2));
  } else {
    fmt::print("{}\n", RowJson(rows.back(), rows).dump(2));
  }
}

}  // namespace

void AddReplay(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "replay", "Run a recorded day again, to see what a scheduler is worth on a modelled server");
  const auto options = std::make_shared<Options>();
  command->add_option("trace", options->trace, "JSON lines, plain or gzipped (docs/replay.md)")->required();
  command
      ->add_option("--mode", options->mode,
                   "single, lockstep, ooo, speculative, oracle, critical, no-dependency, or all; those named "
                   "before a mode run "
                   "too, to compare (docs/replay.md)")
      ->capture_default_str();
  CLI::Option* llm =
      command
          ->add_option("--llm", options->llm,
                       "latency[:key=value,...] (a server with continuous batching) or fake[:key=value,...]")
          ->capture_default_str();
  command->add_option("--preset", options->preset, studies::PresetHelp())->excludes(llm);
  command
      ->add_option("--coupling", options->coupling,
                   "How far apart agents may run at once: paper, or versioned (closer, so faster)")
      ->check(CLI::IsMember({"paper", "versioned"}))
      ->capture_default_str();
  command
      ->add_option("--radius", options->radius,
                   "Perception radius in tiles; default: what the trace says, else 8")
      ->check(CLI::Range(0, 1000));
  command->add_option("--steps", options->steps, "Only the first so many steps; 0: all")
      ->capture_default_str()
      ->check(CLI::Range(0, 100000000));
  CLI::Option* journal =
      command->add_option("--journal", options->journal,
                          "Run --mode alone and keep a journal of it; throng resume goes on with it");
  CLI::Option* plot = command->add_option(
      "--plot", options->plot,
      "Write an SVG picture: each agent's calls, and the requests in flight, over time in each mode");
  plot->excludes(journal);
  command
      ->add_option("--plot-window", options->plot_window, "FROM:UNTIL in seconds: only that part of the time")
      ->needs(plot);
  AddInteractiveFlags(*command, options->limits);
  plot->excludes("--interactive");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Examples:\n"
      "  throng replay day.jsonl.gz --mode all --llm latency:replicas=8\n"
      "  throng replay day.jsonl.gz --mode oracle --plot day.svg --plot-window 100:400\n"
      "  throng replay day.jsonl.gz --mode lockstep --journal day.journal\n"
      "  throng replay day.jsonl.gz --interactive Isabella --target-ms 2000\n"
      "  throng replay day.jsonl.gz --mode ooo --preset llama3-8b-8xl4");
  command->callback([options] {
    if (!options->preset.empty()) options->llm = studies::ServerOf(options->preset);
    Run(*options);
  });
}

}  // namespace throng::cli
