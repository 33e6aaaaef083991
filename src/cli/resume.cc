// throng resume: goes on with a run that was killed, stopped or failed.

#include <memory>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/simulate.h"

namespace throng::cli {

namespace {

struct Options {
  Simulation simulation;
  std::string journal;
  std::string mode;
  bool sync_always = false;
};

// A number that this program wrote into a manifest.
uint64_t NumberOf(const sim::Journal& journal, const char* key) {
  const std::string& text = journal.ManifestValue(key);
  uint64_t number = 0;
  if (!CLI::detail::lexical_cast(text, number)) {
    throw MakeError(ErrorCode::kCorrupt, "journal {}: its manifest says {} {:?}, which is no number",
                    journal.Path(), key, text);
  }
  return number;
}

// What the flags of this command do not say is as it was.
void FillIn(Simulation& simulation, const sim::Journal& journal, const CLI::App& command) {
  const auto given = [&](const char* flag) { return command.count(flag) > 0; };
  simulation.scenario = journal.ManifestValue("town");
  simulation.agents = static_cast<uint32_t>(NumberOf(journal, "requested_agents"));
  simulation.steps = static_cast<int>(NumberOf(journal, sim::JournalKeys::kSteps));
  simulation.seed = NumberOf(journal, sim::JournalKeys::kSeed);
  simulation.coupling = journal.ManifestValue(sim::JournalKeys::kCoupling);
  if (!given("--mode")) simulation.mode = journal.ManifestValue(sim::JournalKeys::kMode);
  if (!given("--llm")) simulation.llm = journal.ManifestValue("llm");
  if (!given("--real-time")) simulation.real_time = NumberOf(journal, "real_time") != 0;
  if (!given("--model")) simulation.local.model = journal.ManifestValue("model");
  if (!given("--kv")) simulation.local.kv = journal.ManifestValue("kv");
  if (!given("--k")) simulation.local.keys = journal.ManifestValue("k");
  if (!given("--v")) simulation.local.values = journal.ManifestValue("v");
  const bool other_codecs = given("--model") || given("--kv") || given("--k") || given("--v");
  if (!other_codecs) LoadCodecs(journal, simulation.local);
  if (!given("--softmax")) simulation.local.softmax = journal.ManifestValue("softmax");
  if (!given("--context")) simulation.local.max_context = static_cast<int>(NumberOf(journal, "context"));
}

void Resume(Options& options, const CLI::App& command) {
  Simulation& simulation = options.simulation;
  const std::unique_ptr<sim::Journal> journal =
      sim::Journal::OpenToWrite(options.journal, {options.sync_always});
  FillIn(simulation, *journal, command);
  const std::unique_ptr<town::Town> town = LoadWorld(simulation);
  const sim::RunOptions run = MakeRunOptions(simulation, *town);
  const std::unique_ptr<llm::Llm> llm = MakeLlm(simulation);
  journal->CheckSame(*town, run, llm->Identity());
  if (!simulation.quiet) {
    fmt::print(stderr, "journal {}: {} of {} steps are done, {} answers are kept\n", options.journal,
               journal->NumSteps(), run.steps, journal->NumAnswers());
  }
  RunAndReport(simulation, *town, run, *llm, journal.get());
}

}  // namespace

void AddResume(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "resume", "Go on with a run from its journal; no call is made again whose answer it has");
  const auto options = std::make_shared<Options>();
  command->add_option("journal", options->journal, "What throng run wrote")->required();
  command
      ->add_option("--mode", options->simulation.mode,
                   "Another order of execution than before (single, lockstep, ooo): the result is the same")
      ->group("Simulation")
      ->check(CLI::IsMember({"single", "lockstep", "ooo"}));
  AddLlmFlags(*command, options->simulation);
  AddOutputFlags(*command, options->simulation);
  command
      ->add_flag("--sync", options->sync_always,
                 "Survive a loss of power too: wait for the disk at every answer")
      ->group("Output");
  command->footer(
      "World, backend and model are those of the run, unless a flag says otherwise.\n"
      "Example:\n"
      "  throng resume throng-town-1-20250131-120000.journal");
  command->callback([options, command] { Resume(*options, *command); });
}

}  // namespace throng::cli
