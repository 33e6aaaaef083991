// throng interview: asks a person of a journaled run at some moment what they remember.

#include "town/mind/interview.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/backend.h"
#include "app/record/interventions.h"
#include "app/record/manifest.h"
#include "app/scenario.h"
#include "base/error.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/run_flags.h"

namespace throng::cli {
namespace {

// Calls of a step are numbered from 0; a question from outside is numbered far from them.
constexpr uint32_t kInterviewCall = 1u << 30;

struct Options {
  app::Simulation simulation;
  bool json = false;
  std::string journal;
  std::string agent;
  std::string at;
  std::string question;
};

std::string AskModel(const app::Simulation& simulation, llm::Request request, sim::AgentId agent,
                     sim::Step step) {
  const std::unique_ptr<llm::Llm> backend =
      app::WithAttempts(simulation.limits, app::MakeBackend(simulation));
  request.key = {.agent = agent, .step = step, .call = kInterviewCall};
  request.priority = step;
  backend->Submit(std::move(request));
  std::vector<llm::Completion> done;
  backend->Wait(done);
  if (done.empty()) throw MakeError(ErrorCode::kUnavailable, "--llm {}: no answer came", simulation.llm);
  if (done[0].error) throw *done[0].error;
  return done[0].text;
}

void Interview(Options& options, const CLI::App& command) {
  const std::unique_ptr<journal::Journal> journal = journal::Journal::OpenToRead(options.journal);
  app::FillFromManifest(*journal, GivenTo(command), options.simulation);
  const app::Scenario scenario = app::LoadScenario(options.simulation);
  const town::Town* town = scenario.town;
  if (town == nullptr) {
    throw MakeError(ErrorCode::kInvalid, "journal {}: its world is {}, allowed: a town", options.journal,
                    scenario.world->Name());
  }
  const sim::AgentId agent = town->FindAgent(options.agent);
  const sim::Step step = options.at.empty() ? journal->NumSteps() : app::ParseMoment(options.at, scenario);
  const sim::MindPtr mind = town::MindAt(*town, *journal, agent, step);
  if (options.question.empty()) {
    const std::string text = town->DescribeMind(agent, mind, options.json);
    fmt::print("{}{}", text, text.ends_with('\n') ? "" : "\n");
    return;
  }
  llm::Request request = town->Interview(agent, mind, step, options.question);
  const std::string answer = AskModel(options.simulation, std::move(request), agent, step);
  if (!options.json) {
    fmt::print("{}\n", answer);
    return;
  }
  const nlohmann::ordered_json json = {{"agent", options.agent},
                                       {"step", step},
                                       {"time", town->ClockAt(step)},
                                       {"question", options.question},
                                       {"answer", answer}};
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace

void AddInterview(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "interview", "Ask somebody of a journaled run, at any moment, or show what they remember");
  const auto options = std::make_shared<Options>();
  command->add_option("journal", options->journal, "Journal of a run; it is only read")->required();
  command->add_option("question", options->question, "Default: print plan and memories");
  command->add_option("--agent", options->agent, "Name, such as Ada")->required();
  command->add_option("--at", options->at,
                      "Step, or time of the first day (09:30); default: as far as the journal goes");
  command->add_option("--scenario", options->simulation.scenario,
                      "Folder of the town, if it was moved since");
  command->add_flag("--json", options->json, "Print one JSON object");
  AddBackendFlags(*command, options->simulation);
  command->footer(
      "The run is repeated up to that moment from the answers of the journal; only the question goes to a "
      "model, "
      "that of the run unless a flag says otherwise.\n"
      "Example:\n"
      "  throng interview run.journal --agent Ada --at 10:30 \"Where is the concert?\"");
  command->callback([options, command] { Interview(*options, *command); });
}

}  // namespace throng::cli
