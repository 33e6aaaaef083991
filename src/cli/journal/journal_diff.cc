// throng journal diff: where two runs part. throng journal cite: what a paper says of a run.

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "app/record/citation.h"
#include "app/record/manifest.h"
#include "base/error.h"
#include "cli/cli11.h"
#include "cli/journal/journal_commands.h"
#include "journal/read/compare.h"
#include "journal/store/clock.h"

namespace throng::cli {

namespace {

using Json = nlohmann::ordered_json;

struct DiffOptions {
  std::string a;
  std::string b;
  bool json = false;
};

// Values of the manifests that differ and may explain why the runs do.
Json DifferentValues(const journal::Journal& a, const journal::Journal& b) {
  using Keys = journal::JournalKeys;
  Json values = Json::object();
  const auto value = [](const journal::Journal& journal, const char* key) {
    const auto found = journal.GetManifest().find(key);
    return found == journal.GetManifest().end() ? std::string() : found->second;
  };
  using WorldKeys = app::ForeignWorldKeys;
  for (const char* key : {Keys::kWorld, Keys::kScenario, Keys::kAgents, Keys::kSteps, Keys::kSeed,
                          Keys::kBackend, Keys::kCoupling, Keys::kProgram, Keys::kCommit, WorldKeys::kClass,
                          WorldKeys::kParameters, WorldKeys::kSourceDigest}) {
    if (value(a, key) != value(b, key)) values[key] = {value(a, key), value(b, key)};
  }
  return values;
}

std::string Where(const journal::Journal& journal, const journal::Difference& difference) {
  std::string where = "before the first step";
  if (difference.step >= 0) {
    const std::string clock = journal::ClockAt(journal, difference.step);
    where = fmt::format("step {}{}", difference.step, clock.empty() ? "" : " (" + clock + ")");
  }
  if (difference.agent.has_value()) {
    where += fmt::format(", agent {} ({})", *difference.agent, difference.agent_name);
  }
  return where;
}

void Diff(const DiffOptions& options) {
  const std::unique_ptr<journal::Journal> a = journal::Journal::OpenToRead(options.a);
  const std::unique_ptr<journal::Journal> b = journal::Journal::OpenToRead(options.b);
  const std::optional<journal::Difference> difference = journal::FindDifference(*a, *b);
  const sim::Step steps_a = a->NumSteps();
  const sim::Step steps_b = b->NumSteps();
  const Json values = DifferentValues(*a, *b);
  if (options.json) {
    Json json = {{"equal", !difference.has_value() && steps_a == steps_b},
                 {"steps", {steps_a, steps_b}},
                 {"manifest", values},
                 {"difference", nullptr}};
    if (difference.has_value()) {
      json["difference"] = {{"step", difference->step},
                            {"agent", difference->agent ? Json(*difference->agent) : Json()},
                            {"name", difference->agent_name},
                            {"what", difference->what},
                            {"a", difference->a},
                            {"b", difference->b}};
    }
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    for (const auto& [key, both] : values.items()) {
      fmt::print("{}: {} and {}\n", key, both[0].get<std::string>(), both[1].get<std::string>());
    }
    if (difference.has_value()) {
      fmt::print("{}: {}\nA: {}\nB: {}\n", Where(*a, *difference), difference->what, difference->a,
                 difference->b);
    } else if (steps_a == steps_b) {
      fmt::print("equal in all {} steps\n", steps_a);
    }
  }
  if (difference.has_value()) {
    throw MakeError(ErrorCode::kInvalid, "journal diff: {} and {} differ at {}", options.a, options.b,
                    Where(*a, *difference));
  }
  if (steps_a != steps_b) {
    throw MakeError(ErrorCode::kInvalid, "journal diff: {} and {} are equal up to step {}, where {} ends",
                    options.a, options.b, std::min(steps_a, steps_b),
                    steps_a < steps_b ? options.a : options.b);
  }
}

}  // namespace

void AddJournalDiff(CLI::App& journal) {
  CLI::App* command = journal.add_subcommand(
      "diff", "Say at which step and agent two runs part, and in what; exit code 1 if so");
  const auto options = std::make_shared<DiffOptions>();
  command->add_option("a", options->a, "A journal")->required();
  command->add_option("b", options->b, "Another")->required();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Compares what happened: calls, answers, events, positions, cells, minds; not when, nor by what.\n"
      "Example:\n"
      "  throng journal diff town.journal other.journal");
  command->callback([options] { Diff(*options); });
}

void AddJournalCite(CLI::App& journal) {
  CLI::App* command = journal.add_subcommand("cite", "Print what a paper needs to say of a run");
  const auto path = std::make_shared<std::string>();
  command->add_option("journal", *path, "What throng run wrote; it is only read")->required();
  command->footer("Example:\n  throng journal cite town.journal");
  command->callback([path] { fmt::print("{}", app::Cite(*journal::Journal::OpenToRead(*path))); });
}

}  // namespace throng::cli
