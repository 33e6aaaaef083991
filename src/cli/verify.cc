// throng verify: shows that the order of execution changes nothing.

#include "sim/run/verify.h"

#include <memory>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/interventions.h"
#include "cli/progress_line.h"
#include "cli/simulate.h"
#include "journal/journaled_llm.h"
#include "journal/temporary_journal.h"
#include "llm/decorators/decorator.h"
#include "llm/decorators/shuffle.h"

namespace throng::cli {

namespace {

struct Options {
  Simulation simulation;
  int shuffled = 3;
};

void PrintReport(const sim::VerifyReport& report, bool json) {
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  for (const sim::VerifiedRun& verified : report.runs) {
    const sim::RunStats& stats = verified.result.stats;
    if (json) {
      runs.push_back({{"name", verified.run.name},
                      {"hash", verified.result.hash.Hex()},
                      {"wall_s", stats.wall_s},
                      {"backend_s", stats.backend_s},
                      {"llm_calls", stats.calls},
                      {"parallelism", stats.parallelism},
                      {"max_spread", stats.max_spread},
                      {"births", stats.births},
                      {"deaths", stats.deaths},
                      {"events", stats.interventions}});
    } else {
      fmt::print("{:<23} {}  {:>8.1f} s  {:>6} calls  {:>6.2f} in flight  {:>4} steps apart\n",
                 verified.run.name, verified.result.hash.Hex(), stats.wall_s, stats.calls, stats.parallelism,
                 stats.max_spread);
    }
  }
  if (json) {
    const nlohmann::ordered_json result = {
        {"equal", report.difference.empty()}, {"difference", report.difference}, {"runs", runs}};
    fmt::print("{}\n", result.dump(2));
  } else if (report.difference.empty()) {
    const sim::RunStats& stats = report.runs.front().result.stats;
    if (stats.births + stats.deaths + stats.interventions > 0) {
      fmt::print("{} born, {} died, {} events from outside\n", stats.births, stats.deaths,
                 stats.interventions);
    }
    fmt::print("equal in all runs\n");
  }
}

void Verify(const Options& options) {
  const Simulation& simulation = options.simulation;
  const auto make_world = [&] { return LoadScenario(simulation).world; };
  const Scenario scenario = LoadScenario(simulation);
  sim::RunOptions run = MakeRunOptions(simulation, scenario);
  ProgressLine line(simulation.quiet);
  // Loaded once for all runs, or asked once: what a server answers need not be the same twice.
  const bool recorded = simulation.llm.starts_with("http");
  const bool shared = recorded || simulation.llm == "local";
  std::unique_ptr<llm::Llm> backend;
  if (shared) backend = MakeLlm(simulation);
  std::unique_ptr<journal::TemporaryJournal> recording;
  if (recorded) recording = std::make_unique<journal::TemporaryJournal>();

  std::string name;
  const llm::Llm* current = nullptr;
  const auto make_llm = [&](const sim::VerifyRun& verify_run) -> std::shared_ptr<llm::Llm> {
    name = verify_run.name;
    std::unique_ptr<llm::Llm> llm;
    if (recorded) {
      llm = std::make_unique<journal::JournaledLlm>(*backend, recording->Get());
    } else if (shared) {
      llm = std::make_unique<llm::Decorator>(*backend);  // a model is loaded once for all runs
    } else {
      llm = MakeLlm(simulation);
    }
    if (verify_run.shuffle.has_value()) {
      llm = std::make_unique<llm::ShuffleLlm>(std::move(llm), *verify_run.shuffle);
    }
    current = llm.get();
    return llm;
  };
  if (!simulation.quiet) {
    run.progress_interval_s = line.IntervalSeconds();
    run.on_progress = [&](const sim::Progress& progress) {
      line.Show(name + ": " + DescribeProgress(progress, scenario, run.steps, current->GetStats()));
    };
  }
  const sim::VerifyReport report =
      sim::Verify(make_world, make_llm, sim::StandardRuns(options.shuffled), run);
  line.Clear();
  PrintReport(report, simulation.json);
  if (!report.difference.empty()) throw MakeError(ErrorCode::kCorrupt, "verify: {}", report.difference);
}

}  // namespace

void AddVerify(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "verify", "Run a scenario in every order of execution, and compare what happened, step by step");
  const auto options = std::make_shared<Options>();
  AddWorldFlags(*command, options->simulation);
  AddEventFlags(*command, options->simulation);
  command
      ->add_option("--shuffled", options->shuffled,
                   "Out-of-order runs with answers delayed and reordered at random")
      ->group("Simulation")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  AddLlmFlags(*command, options->simulation);
  AddOutputFlags(*command, options->simulation);
  command->footer(
      "Fails with the first step and agent that differ. A server's answers must depend on the request "
      "alone.\n"
      "Example:\n"
      "  throng verify --agents 25 --steps 360 --llm fake:latency=1,spread=0.9\n"
      "  throng verify --scenario followers --agents 200 --llm fake:latency=1,spread=0.9\n"
      "  throng verify --scenario colony --event \"50 rain 9 9\" --event \"60 settle 9 9\" --llm "
      "fake:latency=1,spread=0.9");
  command->callback([options] { Verify(*options); });
}

}  // namespace throng::cli
