// throng verify: shows that the order of execution changes nothing.

#include "sim/run/verify.h"

#include <memory>

#include "app/backend.h"
#include "app/embedder.h"
#include "app/record/report.h"
#include "app/run_options.h"
#include "app/scenario.h"
#include "app/verify_backends.h"
#include "base/error.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/run_flags.h"
#include "cli/progress_line.h"
#include "llm/decorators/decorator.h"

namespace throng::cli {

namespace {

struct Options {
  app::Simulation simulation;
  OutputFlags output;
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
    const std::string difference = report.difference ? report.difference->text : "";
    const nlohmann::ordered_json result = {
        {"equal", !report.difference}, {"difference", difference}, {"runs", runs}};
    fmt::print("{}\n", result.dump(2));
  } else if (!report.difference) {
    const sim::RunStats& stats = report.runs.front().result.stats;
    if (stats.births + stats.deaths + stats.interventions > 0) {
      fmt::print("{} born, {} died, {} events from outside\n", stats.births, stats.deaths,
                 stats.interventions);
    }
    fmt::print("equal in all runs\n");
  }
}

void Verify(const Options& options) {
  const app::Simulation& simulation = options.simulation;
  const auto make_world = [&] { return app::LoadScenario(simulation).world; };
  const app::Scenario scenario = app::LoadScenario(simulation);
  sim::RunOptions run = app::MakeRunOptions(simulation, scenario);
  run.falls_back = app::FallsBack(app::FallBack::kAnswer);
  ProgressLine line(options.output.quiet);
  // A model is loaded once for all runs. A server is asked each request once, as its answers may differ the
  // second time.
  std::unique_ptr<llm::Llm> local;
  if (simulation.llm == "local") local = app::MakeBackend(simulation);
  const auto make_backend = [&]() -> std::unique_ptr<llm::Llm> {
    if (local != nullptr) return std::make_unique<llm::Decorator>(*local);
    return app::MakeBackend(simulation);
  };
  const std::shared_ptr<effects::Embedder> embedder =
      simulation.embed.empty()
          ? nullptr
          : app::MakeEmbedder(simulation, local ? *local : *app::MakeBackend(simulation));
  sim::Recording recording;
  app::VerifyBackends backends(make_backend, /*repeatable=*/!simulation.llm.starts_with("http"), recording);
  std::string name;
  std::shared_ptr<llm::Llm> current;
  const auto make_llm = [&](const sim::VerifyRun& verify_run) {
    name = verify_run.name;
    current = backends.For(verify_run, {.embedder = embedder});
    return current;
  };
  if (!options.output.quiet) {
    run.progress_interval_s = line.IntervalSeconds();
    run.on_progress = [&](const sim::Progress& progress) {
      line.Show(name + ": " + app::DescribeProgress(progress, scenario, run.steps, current->GetStats()));
    };
  }
  const sim::VerifyReport report =
      sim::Verify(make_world, make_llm, sim::StandardRuns(options.shuffled), run, recording);
  line.Clear();
  PrintReport(report, options.output.json);
  if (report.difference) throw MakeError(ErrorCode::kCorrupt, "verify: {}", report.difference->text);
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
  AddBackendFlags(*command, options->simulation);
  AddOutputFlags(*command, options->output);
  command->footer(
      "Fails with the first step and agent that differ, and the prompt, answer or state that does. Answers "
      "must depend on the request alone.\n"
      "Examples:\n"
      "  throng verify --agents 25 --steps 360 --llm fake:latency=1,spread=0.9\n"
      "  throng verify --scenario followers --agents 200 --llm fake:latency=1,spread=0.9\n"
      "  throng verify --scenario colony --event \"50 rain 9 9\" --llm fake:latency=1");
  command->callback([options] { Verify(*options); });
}

}  // namespace throng::cli
