// throng resume: continues a run that was killed, stopped or failed.

#include <fmt/format.h>

#include <memory>

#include "app/backend.h"
#include "app/manifest.h"
#include "app/run_options.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/run_flags.h"
#include "cli/run_and_report.h"

namespace throng::cli {

namespace {

struct Options {
  app::Simulation simulation;
  OutputFlags output;
  std::string journal;
  bool sync_always = false;
};

void Resume(Options& options, const CLI::App& command) {
  app::Simulation& simulation = options.simulation;
  const std::unique_ptr<journal::Journal> journal =
      journal::Journal::OpenToWrite(options.journal, {options.sync_always});
  app::FillFromManifest(*journal, GivenTo(command), simulation);
  const app::Scenario scenario = app::LoadScenario(simulation);
  const sim::RunOptions run = app::MakeRunOptions(simulation, scenario);
  const std::unique_ptr<llm::Llm> llm = app::MakeBackend(simulation);
  journal->CheckSame(*scenario.world, run, llm->Identity());
  if (!options.output.quiet) {
    fmt::print(stderr, "journal {}: {} of {} steps are done, {} answers are kept\n", options.journal,
               journal->NumSteps(), run.steps, journal->NumAnswers());
  }
  RunAndReport(simulation, options.output, scenario, run, *llm, journal.get());
}

}  // namespace

void AddResume(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "resume", "Go on with a run from its journal, without repeating a call that it has answered");
  const auto options = std::make_shared<Options>();
  command->add_option("journal", options->journal, "What throng run wrote")->required();
  AddModeFlag(*command, options->simulation.mode, "that of the run");
  AddBackendFlags(*command, options->simulation);
  AddLimitFlags(*command, options->simulation.limits);
  AddInteractiveFlags(*command, options->simulation.limits);
  AddOutputFlags(*command, options->output);
  command
      ->add_flag("--sync", options->sync_always,
                 "Survive a loss of power, too: wait for the disk at every answer")
      ->group("Output");
  command->footer(
      "World, backend and model are those of the run unless a flag says otherwise.\n"
      "Example:\n"
      "  throng resume throng-town-1-20250131-120000.journal");
  command->callback([options, command] { Resume(*options, *command); });
}

}  // namespace throng::cli
