#include "sim/run/verify.h"

#include "base/error.h"
#include "sim/run/recorded_llm.h"

namespace throng::sim {

std::vector<VerifyRun> StandardRuns(int shuffled) {
  std::vector<VerifyRun> runs;
  for (const Mode mode : kModes) runs.push_back({ModeName(mode), mode, {}});
  for (int i = 1; i <= shuffled; ++i) {
    const auto seed = static_cast<uint64_t>(i);
    for (const Mode mode : {Mode::kOutOfOrder, Mode::kSpeculative}) {
      runs.push_back({fmt::format("{}, shuffled {}", ModeName(mode), i), mode, seed});
    }
  }
  return runs;
}

VerifyReport Verify(const std::function<std::unique_ptr<World>()>& make_world,
                    const std::function<std::shared_ptr<llm::Llm>(const VerifyRun&)>& make_llm,
                    const std::vector<VerifyRun>& runs, const RunOptions& options, Recording& recording) {
  VerifyReport report;
  for (const VerifyRun& run : runs) {
    const bool is_first = report.runs.empty();
    const std::unique_ptr<World> world = make_world();
    const std::shared_ptr<llm::Llm> llm = make_llm(run);
    Recording own;
    Recorder recorder(*world, is_first ? recording : own, is_first ? nullptr : &recording);
    RunOptions run_options = options;
    run_options.mode = run.mode;
    run_options.observers.push_back(&recorder);
    report.runs.push_back({run, RunWorld(*world, *llm, run_options)});
    if (is_first) continue;
    if (report.runs.back().result.hash == report.runs.front().result.hash &&
        own.Scenario() == recording.Scenario()) {
      continue;
    }
    report.difference = Compare(*world, report.runs.front().run.name, recording, run.name, own);
    if (report.difference) break;
  }
  return report;
}

RepeatReport Repeat(const World& world, const Recording& first, const std::string& name,
                    const RunOptions& options) {
  const std::string first_name = "the first run";
  Recording own;
  Recorder recorder(world, own, &first, /*strict=*/true);
  RepeatReport report;
  report.difference = CompareStart(world, first_name, first, name, own);
  if (report.difference) return report;
  RecordedLlm llm(first, nullptr);
  RunOptions run_options = options;
  run_options.mode = Mode::kSingle;
  run_options.observers.push_back(&recorder);
  try {
    report.result = RunWorld(world, llm, run_options);
  } catch (const Error& error) {
    if (recorder.EndedAt()) {
      report.difference = CompareAt(world, first_name, first, name, own, *recorder.EndedAt());
    } else {
      const std::string what = fmt::format("{} ends early: {}", name, error.what());
      report.difference = Difference{what, what};
    }
    return report;
  }
  report.difference = Compare(world, first_name, first, name, own);
  return report;
}

}  // namespace throng::sim
