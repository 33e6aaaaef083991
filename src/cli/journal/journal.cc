// throng journal: shows a journal as numbers or exports it for other programs, and forks runs.

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/backend.h"
#include "app/record/interventions.h"
#include "app/record/manifest.h"
#include "app/scenario.h"
#include "base/error.h"
#include "base/text/human_bytes.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/number_checks.h"
#include "cli/flags/run_flags.h"
#include "cli/journal/journal_commands.h"
#include "journal/read/report.h"
#include "journal/store/place.h"
#include "town/mind/hidden.h"

namespace throng::cli {

namespace {

constexpr size_t kMaxValueShown = 100;  // bytes of a manifest value
constexpr size_t kAgentsShown = 25;

std::string Shown(const std::string& value) {
  std::string line = value.substr(0, kMaxValueShown);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return value.size() > kMaxValueShown ? fmt::format("{}... ({} bytes)", line, value.size()) : line;
}

void PrintUsage(const char* title, const std::vector<journal::UsageSums>& rows, size_t shown) {
  const bool priced =
      std::any_of(rows.begin(), rows.end(), [](const auto& row) { return row.cost.has_value(); });
  fmt::print("\n{:<14} {:>9} {:>8} {:>14} {:>14} {:>10}{}\n", title, "calls", "failed", "prompt tokens",
             "output tokens", "mean s", priced ? fmt::format(" {:>10}", "cost") : "");
  for (size_t i = 0; i < std::min(shown, rows.size()); ++i) {
    const journal::UsageSums& row = rows[i];
    fmt::print("{:<14} {:>9} {:>8} {:>14} {:>14} {:>10.3f}{}\n", row.name, row.calls, row.failed,
               row.prompt_tokens, row.output_tokens, row.mean_s,
               priced ? fmt::format(" {:>10.4f}", row.cost.value_or(0)) : "");
  }
  if (rows.size() > shown)
    fmt::print("... and {} more, in --json and the view agent_usage\n", rows.size() - shown);
}

nlohmann::ordered_json UsageJson(const char* key, const std::vector<journal::UsageSums>& rows) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const journal::UsageSums& row : rows) {
    json.push_back({{key, row.name},
                    {"llm_calls", row.calls},
                    {"failed_calls", row.failed},
                    {"prompt_tokens", row.prompt_tokens},
                    {"output_tokens", row.output_tokens},
                    {"cost", row.cost ? nlohmann::ordered_json(*row.cost) : nlohmann::ordered_json()},
                    {"mean_s", row.mean_s}});
  }
  return json;
}

void PrintReport(const journal::Journal& journal, const journal::JournalReport& report) {
  for (const auto& [key, value] : journal.GetManifest()) {
    if (!value.empty()) fmt::print("{:<17} {}\n", key, Shown(value));
  }
  fmt::print("\nsize              {}", HumanBytes(static_cast<double>(report.bytes)));
  if (report.bytes_per_hour > 0) fmt::print(", {} per simulated hour", HumanBytes(report.bytes_per_hour));
  fmt::print("\nsteps             {} that all agents have done\n", report.steps);
  fmt::print("rows              {} answers, {} commits, {} bodies, {} cells, {} events ({} fallbacks)\n",
             report.answers, report.commits, report.bodies, report.cells, report.events, report.fallbacks);
  fmt::print("\n{:<8} {:<21} {:<21} {}\n", "session", "started", "ended", "outcome");
  for (const journal::SessionRow& session : report.sessions) {
    fmt::print("{:<8} {:<21} {:<21} {}\n", session.id, session.started,
               session.ended.empty() ? "-" : session.ended,
               session.ended.empty() ? "runs, or was killed" : session.outcome);
    if (session.backend != report.sessions.front().backend) {
      fmt::print("{:<8} from step {} on answered by {}\n", "", session.first_step, session.backend);
    }
  }
  for (const std::string& server : report.servers) fmt::print("{:<8} {}\n", "server", server);
  if (!report.interventions.empty()) fmt::print("\n{:<8} {:<8} {}\n", "asked", "step", "event from outside");
  for (const journal::InterventionRow& event : report.interventions) {
    fmt::print("{:<8} {:<8} {}\n", event.asked, event.step < 0 ? "-" : std::to_string(event.step),
               event.what);
  }
  PrintUsage("function", report.functions, report.functions.size());
  PrintUsage("agent", report.agents, kAgentsShown);
  if (report.hours.empty()) return;
  fmt::print("\n{:<14} {:>9} {:>8} {:>14} {:>14} {:>10}\n", "simulated hour", "calls", "events",
             "prompt tokens", "output tokens", "commits");
  for (const journal::HourSums& hour : report.hours) {
    fmt::print("{:<14} {:>9} {:>8} {:>14} {:>14} {:>10}\n", hour.hour, hour.calls, hour.events,
               hour.prompt_tokens, hour.output_tokens, hour.commits);
  }
}

