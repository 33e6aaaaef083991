// throng replay: a recorded day under each scheduler, against a model of a server in virtual time.

#include <fmt/core.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/run_manifest.h"
#include "cli/simulate.h"
#include "llm/fake.h"
#include "llm/latency.h"
#include "sim/scheduler.h"
#include "sim/trace.h"
#include "sim/trace_world.h"

namespace throng::cli {
namespace {

struct Options {
  std::string trace;
  std::string mode = "ooo";
  std::string llm = "latency";
  int radius = 8;
  int steps = 0;
  std::string journal;
  bool json = false;
};

// A replay knows the sizes of its calls, not their texts, so only backends in virtual time can serve it.
std::unique_ptr<llm::Llm> MakeVirtualBackend(const std::string& spec) {
  const size_t colon = spec.find(':');
  const std::string name = spec.substr(0, colon);
  const std::string parameters = colon == std::string::npos ? "" : spec.substr(colon + 1);
  if (name == "latency") return std::make_unique<llm::LatencyLlm>(llm::LatencyOptions::Parse(parameters));
  if (name == "fake") return std::make_unique<llm::FakeLlm>(llm::FakeOptions::Parse(parameters));
  throw MakeError(ErrorCode::kInvalid,
                  "--llm {}: a trace has no prompts, so a replay runs in virtual time; allowed: "
                  "latency[:key=value,...] fake[:key=value,...]",
                  spec);
}

void CheckSteps(const Options& options, sim::Step num_steps) {
  if (options.steps > num_steps) {
    throw MakeError(ErrorCode::kInvalid, "--steps {}: {} has {}", options.steps, options.trace, num_steps);
  }
}

struct Row {
  std::string mode;
  sim::RunResult result;
};

Row RunMode(const sim::World& world, const Options& options, sim::Mode mode, sim::Step steps) {
  const std::unique_ptr<llm::Llm> backend = MakeVirtualBackend(options.llm);
  sim::RunOptions run;
  run.mode = mode;
  run.steps = steps;
  if (!options.json) {
    run.on_progress = [&](const sim::Progress& progress) {
      fmt::print(stderr, "{}: step {} of {}, {} calls\n", sim::ModeName(mode), progress.base_step, steps,
                 progress.stats.calls);
    };
  }
  return {sim::ModeName(mode), sim::RunWorld(world, *backend, run)};
}

void PrintTable(const std::vector<Row>& rows, const Row* single, const Row* lockstep) {
  const auto speedup = [](const Row* base, const Row& row) {
    return base ? fmt::format("{:.2f}x", base->result.stats.backend_s / row.result.stats.backend_s)
                : std::string("-");
  };
  fmt::print("{:<9} {:>13} {:>10} {:>12} {:>11} {:>8} {:>14} {:>13} {:>9}\n", "mode", "completion s",
             "vs single", "vs lockstep", "in flight", "calls", "prompt tokens", "output tokens", "wall s");
  for (const Row& row : rows) {
    const sim::RunStats& stats = row.result.stats;
    fmt::print("{:<9} {:>13.1f} {:>10} {:>12} {:>11.2f} {:>8} {:>14} {:>13} {:>9.2f}\n", row.mode,
               stats.backend_s, speedup(single, row), speedup(lockstep, row), stats.parallelism, stats.calls,
               stats.prompt_tokens, stats.output_tokens, stats.wall_s);
  }
}

nlohmann::ordered_json RowJson(const Row& row, const Row* single, const Row* lockstep) {
  const sim::RunStats& stats = row.result.stats;
  nlohmann::ordered_json json = {{"mode", row.mode},
                                 {"completion_s", stats.backend_s},
                                 {"parallelism", stats.parallelism},
                                 {"llm_calls", stats.calls},
                                 {"prompt_tokens", stats.prompt_tokens},
                                 {"output_tokens", stats.output_tokens},
                                 {"clusters", stats.clusters},
                                 {"max_spread", stats.max_spread},
                                 {"wall_s", stats.wall_s},
                                 {"hash", row.result.hash.Hex()}};
  if (single) json["speedup_vs_single"] = single->result.stats.backend_s / stats.backend_s;
  if (lockstep) json["speedup_vs_lockstep"] = lockstep->result.stats.backend_s / stats.backend_s;
  return json;
}

// One mode alone, so that what is there when it is killed belongs to one run.
void RunJournaled(const Options& options) {
  Simulation simulation;
  simulation.trace = options.trace;
  simulation.radius = options.radius;
  simulation.steps = options.steps;
  simulation.seed = 0;
  simulation.mode = options.mode;
  simulation.llm = options.llm;
  simulation.json = options.json;
  simulation.quiet = options.json;
  const std::unique_ptr<llm::Llm> llm = MakeVirtualBackend(options.llm);
  const Scenario scenario = LoadScenario(simulation);
  const sim::RunOptions run = MakeRunOptions(simulation, scenario);
  CheckSteps(options, scenario.default_steps);
  const std::unique_ptr<sim::Journal> journal = sim::Journal::Create(options.journal);
  journal->Begin(ManifestOf(simulation, scenario, *llm), *scenario.world, run, llm->Identity());
  RunAndReport(simulation, scenario, run, *llm, journal.get());
}

void Run(const Options& options) {
  if (!options.journal.empty()) {
    RunJournaled(options);
    return;
  }
  std::vector<sim::Mode> modes = {sim::Mode::kSingle, sim::Mode::kLockstep, sim::Mode::kOutOfOrder};
  if (options.mode != "all") {
    const sim::Mode mode = sim::ParseMode(options.mode);
    // What a mode is worth shows against the others: the slower ones are run too.
    while (modes.back() != mode) modes.pop_back();
  }
  MakeVirtualBackend(options.llm);  // refuses a wrong one before the trace is read
  sim::Trace trace = sim::LoadTrace(options.trace);
  const sim::Step steps = options.steps == 0 ? trace.num_steps : options.steps;
  CheckSteps(options, trace.num_steps);
  const std::unique_ptr<sim::World> world = sim::MakeTraceWorld(std::move(trace), options.radius);
  std::vector<Row> rows;
  for (const sim::Mode mode : modes) {
    rows.push_back(RunMode(*world, options, mode, steps));
    if (rows.back().result.hash != rows.front().result.hash) {
      throw MakeError(ErrorCode::kCorrupt, "{}: mode {} left another state than {}", options.trace,
                      rows.back().mode, rows.front().mode);
    }
  }
  const Row* single = &rows.front();
  const Row* lockstep = rows.size() > 1 ? &rows[1] : nullptr;
  if (!options.json) {
    PrintTable(rows, single, lockstep);
    return;
  }
  if (options.mode == "all") {
    nlohmann::ordered_json results = nlohmann::ordered_json::array();
    for (const Row& row : rows) results.push_back(RowJson(row, single, lockstep));
    fmt::print("{}\n", nlohmann::ordered_json{{"results", results}}.dump(2));
  } else {
    fmt::print("{}\n", RowJson(rows.back(), single, lockstep).dump(2));
  }
}

}  // namespace

void AddReplay(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "replay", "Run a recorded day again, to see what a scheduler is worth on a modelled server");
  const auto options = std::make_shared<Options>();
  command->add_option("trace", options->trace, "JSON lines, plain or gzipped (docs/replay.md)")->required();
  command
      ->add_option("--mode", options->mode, "single, lockstep, ooo, or all; slower modes run too, to compare")
      ->capture_default_str();
  command
      ->add_option("--llm", options->llm,
                   "latency[:key=value,...] (a server with continuous batching) or fake[:key=value,...]")
      ->capture_default_str();
  command->add_option("--radius", options->radius, "Perception radius in tiles")
      ->capture_default_str()
      ->check(CLI::Range(0, 1000));
  command->add_option("--steps", options->steps, "Only the first so many steps; 0: all")
      ->capture_default_str()
      ->check(CLI::Range(0, 100000000));
  command->add_option("--journal", options->journal,
                      "Run --mode alone and keep a journal of it; throng resume goes on with it");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Examples:\n"
      "  throng replay day.jsonl.gz --mode ooo --llm latency:replicas=8\n"
      "  throng replay day.jsonl.gz --mode lockstep --journal day.journal");
  command->callback([options] { Run(*options); });
}

}  // namespace throng::cli
