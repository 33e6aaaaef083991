// A recorded day in each mode, against models of servers in virtual time: what `throng replay` and
// `throng paper metropolis` measure.
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

inline constexpr const char* kOracle = "oracle";               // along the true dependencies
inline constexpr const char* kCritical = "critical";           // the same on a server where nobody waits
inline constexpr const char* kNoDependency = "no-dependency";  // all calls at once

// All modes of a replay: those of a run first; the others need the recording.
const std::vector<std::string>& ReplayModes();

// A backend that needs no prompts, from --llm. Throws kInvalid for others.
std::unique_ptr<llm::Llm> MakeVirtualBackend(const std::string& spec);

struct ReplayRow {
  std::string mode;
  sim::RunStats stats;
  std::optional<Digest> hash;          // of modes that run the world; the same in all of them
  double scheduler_s = 0;              // wall time outside the backend
  double critical_tokens = 0;          // mode critical: prompt and output tokens of the path that has most
  std::vector<llm::CallSpan> spans;    // if they were asked for
  std::vector<std::string> functions;  // of the spans

  double SchedulerMicros(uint64_t per) const { return scheduler_s * 1e6 / static_cast<double>(per); }
};

class Replayer {
 public:
  // Replays the first `steps` steps; 0: all. A negative radius: the trace's own. Throws kInvalid if the trace
  // has fewer.
  Replayer(Trace trace, int radius, sim::Step steps);

  struct RunFlags {
    std::string llm = "latency";
    sim::Coupling coupling = sim::Coupling::kPaper;  // of the modes that run the world
    bool keep_spans = false;
    std::function<void(const sim::Progress&)> on_progress;
    double progress_interval_s = 1;
  };
  // Throws kInvalid for a mode that does not exist, and kCorrupt if the world's end differs from that of an
  // earlier run.
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
  std::unique_ptr<TrueDependencies> dependencies_;  // once they are needed
  std::optional<ReplayRow> first_;                  // that ran the world, without spans
};

}  // namespace throng::trace
