// throng interview: asks people of journaled runs at some moment what they remember.

#include "town/mind/interview.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/backend.h"
#include "app/embedder.h"
#include "app/record/interventions.h"
#include "app/record/manifest.h"
#include "app/scenario.h"
#include "base/error.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/run_flags.h"
#include "cli/questionnaire.h"
#include "sim/find_agent.h"

namespace throng::cli {
namespace {

struct Options {
  app::Simulation simulation;
  bool json = false;
  std::string journal;
  std::vector<std::string> agents;
  std::vector<std::string> moments;
  std::string question;
  Questionnaire questionnaire;  // if it has questions
};

void Interview(Options& options, const CLI::App& command) {
  if (options.agents.size() != 1) {
    throw MakeError(ErrorCode::kInvalid, "--agent: found {} names, allowed: one, or many with --questions",
                    options.agents.size());
  }
  if (options.moments.size() > 1) {
    throw MakeError(ErrorCode::kInvalid, "--at: found {} moments, allowed: one, or many with --questions",
                    options.moments.size());
  }
  const std::unique_ptr<journal::Journal> journal = journal::Journal::OpenToRead(options.journal);
  app::Simulation& simulation = options.simulation;
  const app::Scenario scenario = LoadRun(*journal, GivenTo(command), simulation);
  const town::Town* town = scenario.town;
  if (town == nullptr) {
    throw MakeError(ErrorCode::kInvalid, "journal {}: its world is {}, allowed: a town", options.journal,
                    scenario.world->Name());
  }
  const sim::AgentId agent = sim::FindAgent("--agent", options.agents[0], sim::AgentsOf(*town));
  const sim::Step step =
      options.moments.empty() ? journal->NumSteps() : app::ParseMoment(options.moments[0], scenario);
  const sim::MindPtr mind = town::MindsAt(*town, *journal, step)[agent];
  if (options.question.empty()) {
    const std::string text = town->DescribeMind(agent, mind, options.json);
    fmt::print("{}{}", text, text.ends_with('\n') ? "" : "\n");
    return;
  }
  std::unique_ptr<llm::Llm> llm = app::MakeBackend(simulation);
  const town::EmbedNow embed = app::EmbedNowBy(app::MakeEmbedder(simulation, *llm));
  llm::Request request = town->Interview(agent, mind, step, options.question, {}, embed);
  request.key = {.agent = agent, .step = step};
  const std::string answer =
      AskBackend(simulation.limits, simulation.llm, std::move(llm), {std::move(request)})[0];
  if (!options.json) {
    fmt::print("{}\n", answer);
    return;
  }
  const nlohmann::ordered_json json = {{"agent", town->AgentName(agent)},
                                       {"step", step},
                                       {"time", town->ClockAt(step)},
                                       {"question", options.question},
                                       {"answer", answer}};
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void Ask(Options& options, const CLI::App& command) {
  if (options.questionnaire.questions.empty()) {
    Interview(options, command);
    return;
  }
  options.questionnaire.journals.insert(options.questionnaire.journals.begin(), options.journal);
  options.questionnaire.agents = options.agents;
  options.questionnaire.moments = options.moments;
  options.questionnaire.json = options.json;
  AskQuestionnaire(options.questionnaire, options.simulation, GivenTo(command));
}

void AddQuestionnaireFlags(CLI::App& command, Questionnaire& questionnaire) {
  constexpr const char* kGroup = "Many questions";
  CLI::Option* questions = command
                               .add_option("--questions", questionnaire.questions,
                                           "File of questions, such as town/questions.json")
                               ->group(kGroup);
  command
      .add_option("--also", questionnaire.journals,
                  "Another run, such as one of another seed; may be repeated")
      ->group(kGroup)
      ->allow_extra_args(false)
      ->needs(questions);
  command
      .add_option("--without", questionnaire.without,
                  "Ask once more without observations, reflections, plans or relations (several: joined by "
                  "commas); may be repeated")
      ->group(kGroup)
      ->allow_extra_args(false)
      ->needs(questions);
  command
      .add_option("--judge", questionnaire.judge, "Backend that scores each answer from 1 to 5, as for --llm")
      ->group(kGroup)
      ->needs(questions);
  command.add_flag("--csv", questionnaire.csv, "Print the answers as CSV")->group(kGroup)->needs(questions);
}

}  // namespace

void AddInterview(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "interview", "Ask somebody of a journaled run, at any moment, or show what they remember");
  const auto options = std::make_shared<Options>();
  command->add_option("journal", options->journal, "Journal of a run; it is only read")->required();
  command->add_option("question", options->question, "Default: print plan and memories");
  command
      ->add_option("--agent", options->agents,
                   "Name, such as Ada, or number; may be repeated with --questions, default: all")
      ->allow_extra_args(false);
  command
      ->add_option("--at", options->moments,
                   "Step, or time of the first day (09:30); default: as far as the journal goes; with "
                   "--questions it may be repeated")
      ->allow_extra_args(false);
  command->add_option("--scenario", options->simulation.scenario,
                      "Folder of the town, if it was moved since");
  command->add_flag("--json", options->json, "Print one JSON object");
  AddQuestionnaireFlags(*command, options->questionnaire);
  AddBackendFlags(*command, options->simulation);
  command->footer(
      "The run is repeated up to that moment from the answers of the journal; only the question goes to a "
      "model, "
      "that of the run unless a flag says otherwise. What people recall for it, they recall as in the run, "
      "or by the embeddings of --embed.\n"
      "With --judge, scores are means by category of question, and with --also their 95 % intervals over "
      "runs (Student's t), and the differences from the first row by pairs of runs of one seed. Forks made "
      "with --without are rows of their own.\n"
      "Examples:\n"
      "  throng interview run.journal --agent Ada --at 10:30 \"Where is the concert?\"\n"
      "  throng interview run.journal --questions town/questions.json --at 09:00 --at 12:00 --csv\n"
      "  throng interview 1.journal --also 2.journal --questions town/questions.json --without reflections "
      "--without reflections,plans --judge http://localhost:8000");
  command->callback([options, command] { Ask(*options, *command); });
}

}  // namespace throng::cli
