// throng check: says what is wrong with a scenario's folder.

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <string>

#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/problem_list.h"
#include "town/town.h"

namespace throng::cli {
namespace {

struct Options {
  std::string scenario;
  bool json = false;
};

void Check(const Options& options) {
  ReportProblems(town::CheckTown(options.scenario), options.scenario,
                 {.key = "scenario", .json = options.json, .most = SIZE_MAX});
  if (options.json) return;
  fmt::print("{}: no problems, {} people\n", options.scenario, town::LoadTown(options.scenario)->NumAgents());
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
