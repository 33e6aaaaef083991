// throng import: makes a scenario's folder of what other programs wrote.

#include "town/import/import.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/data_dir.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/problem_list.h"
#include "town/import/generative_agents.h"
#include "town/import/people.h"
#include "town/import/tiled.h"

namespace throng::cli {
namespace {

constexpr size_t kShownNames = 12;
constexpr size_t kShownProblems = 50;

struct Options {
  town::ImportOptions import;
  bool json = false;
};

void PrintNames(const char* title, const town::ImportReport::Names& kinds) {
  if (!kinds.empty()) fmt::print("{}:\n", title);
  for (const auto& [kind, names] : kinds) {
    size_t count = 0;
    std::string shown;
    size_t i = 0;
    for (const auto& [name, times] : names) {
      count += times;
      if (++i > kShownNames) continue;
      shown += fmt::format("{}{}{}", i == 1 ? "" : ", ", name.empty() ? "(no name)" : name,
                           times == 1 ? "" : fmt::format(" ({})", times));
    }
    if (i > kShownNames) shown += fmt::format(" and {} more", i - kShownNames);
    fmt::print("  {} {}: {}\n", count, kind, shown);
  }
}

void PrintJson(const Options& options, const town::ImportReport& report) {
  nlohmann::ordered_json json = {{"form", report.form},     {"scenario", options.import.out},
                                 {"people", report.people}, {"places", report.places},
                                 {"homes", report.homes},   {"memories", report.memories}};
  json["left_out"] = report.Dropped();
  json["changed"] = report.Changed();
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

// A single problem is the error's sentence; of more, the list says all.
town::ImportReport ImportOrList(const Options& options) {
  try {
    return town::Import(options.import, DataDir() + "/town");
  } catch (const town::ProblemsError& error) {
    if (error.All().size() == 1 && !options.json) throw;
    ReportProblems(error.All(), options.import.source,
                   {.key = "source", .json = options.json, .most = kShownProblems});
    throw;
  }
}

void Import(const Options& options) {
  const town::ImportReport report = ImportOrList(options);
  if (options.json) {
    PrintJson(options, report);
    return;
  }
  fmt::print("{}: {} people, {} places, {} homes, {} memories\n", report.form, report.people, report.places,
             report.homes, report.memories);
  PrintNames("left out", report.Dropped());
  PrintNames("changed", report.Changed());
  if (report.descriptions + report.memories > 0) {
    fmt::print(
        "Prompts hold descriptions and memories, the embedded model 1024 tokens: take another one (-m or "
        "--llm) "
        "if it says that they are too many.\n");
  }
  fmt::print("throng run --scenario {}\n", options.import.out);
}

}  // namespace

void AddImport(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "import", "Make a scenario's folder of a saved simulation, a map or a table of people");
  const auto options = std::make_shared<Options>();
  command
      ->add_option("source", options->import.source, "A folder or a file; its form is told from its content")
      ->required();
  command->add_option("-o,--out", options->import.out, "The new folder")->required();
  command->add_option("--people", options->import.people,
                      "For a map: a table of people; default: those of the built-in town");
  command->add_option("--maze", options->import.maze,
                      "For Generative Agents: the map's folder matrix; default: found beside the simulation");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(fmt::format(
      "What a source does not have is that of the built-in town. Whatever is left out or changed is "
      "listed; so are all problems of a source that is refused.\n\n"
      "Generative Agents (environment/frontend_server/storage/SIMULATION):\n{}\n"
      "Tiled (.tmj, .json):\n{}\n"
      "People (.csv, .tsv, .json), columns:\n{}\n"
      "OASIS profiles (Reddit's .json, Twitter's .csv):\n{}\n"
      "Examples:\n"
      "  throng import generative_agents/environment/frontend_server/storage/base_the_ville_n25 -o ville\n"
      "  throng import village.tmj --people people.csv -o village && throng run --scenario village\n"
      "  throng import people.csv -o mytown && throng check mytown",
      town::kGenerativeAgentsFields, town::kTiledParts, town::kPeopleColumns, town::kOasisColumns));
  command->callback([options] { Import(*options); });
}

}  // namespace throng::cli
