// throng resume: continues a run that was killed, stopped or failed, or is to go on beyond its end.

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "app/backend.h"
#include "app/embedder.h"
#include "app/record/journaling.h"
#include "app/record/manifest.h"
#include "app/run.h"
#include "app/run_options.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/run_flags.h"
#include "cli/run_and_report.h"

namespace throng::cli {

namespace {

struct Options {
  app::Simulation simulation;  // as flags give it
  OutputFlags output;
  std::string journal;
  bool sync_always = false;
  bool from_start = false;
};

// A later end, if a flag asks for one.
void SetEnd(const app::Simulation& wanted, const app::GivenFlags& given, const journal::Journal& journal,
            const app::Scenario& scenario, app::Simulation& simulation) {
  const bool other_end = given("--steps") || given("--until");
  if (other_end) {
    simulation.steps = wanted.steps;
    simulation.until = wanted.until;
    if (!given("--until-event")) simulation.until_event.clear();
  }
  if (!given("--until-event")) return;
  simulation.until_event_from = journal.NumSteps();
  if (!other_end) simulation.steps = std::max<int>(simulation.steps, scenario.default_steps);
}

// Whether a flag says what is to answer from now on.
bool GivesBackend(const app::GivenFlags& given) {
  return given("--llm") || given("--model-for") || given("--model") || given("--kv") || given("--k") ||
         given("--v") || given("--softmax");
}

void Resume(Options& options, const CLI::App& command) {
  app::Simulation& simulation = options.simulation;
  const std::unique_ptr<journal::Journal> journal =
      journal::Journal::OpenToWrite(options.journal, {options.sync_always});
  const app::Simulation wanted = simulation;
  const app::GivenFlags given = GivenTo(command);
  app::FillFromManifest(*journal, given, simulation);
  const app::Scenario scenario = app::LoadScenario(simulation);
  SetEnd(wanted, given, *journal, scenario, simulation);
  sim::RunOptions run = app::MakeRunOptions(simulation, scenario);
  if (journal->IsDone(run.steps)) {
    if (GivesBackend(given)) {
      fmt::print(
          stderr,
          "journal {}: the run is finished, so nothing is left to be answered by another backend; --until "
          "or --steps extends it\n",
          options.journal);
    }
    app::FillFromManifest(
        *journal, [](const std::string&) { return false; }, simulation);
  }
  const std::unique_ptr<llm::Llm> llm = app::MakeBackend(simulation);
  const std::shared_ptr<effects::Embedder> embedder = app::MakeEmbedder(simulation, *llm);
  app::ContinueJournal(*journal, simulation, scenario, run, *llm, embedder.get(), GivesBackend(given));
  if (!options.output.quiet) {
    fmt::print(stderr, "journal {}: {} of {} steps are done, {} answers are kept\n", options.journal,
               journal->NumSteps(), run.steps, journal->NumAnswers());
  }
  app::Beginning beginning;
  if (!options.from_start && !journal->IsDone(run.steps)) {
    beginning = app::FindBeginning(*journal, *scenario.world, run.steps);
    if (!options.output.quiet) fmt::print(stderr, "{}\n", beginning.note);
  }
  if (beginning.snapshot) run.from = &*beginning.snapshot;
  RunAndReport(simulation, options.output, scenario, run, *llm, embedder, journal.get());
}

}  // namespace

void AddResume(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "resume", "Go on with a run from its journal, to its end or a later one, without repeating a call");
  const auto options = std::make_shared<Options>();
  command->add_option("journal", options->journal, "What throng run wrote, a file or an address")->required();
  AddEndFlags(*command, options->simulation);
  AddModeFlag(*command, options->simulation.mode, "that of the run");
  AddBackendFlags(*command, options->simulation);
  AddLimitFlags(*command, options->simulation.limits);
  AddInteractiveFlags(*command, options->simulation.limits);
  AddOutputFlags(*command, options->output);
  command
      ->add_flag("--sync", options->sync_always,
                 "Survive a loss of power, too: wait for the disk at every answer")
      ->group("Output");
  AddSnapshotFlag(*command, options->simulation.snapshot_every, "that of the run");
  command
      ->add_flag("--from-start", options->from_start,
                 "Repeat the run from its start, not from a snapshot, and check every step again")
      ->group("Output");
  command->footer(
      "World, backend, model and limits are those of the run unless a flag says otherwise; answers that were "
      "kept "
      "are used whatever answers from now on. A later end extends a run, also one that is done.\n"
      "Examples:\n"
      "  throng resume throng-town-1-20250131-120000.journal\n"
      "  throng resume town.journal --until 18:00\n"
      "  throng resume town.journal --from-start\n"
      "  throng resume \"postgres://throng@db/runs?journal=town\"\n"
      "  throng resume town.journal --llm http://localhost:8000");
  command->callback([options, command] { Resume(*options, *command); });
}

}  // namespace throng::cli
