// throng paper: measures again what the papers report.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/progress_line.h"
#include "studies/paper_metropolis.h"
#include "studies/paper_report.h"
#include "trace/synth/synth.h"

namespace throng::cli {
namespace {

constexpr int kQuickSeeds = 2;
constexpr uint64_t kFirstSeed = 101;  // the synthesis was not calibrated on days from here on

struct Options {
  int seeds = 5;
  bool quick = false;
  bool json = false;
};

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
    fmt::print("{}\n", studies::PaperJson(rows).dump(2));
  } else {
    studies::PrintPaper(rows);
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
  metropolis->add_flag("--json", options->json, "Print one JSON object");
  metropolis->footer("Example:\n  throng paper metropolis --quick");
  metropolis->callback([options] { RunMetropolis(*options); });
  paper->footer("Example:\n  throng paper metropolis --quick");
}

}  // namespace throng::cli
