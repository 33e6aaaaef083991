// throng replay: a recorded day under each scheduler, against a model of a server in virtual time, or against
// a server.

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/record/journaling.h"
#include "app/run_options.h"
#include "app/scenario.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/help_format.h"
#include "cli/flags/run_flags.h"
#include "cli/progress_line.h"
#include "cli/run_and_report.h"
#include "llm/backends/backend_spec.h"
#include "studies/replay_interactive.h"
#include "studies/replay_report.h"
#include "studies/server_preset.h"
#include "studies/timeline_svg.h"
#include "trace/replayer.h"
#include "trace/server_check.h"
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
  int pool = 0;  // no limit
  double ack_ms = 0;
  bool unordered = false;
  double shared_prefix = 0;
  std::string plot;
  std::string journal;
  int snapshot_every = app::Simulation::kAutomatic;
  std::string plot_window;
  app::Limits limits;  // interactive and target
  bool json = false;
};

bool IsSeveral(const std::string& mode) { return mode == "all" || mode.find(',') != mode.npos; }

// One mode is compared with the slower modes listed before it, so those run too; not on a server, where each
// would take as long again.
std::vector<std::string> ModesToRun(const std::string& mode, bool on_server) {
  std::vector<std::string> modes = trace::ReplayModes();
  if (mode == "all") return modes;
  if (IsSeveral(mode)) {
    std::vector<std::string> named = CLI::detail::split(mode, ',');
    for (const std::string& name : named) ModesToRun(name, on_server);  // refuses what is none
    return named;
  }
  const auto found = std::find(modes.begin(), modes.end(), mode);
  if (found == modes.end()) {
    throw MakeError(ErrorCode::kInvalid, "--mode {}: allowed: {}, several of them (a,b), or all", mode,
                    fmt::join(modes, " "));
  }
  if (on_server)
    return mode == trace::kCritical ? std::vector<std::string>{"single", mode} : std::vector{mode};
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
  simulation.snapshot_every = options.snapshot_every;
  simulation.mode = options.mode;
  simulation.coupling = options.coupling;
  simulation.llm = options.llm;
  return simulation;
}

// Runs one mode alone, so that if it is killed, what remains belongs to one run.
void RunJournaled(const Options& options) {
  const app::Simulation simulation = SimulationOf(options);
  const std::unique_ptr<llm::Llm> llm = trace::MakeVirtualBackend(options.llm);
  const app::Scenario scenario = app::LoadScenario(simulation);
  const sim::RunOptions run = app::MakeRunOptions(simulation, scenario);
  if (run.steps > scenario.default_steps) {
    throw MakeError(ErrorCode::kInvalid, "--steps {}: {} has {}", options.steps, options.trace,
                    scenario.default_steps);
  }
  const std::unique_ptr<journal::Journal> journal =
      app::BeginJournal(options.journal, {}, simulation, scenario, run, *llm, nullptr);
  RunAndReport(simulation, {options.json, /*quiet=*/false}, scenario, run, *llm, nullptr, journal.get());
}

