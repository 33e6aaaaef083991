// Replays a recorded day in each mode, against models of servers in virtual time or against servers: the
// measurements of `throng replay` and `throng paper metropolis`.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "llm/backends/server_stats.h"
#include "llm/decorators/call_log.h"
#include "llm/llm.h"
#include "sim/run/run.h"
#include "sim/world.h"
#include "trace/filler_llm.h"
#include "trace/filler_words.h"
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
  std::optional<Digest> hash;             // only for modes that run the world; equal in all of them
  double scheduler_s = 0;                 // wall time outside the backend
  double critical_tokens = 0;             // mode critical: prompt and output tokens of the path with the most
  std::vector<llm::CallSpan> spans;       // empty unless keep_spans
  std::vector<std::string> functions;     // function names that the spans refer to
  std::vector<llm::ServerStats> servers;  // asked over the network
  std::optional<TokenDifferences> differences;  // of servers alone; guesses that came to nothing included

  double SchedulerMicros(uint64_t per) const { return scheduler_s * 1e6 / static_cast<double>(per); }
};

class Replayer {
 public:
  // Replays the first `steps` steps; 0: all. A negative radius: the trace's own. Throws kInvalid if the trace
  // has fewer steps.
  Replayer(Trace trace, int radius, sim::Step steps);

  struct RunFlags {
    std::string llm = "latency";
    // For servers (llm::IsServerBackend), what they are asked with, of CheckServer; outlives the run.
    const FillerWords* words = nullptr;
    double shared_prefix = 0;                          // FillerLlm::Options::shared
    std::function<void(uint64_t answered)> on_answer;  // of servers
    std::function<void(const std::string&)> on_wait;   // RetryOptions::on_wait
    sim::Coupling coupling = sim::Coupling::kPaper;    // for modes that run the world
    // For modes that run the world; the oracle has the pool alone, critical and no-dependency need none.
    sim::DispatchOptions dispatch;
    bool keep_spans = false;
    std::function<void(const sim::Progress&)> on_progress;
    double progress_interval_s = 1;
  };
  // Throws kInvalid for an unknown mode, and kCorrupt if the world's end differs from that of an earlier run.
  // On servers calls are asked again as RetryOptions says, and what fails for good is thrown; mode critical
  // takes the times of the calls from an earlier run of mode single, where each is alone, or throws kInvalid.
  ReplayRow Run(const std::string& mode, const RunFlags& flags);

  const Trace& GetTrace() const { return trace_; }
  sim::Step NumSteps() const { return steps_; }

 private:
  const TrueDependencies& Dependencies();
  std::unique_ptr<llm::Llm> CriticalBackend(const RunFlags& flags) const;
  void RunWorld(const RunFlags& flags, llm::Llm& llm, ReplayRow& row);

  Trace trace_;
  int radius_;
  sim::Step steps_;
  std::unique_ptr<sim::World> world_;
  std::unique_ptr<TrueDependencies> dependencies_;  // null until needed
  std::optional<ReplayRow> first_;                  // first row of a mode that runs the world, without spans
  std::map<llm::CallKey, double> alone_s_;          // by call: its seconds in mode single, on a server
};

}  // namespace throng::trace
