// throng run: simulates a scenario and keeps a journal of it.

#include <ctime>
#include <filesystem>
#include <memory>

#include "app/backend.h"
#include "app/embedder.h"
#include "app/record/journaling.h"
#include "app/run_options.h"
#include "base/error.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/run_flags.h"
#include "cli/run_and_report.h"
#include "studies/estimate.h"

namespace throng::cli {

namespace {

struct Options {
  app::Simulation simulation;
  OutputFlags output;
  std::string journal;
  bool no_journal = false;
  std::string prompts = "on";
  bool dry_run = false;
  std::string sample;
  bool sync_always = false;
};

// ./throng-town-1-20250131-120000.journal; a number is added if it exists.
std::string DefaultJournalPath(const sim::World& world, uint64_t seed) {
  const std::time_t now = std::time(nullptr);
  std::tm local;
  localtime_r(&now, &local);
  char stamp[32];
  std::strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &local);
  const std::string stem = fmt::format("throng-{}-{}-{}", world.Name(), seed, stamp);
  std::string path = stem + ".journal";
  for (int i = 2; std::filesystem::exists(path); ++i) path = fmt::format("{}-{}.journal", stem, i);
  return path;
}

void Run(const Options& options) {
  const app::Simulation& simulation = options.simulation;
  if (options.dry_run) {
    studies::EstimateAndReport(simulation, options.sample, options.output.json);
    return;
  }
  const app::Scenario scenario = app::LoadScenario(simulation);
  const sim::RunOptions run = app::MakeRunOptions(simulation, scenario);
  const std::string path =
      options.journal.empty() ? DefaultJournalPath(*scenario.world, simulation.seed) : options.journal;
  if (!options.no_journal && journal::Journal::Exists(path)) {
    throw MakeError(ErrorCode::kInvalid, "journal {}: it exists; resume it, or give another name", path);
  }
  const std::unique_ptr<llm::Llm> llm = app::MakeBackend(simulation);
  const std::shared_ptr<effects::Embedder> embedder = app::MakeEmbedder(simulation, *llm);
  std::unique_ptr<journal::Journal> journal;
  if (!options.no_journal) {
    journal = app::BeginJournal(path, {options.sync_always, options.prompts == "on"}, simulation, scenario,
                                run, *llm, embedder.get());
    if (!options.output.quiet) fmt::print(stderr, "journal {}\n", path);
  }
  RunAndReport(simulation, options.output, scenario, run, *llm, embedder, journal.get());
}

}  // namespace

void AddRun(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("run", "Simulate a scenario, and keep a journal from which it can be resumed");
  const auto options = std::make_shared<Options>();
  AddWorldFlags(*command, options->simulation);
  AddModeFlag(*command, options->simulation.mode, "ooo");
  AddEventFlags(*command, options->simulation);
  AddBackendFlags(*command, options->simulation);
  AddLimitFlags(*command, options->simulation.limits);
  AddInteractiveFlags(*command, options->simulation.limits);
  AddOutputFlags(*command, options->output);
  CLI::Option* journal = command->add_option(
      "--journal", options->journal,
      "File of the journal, or its address in a PostgreSQL database (docs/runs.md); default: "
      "throng-SCENARIO-SEED-TIME.journal");
  journal->group("Output");
  command->add_flag("--no-journal", options->no_journal, "Keep no journal")
      ->group("Output")
      ->excludes(journal);
  command->add_option("--prompts", options->prompts, "Whether the journal keeps prompts: on or off")
      ->group("Output")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  CLI::Option* dry_run =
      command->add_flag("--dry-run", options->dry_run, "Only estimate calls, tokens and, with --price, cost");
  dry_run->group("Output");
  command
      ->add_option("--sample", options->sample, "Journal to estimate from; default: a run on made-up answers")
      ->group("Output")
      ->needs(dry_run);
  command
      ->add_flag("--sync", options->sync_always,
                 "Survive a loss of power, too: wait for the disk at every answer")
      ->group("Output");
  AddSnapshotFlag(*command, options->simulation.snapshot_every, "as often as costs little");
  command->footer(
      "Examples:\n"
      "  throng run --until 09:00\n"
      "  throng run --until-event say=concert\n"
      "  throng run --event \"0 leave Nils\" --event \"09:30 at bakery for 30: a fire\"\n"
      "  throng run --agents 100 --kv gear2 -m model.gguf --journal a.journal\n"
      "  throng run --embed local\n"
      "  throng run --llm http://localhost:8000 --mode lockstep --json\n"
      "  throng run --llm http://localhost:8000 --journal \"postgres://throng@db/runs?journal=town\"\n"
      "  throng run --scenario followers --agents 200\n"
      "  throng run --scenario microblog --agents 100000 --llm latency:preset=llama3-8b-8xl4 --no-journal");
  command->callback([options] { Run(*options); });
}

}  // namespace throng::cli
