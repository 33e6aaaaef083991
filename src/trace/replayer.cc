#include "trace/replayer.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/error.h"
#include "llm/backends/backend_spec.h"
#include "llm/backends/fake.h"
#include "llm/backends/http.h"
#include "llm/decorators/retry.h"
#include "trace/oracle.h"
#include "trace/trace_world.h"

namespace throng::trace {
namespace {

double TokensOf(const llm::Request& request) {
  return static_cast<double>(request.known_prompt_tokens) + request.known_output_tokens;
}

// Servers, and what is to be read of them after a run; `backend` owns the rest.
struct Servers {
  std::unique_ptr<llm::Llm> backend;
  const FillerLlm* filler = nullptr;
  const llm::HttpLlm* http = nullptr;
};

// They have answered before, so that no mode begins with questions to them.
Servers MakeServers(const Replayer::RunFlags& flags) {
  auto http = std::make_unique<llm::HttpLlm>(llm::HttpOptions::ParseList(flags.llm));
  llm::Request first;
  first.prompt = flags.words->Text(0, 0, 0, 0);
  first.max_tokens = first.known_output_tokens = 1;
  http->Submit(std::move(first));
  std::vector<llm::Completion> done;
  while (done.empty()) http->Wait(done);
  Servers servers;
  servers.http = http.get();
  auto filler = std::make_unique<FillerLlm>(
      std::move(http), *flags.words,
      FillerLlm::Options{flags.shared_prefix, std::random_device()(), flags.on_answer});
  servers.filler = filler.get();
  llm::RetryOptions retry;
  retry.on_wait = flags.on_wait;
  servers.backend = std::make_unique<llm::RetryLlm>(std::move(filler), std::move(retry));
  return servers;
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
                  "--llm {}: a trace has no prompts, so this needs a backend in virtual time; allowed: {}",
                  spec, llm::VirtualBackendForms());
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

// Each call takes the time that it takes alone.
std::unique_ptr<llm::Llm> Replayer::CriticalBackend(const RunFlags& flags) const {
  if (flags.words == nullptr)
    return std::make_unique<llm::FakeLlm>(llm::CostAlone(MakeVirtualBackend(flags.llm)));
  if (alone_s_.empty()) {
    throw MakeError(ErrorCode::kInvalid,
                    "mode {}: on a server it takes the times of calls from mode single, which must run first",
                    kCritical);
  }
  return std::make_unique<llm::FakeLlm>(
      [this](const llm::Request& request) { return alone_s_.at(request.key); });
}

ReplayRow Replayer::Run(const std::string& mode, const RunFlags& flags) {
  if (std::find(ReplayModes().begin(), ReplayModes().end(), mode) == ReplayModes().end()) {
    throw MakeError(ErrorCode::kInvalid, "mode {}: allowed: {}", mode, fmt::join(ReplayModes(), " "));
  }
  ReplayRow row;
  row.mode = mode;
  const bool asks_server = flags.words != nullptr && mode != kCritical;
  const bool takes_times = asks_server && mode == sim::ModeName(sim::Mode::kSingle);
  Servers servers;
  std::unique_ptr<llm::Llm> backend;
  if (mode == kCritical) {
    backend = CriticalBackend(flags);
    llm::FakeLlm token_clock(TokensOf);
    row.critical_tokens = RunOracle(trace_, Dependencies(), token_clock).backend_s;
  } else if (asks_server) {
    servers = MakeServers(flags);
    backend = std::move(servers.backend);
  } else {
    backend = MakeVirtualBackend(flags.llm);
  }
  llm::CallLog log(std::move(backend), flags.keep_spans || takes_times);
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
  if (asks_server) {
    row.servers = servers.http->Servers();
    row.differences = servers.filler->Differences();
  }
  if (takes_times) {
    for (const llm::CallSpan& span : row.spans) alone_s_[span.key] = span.answered_s - span.asked_s;
  }
  if (!flags.keep_spans) row.spans.clear();
  return row;
}

}  // namespace throng::trace
