// throng check: says what is wrong with a scenario's folder.

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "town/town.h"

namespace throng::cli {
namespace {

struct Options {
  std::string scenario;
  bool json = false;
};

void PrintJson(const Options& options, const std::vector<town::Problem>& problems) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const town::Problem& problem : problems) {
    nlohmann::ordered_json entry = {{"file", problem.file}};
    if (problem.line > 0) entry["line"] = problem.line;
    if (!problem.at.empty()) entry["at"] = problem.at;
    entry["problem"] = problem.what;
    list.push_back(entry);
  }
  const nlohmann::ordered_json json = {{"scenario", options.scenario}, {"problems", list}};
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void Check(const Options& options) {
  const std::vector<town::Problem> problems = town::CheckTown(options.scenario);
  if (options.json) {
    PrintJson(options, problems);
  } else {
    for (const town::Problem& problem : problems) fmt::print("{}\n", problem.Sentence());
    if (problems.empty()) {
      fmt::print("{}: no problems, {} people\n", options.scenario,
                 town::LoadTown(options.scenario)->NumAgents());
    }
  }
  if (problems.empty()) return;
  throw MakeError(ErrorCode::kInvalid, "{}: {} problem{}", options.scenario, problems.size(),
                  problems.size() == 1 ? "" : "s");
}

}  // namespace

void AddCheck(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("check", "List all that is wrong with the files of a scenario's folder");
  const auto options = std::make_shared<Options>();
  command->add_option("scenario", options->scenario, "Folder like the built-in town/")->required();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Checks all files at once: keys and values, names that other files must know, places that nobody can "
      "reach "
      "or choose, placeholders of prompts, schemas of answers, encodings. Each problem is a line: the file, "
      "the "
      "place in it, what was found and what is allowed. The exit code is 1 if there is any. throng run "
      "--scenario "
      "makes the same check.\n"
      "Examples:\n"
      "  throng check mytown\n"
      "  throng check mytown --json | jq -r '.problems[].at'");
  command->callback([options] { Check(*options); });
}

}  // namespace throng::cli