// Says what the server does otherwise than recorded, before hours are spent on it.
trace::ServerCheck CheckServer(const Options& options, const trace::Replayer& replayer, ProgressLine& line) {
  const trace::ServerCheck check =
      trace::CheckServer(options.llm, replayer.GetTrace(), replayer.NumSteps(),
                         [&](const std::string& text) { line.ShowRarely(text); });
  line.Clear();
  if (check.words.TokensPerWord() > 1) {
    spdlog::warn("{}: no words have one token there; prompts are exact to half of {} tokens", options.llm,
                 check.words.TokensPerWord());
  }
  if (check.counted_prompt != check.longest_prompt || check.counted_output != check.longest_output) {
    spdlog::warn("{}: the longest call is recorded with {} + {} tokens, and had {} + {} there", options.llm,
                 check.longest_prompt, check.longest_output, check.counted_prompt, check.counted_output);
  }
  return check;
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
  const bool on_server = llm::IsServerBackend(options.llm);
  const std::vector<std::string> modes = ModesToRun(options.mode, on_server);
  // Refuses an invalid one before the trace is read.
  if (!on_server) trace::MakeVirtualBackend(options.llm);
  if (!on_server && options.shared_prefix > 0) {
    throw MakeError(
        ErrorCode::kInvalid,
        "--shared-prefix {}: {} reads no prompts; allowed with servers, and latency:cached={} models it",
        options.shared_prefix, options.llm, options.shared_prefix);
  }
  if (on_server && options.ack_ms > 0) {
    throw MakeError(ErrorCode::kInvalid,
                    "--ack-ms {}: models a controller, which needs a backend in virtual time; allowed: {}",
                    options.ack_ms, llm::VirtualBackendForms());
  }
  trace::Replayer replayer(trace::LoadTrace(options.trace), options.radius, options.steps);
  std::ofstream plot;
  if (!options.plot.empty()) plot.open(options.plot);
  if (!plot) throw MakeError(ErrorCode::kIo, "--plot {}: cannot open to write", options.plot);
  ProgressLine line(/*quiet=*/false);
  std::optional<trace::ServerCheck> server;
  if (on_server) server = CheckServer(options, replayer, line);
  std::vector<trace::ReplayRow> rows;
  for (const std::string& mode : modes) {
    trace::Replayer::RunFlags flags;
    flags.llm = options.llm;
    flags.coupling = sim::ParseCoupling(options.coupling);
    flags.dispatch = {static_cast<size_t>(options.pool), options.ack_ms * 1e-3, !options.unordered};
    flags.keep_spans = !options.plot.empty();
    flags.shared_prefix = options.shared_prefix;
    if (server) {
      flags.words = &server->words;
      flags.on_answer = [&](uint64_t answered) {
        line.ShowRarely(fmt::format("{}: {} calls answered", mode, answered));
      };
      flags.on_wait = [&](const std::string& why) { line.Show(why); };
    } else {
      flags.progress_interval_s = line.IntervalSeconds();
      flags.on_progress = [&](const sim::Progress& progress) {
        line.Show(fmt::format("{}: step {} of {}, {} calls", mode, progress.base_step, replayer.NumSteps(),
                              progress.stats.calls));
      };
    }
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
    studies::PrintReplay(rows);
  } else if (IsSeveral(options.mode)) {
    nlohmann::ordered_json results = nlohmann::ordered_json::array();
    for (const trace::ReplayRow& row : rows) results.push_back(studies::ReplayJson(row, rows));
    fmt::print("{}\n", nlohmann::ordered_json{{"results", results}}.dump(2));
  } else {
    fmt::print("{}\n", studies::ReplayJson(rows.back(), rows).dump(2));
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
                   fmt::format("{}, or all; those named before a mode run, too, to compare (docs/replay.md), "
                               "except on servers; several, a,b: these alone",
                               fmt::join(trace::ReplayModes(), ", ")))
      ->capture_default_str();
  CLI::Option* llm =
      command
          ->add_option(
              "--llm", options->llm,
              "latency[:key=value,...] (a server with continuous batching), fake[:key=value,...], or "
              "http://HOST:PORT[,http://...] (servers, in wall time)")
          ->capture_default_str();
  command->add_option("--preset", options->preset, "A server by name, see below")->excludes(llm);
  AddNote(*command, studies::PresetHelp());
  AddCouplingFlag(*command, options->coupling, "Options");
  command->add_option("--radius", options->radius, "Perception radius in tiles; default: that of the trace")
      ->check(CLI::Range(0, 1000));
  command->add_option("--steps", options->steps, "Only the first N steps; 0: all")
      ->capture_default_str()
      ->check(CLI::Range(0, 100000000));
  const char* deployment = "A deployment with workers (docs/replay.md)";
  CLI::Option* pool =
      command->add_option("--pool", options->pool, "Workers, with a cluster each; 0: no limit");
  pool->capture_default_str()->check(CLI::Range(0, 1000000))->group(deployment);
  CLI::Option* ack = command->add_option("--ack-ms", options->ack_ms,
                                         "Time that the controller takes for each finished cluster");
  ack->capture_default_str()->check(CLI::Range(0.0, 1e6))->group(deployment);
  CLI::Option* unordered = command->add_flag("--unordered", options->unordered,
                                             "Workers and controller serve clusters as they come, not by "
                                             "step (for the server: latency:priorities=0)");
  unordered->group(deployment);
  command
      ->add_option("--shared-prefix", options->shared_prefix,
                   "On servers: the share of each prompt that begins all prompts of its function")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  CLI::Option* journal =
      command->add_option("--journal", options->journal,
                          "Run --mode alone, and keep a journal that throng resume can go on with");
  CLI::Option* plot = command->add_option(
      "--plot", options->plot,
      "File (.svg) for a picture of each agent's calls and the requests in flight over time");
  AddSnapshotFlag(*command, options->snapshot_every, "as often as costs little")->needs(journal);
  plot->excludes(journal);
  for (CLI::Option* option : {pool, ack, unordered}) option->excludes(journal);
  command->add_option("--plot-window", options->plot_window, "FROM:UNTIL in seconds: only that part")
      ->needs(plot);
  AddInteractiveFlags(*command, options->limits);
  plot->excludes("--interactive");
  for (CLI::Option* option : {pool, ack, unordered}) option->excludes("--interactive");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Examples:\n"
      "  throng replay day.jsonl.gz --mode all --llm latency:replicas=8\n"
      "  throng replay day.jsonl.gz --mode oracle --plot day.svg --plot-window 100:400\n"
      "  throng replay day.jsonl.gz --mode lockstep --journal day.journal\n"
      "  throng replay day.jsonl.gz --mode ooo --llm latency:replicas=8,burst=10 --pool 56 --ack-ms 81\n"
      "  throng replay day.jsonl.gz --interactive Isabella --target-ms 2000\n"
      "  throng replay day.jsonl.gz --mode ooo --preset llama3-8b-8xl4\n"
      "  throng replay day.jsonl.gz --mode lockstep,ooo,oracle --llm http://localhost:8000");
  command->callback([options] {
    if (!options->preset.empty()) options->llm = studies::ServerOf(options->preset);
    Run(*options);
  });
}

}  // namespace throng::cli
