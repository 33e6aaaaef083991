#include "cli/run_and_report.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "app/backend.h"
#include "app/record/report.h"
#include "app/run.h"
#include "base/error.h"
#include "cli/flags/local_flags.h"
#include "cli/progress_line.h"
#include "journal/store/place.h"

namespace throng::cli {

namespace {

constexpr int kFailuresShown = 10;

std::optional<sim::Step> SnapshotEvery(const app::Simulation& simulation) {
  if (simulation.snapshot_every == app::Simulation::kAutomatic) return std::nullopt;
  return simulation.snapshot_every;
}

// Prints a line for each of the first kFailuresShown failures; the journal has all of them.
std::function<void(const std::string&)> ReportFailures(ProgressLine& line) {
  return [&line, shown = 0](const std::string& failure) mutable {
    if (++shown > kFailuresShown) return;
    line.Clear();
    fmt::print(stderr, "fallback: {}{}\n", failure, shown == kFailuresShown ? " (more are not shown)" : "");
  };
}

}  // namespace

void RunAndReport(const app::Simulation& simulation, const OutputFlags& output, const app::Scenario& scenario,
                  sim::RunOptions options, llm::Llm& backend, std::shared_ptr<effects::Embedder> embedder,
                  journal::Journal* journal) {
  if (scenario.town == nullptr && app::LocalOf(backend) != nullptr) WarnOfEmbeddedModel(simulation.local);
  ProgressLine line(output.quiet);
  if (!output.quiet) {
    options.progress_interval_s = line.IntervalSeconds();
    options.on_progress = [&](const sim::Progress& progress) {
      line.Show(app::DescribeProgress(progress, scenario, options.steps, backend.GetStats()));
    };
    options.on_fall_back = ReportFailures(line);
  }
  const auto with_remedy = [journal](const Error& error) {
    if (journal == nullptr) return std::string(error.what());
    const char* quote = journal::IsPostgres(journal->Path()) ? "\"" : "";
    return fmt::format("{} (what is done is kept: throng resume {}{}{})", error.what(), quote,
                       journal->Path(), quote);
  };
  const auto on_wait = [&](const std::string& waits) {
    if (output.quiet) return;
    line.Clear();
    fmt::print(stderr, "waiting: {}\n", waits);
  };
  app::RunOutcome outcome;
  try {
    outcome = app::Run(*scenario.world, backend, options,
                       {.limits = simulation.limits,
                        .journal = journal,
                        .snapshot_every = SnapshotEvery(simulation),
                        .on_wait = on_wait,
                        .on_warning = {},
                        .wrap = {},
                        .embedder = std::move(embedder)});
  } catch (const app::Stopped& stopped) {
    line.Clear();
    throw app::Stopped(stopped.Code(), with_remedy(stopped));
  } catch (const Error& error) {
    line.Clear();
    throw Error(error.Code(), with_remedy(error));
  }
  line.Clear();
  const app::FinishedRun run{simulation, scenario, options, outcome, backend, journal};
  if (output.json) {
    fmt::print("{}\n", app::ReportJson(run).dump(2));
  } else {
    fmt::print("{}", app::Summary(run));
  }
}

}  // namespace throng::cli
