// throng interview: what somebody of a journaled run remembers at some moment, and answers.

#include "town/interview.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/data_dir.h"
#include "base/error.h"
#include "cli/commands.h"
#include "cli/local_flags.h"
#include "engine/local_llm.h"
#include "llm/backend_spec.h"
#include "sim/journal.h"

namespace throng::cli {
namespace {

// Conversations and decisions of a step count their calls from 0; a question from outside is far from them.
constexpr uint32_t kInterviewCall = 1u << 30;

struct Options {
  engine::LocalOptions local;
  std::string journal;
  std::string agent;
  std::string at;
  std::string question;
  std::string town;
  std::string llm = "local";
  bool json = false;
};

std::unique_ptr<town::Town> OpenTown(const Options& options, const sim::Journal& journal) {
  std::string dir = options.town;
  const auto stored = journal.GetManifest().find("town");
  if (dir.empty() && stored != journal.GetManifest().end()) dir = stored->second;
  if (dir.empty()) dir = DataDir() + "/town";
  const std::string& text = journal.ManifestValue(sim::JournalKeys::kAgents);
  town::LoadOptions load;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), load.agents);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw MakeError(ErrorCode::kCorrupt, "journal {}: its number of agents is \"{}\"", journal.Path(), text);
  }
  return town::LoadTown(dir, load);
}

sim::Step StepOf(const Options& options, const town::Town& town, const sim::Journal& journal) {
  if (options.at.empty()) return journal.NumSteps();
  if (options.at.find(':') != std::string::npos) return town.StepAt(options.at);
  sim::Step step = 0;
  const char* const last = options.at.data() + options.at.size();
  const auto [end, error] = std::from_chars(options.at.data(), last, step);
  if (error != std::errc() || end != last) {
    throw MakeError(ErrorCode::kInvalid, "--at {}: allowed: a step such as 500, or a time such as 09:30",
                    options.at);
  }
  return step;
}

std::string AskModel(const Options& options, llm::Request request, sim::AgentId agent, sim::Step step) {
  std::unique_ptr<llm::Llm> backend;
  if (options.llm == "local") {
    backend = engine::MakeLocalLlm(options.local);
  } else {
    backend = llm::MakeBackend(options.llm);
  }
  request.key = {.agent = agent, .step = step, .call = kInterviewCall};
  request.priority = step;
  backend->Submit(std::move(request));
  std::vector<llm::Completion> done;
  backend->Wait(done);
  if (done.empty()) throw MakeError(ErrorCode::kUnavailable, "--llm {}: no answer came", options.llm);
  if (done[0].error) throw *done[0].error;
  return done[0].text;
}

void Run(const Options& options) {
  const std::unique_ptr<sim::Journal> journal = sim::Journal::OpenToRead(options.journal);
  const std::unique_ptr<town::Town> town = OpenTown(options, *journal);
  const sim::AgentId agent = town->FindAgent(options.agent);
  const sim::Step step = StepOf(options, *town, *journal);
  const sim::MindPtr mind = town::MindAt(*town, *journal, agent, step);
  if (options.question.empty()) {
    const std::string text = town->DescribeMind(agent, mind, options.json);
    fmt::print("{}{}", text, text.ends_with('\n') ? "" : "\n");
    return;
  }
  const std::string answer =
      AskModel(options, town->Interview(agent, mind, step, options.question), agent, step);
  if (options.json) {
    const nlohmann::ordered_json json = {{"agent", options.agent},
                                         {"step", step},
                                         {"time", town->ClockAt(step)},
                                         {"question", options.question},
                                         {"answer", answer}};
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  } else {
    fmt::print("{}\n", answer);
  }
}

}  // namespace

void AddInterview(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "interview", "Ask somebody of a journaled run of the town, at any moment, or show what they remember");
  const auto options = std::make_shared<Options>();
  command->add_option("journal", options->journal, "Journal of a run; it is only read")->required();
  command->add_option("question", options->question, "Without one: plan and memories are printed");
  command->add_option("--agent", options->agent, "Name, such as Ada")->required();
  command->add_option("--at", options->at,
                      "Step, or time of the first day (09:30); default: as far as the journal goes");
  command
      ->add_option(
          "--llm", options->llm,
          "Who answers: local (the model in this process), or " + std::string("fake, http://HOST:PORT, ..."))
      ->capture_default_str();
  command->add_option("--town", options->town,
                      "Folder of the town; default: the run's, else the built-in one");
  command->add_flag("--json", options->json, "Print one JSON object");
  AddLocalFlags(*command, options->local);
  command->footer(
      "The run is done again up to that moment with the answers of the journal, so no model is called for\n"
      "it; only the question goes to one. The journal stays as it is.\n"
      "Example:\n"
      "  throng interview run.journal --agent Ada --at 10:30 \"Where is the concert?\"");
  command->callback([options] { Run(*options); });
}

}  // namespace throng::cli