nlohmann::ordered_json ReportJson(const journal::Journal& journal, const journal::JournalReport& report) {
  using Json = nlohmann::ordered_json;
  Json sessions = Json::array();
  for (const journal::SessionRow& session : report.sessions) {
    sessions.push_back({{"id", session.id},
                        {"started", session.started},
                        {"ended", session.ended},
                        {"outcome", session.outcome},
                        {"program", session.program},
                        {"machine", session.machine},
                        {"backend", session.backend},
                        {"first_step", session.first_step},
                        {"parameters", Json::parse(session.parameters)}});
  }
  Json interventions = Json::array();
  for (const journal::InterventionRow& event : report.interventions) {
    interventions.push_back(
        {{"asked", event.asked}, {"step", event.step < 0 ? Json() : Json(event.step)}, {"what", event.what}});
  }
  Json files = Json::array();
  for (const journal::FileRow& file : report.files) {
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"digest", file.digest}});
  }
  Json hours = Json::array();
  for (const journal::HourSums& hour : report.hours) {
    hours.push_back({{"hour", hour.hour},
                     {"llm_calls", hour.calls},
                     {"prompt_tokens", hour.prompt_tokens},
                     {"output_tokens", hour.output_tokens},
                     {"commits", hour.commits},
                     {"events", hour.events}});
  }
  return {{"journal", journal.Path()},
          {"manifest", journal.GetManifest()},
          {"bytes", report.bytes},
          {"bytes_per_hour", report.bytes_per_hour},
          {"steps", report.steps},
          {"answers", report.answers},
          {"commits", report.commits},
          {"bodies", report.bodies},
          {"cells", report.cells},
          {"events", report.events},
          {"fallbacks", report.fallbacks},
          {"sessions", sessions},
          {"interventions", interventions},
          {"functions", UsageJson("function", report.functions)},
          {"agents", UsageJson("agent", report.agents)},
          {"files", files},
          {"servers", report.servers},
          {"hours", hours}};
}

struct InspectOptions {
  std::string journal;
  bool json = false;
};

void Inspect(const InspectOptions& options) {
  const std::unique_ptr<journal::Journal> journal = journal::Journal::OpenToRead(options.journal);
  const journal::JournalReport report = journal::Inspect(*journal);
  if (options.json) {
    const auto replace = nlohmann::ordered_json::error_handler_t::replace;
    fmt::print("{}\n", ReportJson(*journal, report).dump(2, ' ', false, replace));
  } else {
    PrintReport(*journal, report);
  }
}

struct ForkOptions {
  app::Simulation simulation;
  std::string journal;
  std::string out;
  std::string at;
  uint64_t seed = 0;
  std::string without;
  bool drop_events = false;
};

// A time of day needs the journal's scenario; a step number does not.
sim::Step ForkStep(const ForkOptions& options, const journal::Journal& original, const CLI::App& command) {
  if (options.at.find(':') == std::string::npos) return app::ParseMoment(options.at, app::Scenario());
  app::Simulation simulation;
  app::FillFromManifest(original, GivenTo(command), simulation);
  return app::ParseMoment(options.at, app::LoadScenario(simulation));
}

// From the fork's first step on, its people's prompts hold these back.
void HoldBack(const ForkOptions& options, const journal::Journal& original, sim::Step at,
              journal::Manifest& manifest) {
  town::ParseHidden("--without", options.without);
  app::Simulation simulation;
  app::FillFromManifest(
      original, [](const std::string&) { return false; }, simulation);
  const app::Scenario scenario = app::LoadScenario(simulation);
  if (scenario.town == nullptr) {
    throw MakeError(ErrorCode::kInvalid, "--without {}: the world is {}, allowed: in a town", options.without,
                    scenario.world->Name());
  }
  std::erase_if(simulation.without, [&](const std::string& change) {
    return std::stoll(change.substr(change.rfind('@') + 1)) >= at;
  });
  simulation.without.push_back(fmt::format("{}@{}", options.without, at));
  manifest["without"] = fmt::format("{}", fmt::join(simulation.without, "\n"));
}

