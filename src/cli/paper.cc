// throng paper: what the papers report, measured again.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/progress_line.h"
#include "studies/paper_metropolis.h"
#include "trace/synth.h"

namespace throng::cli {
namespace {

constexpr int kQuickSeeds = 2;
constexpr uint64_t kFirstSeed = 101;  // the first days on which the synthesis was not calibrated

struct Options {
  int seeds = 5;
  bool quick = false;
  bool json = false;
};

std::string Value(double value, const std::string& unit) {
  return unit == "%" ? fmt::format("{:.1f} %", value) : fmt::format("{:.2f}{}", value, unit);
}

// Markdown, so that it can go into a document as it is.
void PrintTable(const std::vector<studies::PaperRow>& rows) {
  const auto line = [](const auto&... cells) {
    fmt::print("| {:<54} | {:<35} | {:>7} | {:>8} | {:>19} |\n", cells...);
  };
  line("setting", "measure", "paper", "measured", "range");
  fmt::print("|---|---|--:|--:|--:|\n");
  std::string setting;
  for (const studies::PaperRow& row : rows) {
    const auto [least, most] = std::minmax_element(row.values.begin(), row.values.end());
    line(row.setting == setting ? "" : row.setting, row.measure, row.paper ? Value(*row.paper, row.unit) : "",
         Value(row.Median(), row.unit), Value(*least, row.unit) + " - " + Value(*most, row.unit));
    setting = row.setting;
  }
}

void PrintJson(const std::vector<studies::PaperRow>& rows) {
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const studies::PaperRow& row : rows) {
    nlohmann::ordered_json json = {{"setting", row.setting}, {"measure", row.measure}, {"unit", row.unit}};
    json["paper"] = row.paper ? nlohmann::ordered_json(*row.paper) : nlohmann::ordered_json();
    json["median"] = row.Median();
    json["values"] = row.values;
    results.push_back(std::move(json));
  }
  fmt::print("{}\n", nlohmann::ordered_json{{"results", results}}.dump(2));
}

void RunMetropolis(const Options& options) {
  studies::PaperFlags flags;
  flags.seeds = options.quick ? kQuickSeeds : options.seeds;
  ProgressLine line(/*quiet=*/false);
  flags.on_progress = [&](const std::string& text) { line.ShowRarely(text); };
  flags.make_day = [](int agents, int seed) {
    return trace::SynthesizeDay(agents, kFirstSeed + static_cast<uint64_t>(seed));
  };
  const std::vector<studies::PaperRow> rows = studies::MeasureMetropolis(flags);
  line.Clear();
  if (options.json) {
    PrintJson(rows);
  } else {
    PrintTable(rows);
  }
}

}  // namespace

void AddPaper(CLI::App& app) {
  CLI::App* paper = app.add_subcommand("paper", "Measure again what the papers report");
  paper->require_subcommand(1);
  const auto options = std::make_shared<Options>();
  CLI::App* metropolis = paper->add_subcommand(
      "metropolis",
      "AI Metropolis: out-of-order execution against the other modes, on synthetic days and "
      "modelled servers (docs/paper-metropolis.md); takes minutes");
  CLI::Option* seeds =
      metropolis->add_option("--seeds", options->seeds, "Days of each workload; medians are over them")
          ->capture_default_str()
          ->check(CLI::Range(1, 1000));
  metropolis->add_flag("--quick", options->quick, fmt::format("{} seeds", kQuickSeeds))->excludes(seeds);
  metropolis->add_flag("--json", options->json, "Results as JSON");
  metropolis->footer("Example:\n  throng paper metropolis --quick");
  metropolis->callback([options] { RunMetropolis(*options); });
}

}  // namespace throng::cli
