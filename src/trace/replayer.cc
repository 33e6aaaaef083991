#include "trace/replayer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "llm/backends/backend_spec.h"
#include "llm/backends/fake.h"
#include "trace/oracle.h"
#include "trace/trace_world.h"

namespace throng::trace {
namespace {

double TokensOf(const llm::Request& request) {
  return static_cast<double>(request.known_prompt_tokens) + request.known_output_tokens;
}

}  // namespace

const std::vector<std::string>& ReplayModes() {
  static const std::vector<std::string> modes = [] {
    std::vector<std::string> names = sim::ModeNames();
    names.insert(names.end(), {kOracle, kCritical, kNoDependency});
    return names;
  }();
  return modes;
}

std::unique_ptr<llm::Llm> MakeVirtualBackend(const std::string& spec) {
  if (llm::IsVirtualBackend(spec)) return llm::MakeBackend(spec);
  throw MakeError(ErrorCode::kInvalid,
                  "--llm {}: a trace has no prompts, so a replay runs in virtual time; allowed: {}", spec,
                  llm::VirtualBackendForms());
}

Replayer::Replayer(Trace trace, int radius, sim::Step steps)
    : trace_(std::move(trace)),
      radius_(radius < 0 ? trace_.radius_p : radius),
      steps_(steps == 0 ? trace_.num_steps : steps) {
  if (steps_ > trace_.num_steps) {
    throw MakeError(ErrorCode::kInvalid, "--steps {}: {} has {}", steps_, trace_.name, trace_.num_steps);
  }
  world_ = MakeTraceWorld(trace_, radius_);
}

const TrueDependencies& Replayer::Dependencies() {
  if (!dependencies_) dependencies_ = std::make_unique<TrueDependencies>(trace_, radius_, steps_);
  return *dependencies_;
}

void Replayer::RunWorld(const RunFlags& flags, llm::Llm& llm, ReplayRow& row) {
  sim::RunOptions run;
  run.mode = sim::ParseMode(row.mode);
  run.steps = steps_;
  run.coupling = flags.coupling;
  run.dispatch = flags.dispatch;
  run.on_progress = flags.on_progress;
  run.progress_interval_s = flags.progress_interval_s;
  const sim::RunResult result = sim::RunWorld(*world_, llm, run);
  row.stats = result.stats;
  row.hash = result.hash;
  if (!first_) {
    first_ = row;
  } else if (row.hash != first_->hash) {
    throw MakeError(ErrorCode::kCorrupt, "{}: mode {} left another state than {}", trace_.name, row.mode,
                    first_->mode);
  }
}

ReplayRow Replayer::Run(const std::string& mode, const RunFlags& flags) {
  if (std::find(ReplayModes().begin(), ReplayModes().end(), mode) == ReplayModes().end()) {
    throw MakeError(ErrorCode::kInvalid, "mode {}: allowed: {}", mode, fmt::join(ReplayModes(), " "));
  }
  ReplayRow row;
  row.mode = mode;
  std::unique_ptr<llm::Llm> backend = MakeVirtualBackend(flags.llm);
  if (mode == kCritical) {
    backend = std::make_unique<llm::FakeLlm>(llm::CostAlone(std::move(backend)));
    llm::FakeLlm token_clock(TokensOf);
    row.critical_tokens = RunOracle(trace_, Dependencies(), token_clock).backend_s;
  }
  llm::CallLog log(std::move(backend), flags.keep_spans);
  if (mode == kOracle || mode == kCritical) {
    row.stats = RunOracle(trace_, Dependencies(), log, mode == kOracle ? flags.dispatch.pool : 0);
  } else if (mode == kNoDependency) {
    row.stats = RunWithoutDependencies(trace_, steps_, log);
  } else {
    RunWorld(flags, log, row);
  }
  row.scheduler_s = row.stats.wall_s - log.WallSeconds();
  row.spans = log.TakeSpans();
  row.functions = log.Functions();
  return row;
}

}  // namespace throng::trace