void Fork(ForkOptions& options, const CLI::App& command) {
  const std::unique_ptr<journal::Journal> original = journal::Journal::OpenToRead(options.journal);
  const sim::Step at = ForkStep(options, *original, command);
  journal::Manifest manifest = original->GetManifest();
  if (command.count("--seed") > 0) {
    sim::Seeds seeds = original->GetSeeds();
    std::erase_if(seeds.changes, [&](const sim::SeedChange& change) { return change.from >= at; });
    seeds.changes.push_back({at, options.seed});
    manifest[journal::JournalKeys::kSeed] = sim::FormatSeeds(seeds);
  }
  const std::vector<const CLI::Option*> backend = command.get_options(
      [](const CLI::Option* option) { return option->get_group() != "Options" && option->count() > 0; });
  if (!backend.empty()) {
    app::FillFromManifest(*original, GivenTo(command), options.simulation);
    const std::unique_ptr<llm::Llm> llm = app::MakeBackend(options.simulation);
    manifest.erase("kv_choice");
    manifest.erase("kv_choice_digest");
    const app::Scenario scenario = app::LoadScenario(options.simulation);
    for (auto& [key, value] : app::ManifestOf(options.simulation, scenario, *llm)) manifest[key] = value;
    manifest[journal::JournalKeys::kBackend] = llm->Identity();
  }
  if (!options.without.empty()) HoldBack(options, *original, at, manifest);
  manifest[journal::JournalKeys::kForks] +=
      fmt::format("{} of {}\n", at, journal::LastingPlace(options.journal));
  journal::Journal::CreateFork(options.out, *original, at, std::move(manifest), !options.drop_events);
  fmt::print("fork        {}, of step {}; go on with: throng resume {}\n", options.out, at, options.out);
}

void AddFork(CLI::App& journal) {
  CLI::App* command =
      journal.add_subcommand("fork", "Make a new run that has the same past as this one up to some step");
  const auto options = std::make_shared<ForkOptions>();
  command->add_option("journal", options->journal, "What throng run wrote; it is only read")->required();
  command
      ->add_option("--at", options->at,
                   "First new step, or its time such as 09:30; all agents must have reached it")
      ->required();
  command->add_option("-o,--out", options->out, "Journal of the new run")->required();
  command->add_option("--seed", options->seed, "Another seed for the new steps")->check(Whole());
  command->add_option("--without", options->without,
                      "Of a town: what prompts hold back from then on: observations, reflections, plans or "
                      "relations (several: joined by commas)");
  command->add_flag("--drop-events", options->drop_events,
                    "Leave out the events from outside after that step");
  AddBackendFlags(*command, options->simulation);
  command->footer(
      "throng resume goes on with it: it repeats the past from the answers that were kept, without a model. "
      "With another seed, backend or model the future differs; without, it ends as the original does, with "
      "the "
      "same hash.\n"
      "Examples:\n"
      "  throng journal fork town.journal --at 1000 -o other.journal --seed 7\n"
      "  throng journal fork town.journal --at 1000 -o other.journal -m larger.gguf\n"
      "  throng journal fork town.journal --at 0 -o other.journal --without reflections,plans");
  command->callback([options, command] { Fork(*options, *command); });
}

struct InjectOptions {
  std::string journal;
  std::string what;
  std::string at;
};

void Inject(const InjectOptions& options, const CLI::App& command) {
  app::Simulation simulation;
  app::FillFromManifest(*journal::Journal::OpenToRead(options.journal), GivenTo(command), simulation);
  const app::Scenario scenario = app::LoadScenario(simulation);
  const sim::Step at = options.at.empty() ? 0 : app::ParseMoment(options.at, scenario);
  app::Inject(options.journal, simulation, scenario, options.what, at);
  fmt::print("event       {}, {}\n", options.what,
             at == 0 ? "as soon as possible" : fmt::format("at step {} or as soon after as possible", at));
}

void AddInject(CLI::App& journal) {
  CLI::App* command =
      journal.add_subcommand("inject", "Let something happen in a run that goes on, or is stopped");
  const auto options = std::make_shared<InjectOptions>();
  command->add_option("journal", options->journal, "What throng run writes, or wrote")->required();
  command->add_option("what", options->what, "In the words of the scenario, as after the time in run --event")
      ->required();
  command->add_option("--at", options->at, "Step or time; default: as soon as possible");
  command->footer(
      "It happens at that time, or at the first step that no agent has begun, if that is later. The journal "
      "keeps it, so that resume and forks repeat it.\n"
      "Examples:\n"
      "  throng journal inject town.journal \"announce Radio said: the concert is at the pub at 12:00.\"\n"
      "  throng journal inject town.journal \"arrive Nils at park\" --at 10:00");
  command->callback([options, command] { Inject(*options, *command); });
}

}  // namespace

void AddJournal(CLI::App& app) {
  CLI::App* command = app.add_subcommand("journal", "Show what a journal holds, export it, or fork its run");
  const auto options = std::make_shared<InspectOptions>();
  CLI::Option* file =
      command->add_option("journal", options->journal, "What throng run wrote; it is only read");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->require_subcommand(0, 1);
  AddJournalPrompts(*command);
  AddJournalExport(*command);
  AddJournalDiff(*command);
  AddJournalCite(*command);
  AddFork(*command);
  AddInject(*command);
  command->footer(
      "Shows manifest, sessions, sizes and growth, and calls by function, agent and simulated hour.\n"
      "Example:\n"
      "  throng journal town.journal");
  command->callback([options, command, file] {
    if (!command->get_subcommands().empty()) return;
    if (file->count() == 0) throw CLI::RequiredError("journal");
    Inspect(*options);
  });
}

}  // namespace throng::cli
