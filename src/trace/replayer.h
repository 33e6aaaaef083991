// Replays a recorded day in each mode against models of servers in virtual time: the measurements of `throng
// replay` and `throng paper metropolis`.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "llm/decorators/call_log.h"
#include "llm/llm.h"
#include "sim/run/run.h"
#include "sim/world.h"
#include "trace/trace.h"
#include "trace/true_dependencies.h"

namespace throng::trace {

inline constexpr const char* kOracle = "oracle";               // constrained by true dependencies alone
inline constexpr const char* kCritical = "critical";           // the oracle on a server where no call waits
inline constexpr const char* kNoDependency = "no-dependency";  // all calls at once

// All modes of a replay: first those of a run, then those that need the recording.
const std::vector<std::string>& ReplayModes();

// Makes a backend that needs no prompts, from --llm. Throws kInvalid for others.
std::unique_ptr<llm::Llm> MakeVirtualBackend(const std::string& spec);

struct ReplayRow {
  std::string mode;
  sim::RunStats stats;
  std::optional<Digest> hash;          // only for modes that run the world; equal in all of them
  double scheduler_s = 0;              // wall time outside the backend
  double critical_tokens = 0;          // mode critical: prompt and output tokens of the path with the most
  std::vector<llm::CallSpan> spans;    // empty unless keep_spans
  std::vector<std::string> functions;  // function names that the spans refer to

  double SchedulerMicros(uint64_t per) const { return scheduler_s * 1e6 / static_cast<double>(per); }
};

class Replayer {
 public:
  // Replays the first `steps` steps; 0: all. A negative radius: the trace's own. Throws kInvalid if the trace
  // has fewer steps.
  Replayer(Trace trace, int radius, sim::Step steps);

  struct RunFlags {
    std::string llm = "latency";
    sim::Coupling coupling = sim::Coupling::kPaper;  // for modes that run the world
    // For modes that run the world; the oracle has the pool alone, critical and no-dependency need none.
    sim::DispatchOptions dispatch;
    bool keep_spans = false;
    std::function<void(const sim::Progress&)> on_progress;
    double progress_interval_s = 1;
  };
  // Throws kInvalid for an unknown mode, and kCorrupt if the world's end differs from that of an earlier run.
  ReplayRow Run(const std::string& mode, const RunFlags& flags);

  const Trace& GetTrace() const { return trace_; }
  sim::Step NumSteps() const { return steps_; }

 private:
  const TrueDependencies& Dependencies();
  void RunWorld(const RunFlags& flags, llm::Llm& llm, ReplayRow& row);

  Trace trace_;
  int radius_;
  sim::Step steps_;
  std::unique_ptr<sim::World> world_;
  std::unique_ptr<TrueDependencies> dependencies_;  // null until needed
  std::optional<ReplayRow> first_;                  // first row of a mode that runs the world, without spans
};

}  // namespace throng::trace
