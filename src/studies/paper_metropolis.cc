#include "studies/paper_metropolis.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "studies/server_preset.h"
#include "trace/edit.h"
#include "trace/replayer.h"
#include "trace/server_check.h"

namespace throng::studies {
namespace {

// A day of this many agents, or part of it; more than 25 agents are towns side by side.
struct Workload {
  int agents;
  int from_hour;
  int minutes;
  auto operator<=>(const Workload&) const = default;
};

constexpr Workload kDay{25, 0, 24 * 60};
constexpr int kTraceRadius = -1;
// Share of each prompt that a server with a prefix cache has cached. The paper reports a gain of about 20 %
// in every setting, but no share.
constexpr double kCachedShares[] = {0.3, 0.6};

constexpr Workload Busy(int agents, int minutes = 60) { return {agents, 12, minutes}; }
constexpr Workload Quiet(int agents) { return {agents, 6, 60}; }

// The paper's workers are a pool of processes, "by the processor"; with so many the oracle has as many
// requests in flight as the paper's.
constexpr size_t kPool = 56;
// SGLang 0.1.17, the paper's server, decodes so many iterations before it admits requests.
constexpr const char* kBurst = "burst=10";
// At about this time per acknowledgement the controller is the limit of 500 agents on 8 L4.
constexpr double kAckMs = 81;

// One replay; replays of the same workload share a trace.
struct RunKey {
  Workload workload;
  std::string server;  // --llm
  std::string mode;
  double ack_ms = 0;
  bool by_step = true;
  size_t pool = kPool;
  auto operator<=>(const RunKey&) const = default;
};

enum class Kind {
  kTimes,     // `base` takes this many times as long as `run`
  kShare,     // the same in percent: share of the oracle's speed
  kGain,      // how much faster `run` is than `base`, in percent
  kInFlight,  // requests in flight in `run`
  kSeconds,   // that `run` takes
};

struct Question {
  PaperRow row;
  Kind kind;
  RunKey run;
  RunKey base;
};

using Results = std::map<RunKey, sim::RunStats>;

double Answer(const Question& question, const Results& results) {
  const sim::RunStats& run = results.at(question.run);
  if (question.kind == Kind::kInFlight) return run.parallelism;
  if (question.kind == Kind::kSeconds) return run.backend_s;
  const double times = results.at(question.base).backend_s / run.backend_s;
  switch (question.kind) {
    case Kind::kShare:
      return times * 100;
    case Kind::kGain:
      return (times - 1) * 100;
    default:
      return times;
  }
}

std::string With(const std::string& server, const std::string& parameter) { return server + "," + parameter; }

class Questions {
 public:
  using Paper = std::optional<double>;

  // Compares out of order with the other modes, as in the paper's table. The paper has run single with up to
  // 100 agents, and calculated its time for more.
  void AddSetting(const std::string& setting, const Workload& workload, const std::string& server,
                  Paper single, Paper lockstep, Paper oracle) {
    const auto key = [&](const char* mode) { return RunKey{workload, server, mode}; };
    const bool projected = single && workload.agents >= 500;
    Add(setting, projected ? "ooo vs single, a projection" : "ooo vs single", "x", single, Kind::kTimes,
        key("ooo"), key("single"));
    Add(setting, "ooo vs lockstep", "x", lockstep, Kind::kTimes, key("ooo"), key("lockstep"));
    AddShare(setting, key("ooo"), key(trace::kOracle), oracle);
  }

  void AddInFlight(const std::string& setting, const Workload& workload, const std::string& server,
                   const std::string& mode, Paper paper, bool by_step = true) {
    Add(setting, mode + kRequestsInFlight, "", paper, Kind::kInFlight, {workload, server, mode, 0, by_step},
        {});
  }

  void AddSeconds(const std::string& setting, const RunKey& run, Paper paper) {
    Add(setting, run.mode + ", seconds", "s", paper, Kind::kSeconds, run, {});
  }

  // Compares the modes on a server of which the paper says nothing.
  void AddServer(const std::string& setting, const Workload& workload, const std::string& server) {
    const auto key = [&](const std::string& mode) { return WithoutPool(workload, server, mode); };
    for (const char* mode : {"lockstep", "ooo", "speculative", trace::kOracle})
      AddSeconds(setting, key(mode), std::nullopt);
    for (const char* mode : {"lockstep", "ooo"})
      Add(setting, std::string(mode) + kRequestsInFlight, "", std::nullopt, Kind::kInFlight, key(mode), {});
    Add(setting, "ooo vs lockstep", "x", std::nullopt, Kind::kTimes, key("ooo"), key("lockstep"));
    for (const char* mode : {"ooo", "speculative"})
      AddShare(setting, key(mode), key(trace::kOracle), std::nullopt);
  }

  // With workers for all, as guessed steps would need some, too.
  void AddSpeculation(const std::string& setting, const Workload& workload, const std::string& server) {
    AddShare(setting + ", any number of workers", WithoutPool(workload, server, "speculative"),
             WithoutPool(workload, server, trace::kOracle), std::nullopt);
  }

  // What serving by step gains over serving whoever came first: in the server, and where the controller
  // waits.
  void AddPriorities(const std::string& setting, const Workload& workload, const std::string& server,
                     double ack_ms, Paper paper) {
    Add(ack_ms > 0 ? fmt::format("{}, {:.0f} ms per acknowledgement", setting, ack_ms) : setting,
        "ooo, gain by priorities", "%", paper, Kind::kGain, {workload, server, "ooo", ack_ms, true},
        {workload, With(server, "priorities=0"), "ooo", ack_ms, false});
  }

  void AddGain(const std::string& setting, const std::string& measure, const Workload& workload,
               const std::string& server, const std::string& without, Paper paper) {
    Add(setting, measure, "%", paper, Kind::kGain, {workload, server, "ooo"}, {workload, without, "ooo"});
  }

  const std::vector<Question>& All() const { return questions_; }

 private:
  static constexpr const char* kRequestsInFlight = ", requests in flight";

  static RunKey WithoutPool(const Workload& workload, const std::string& server, const std::string& mode) {
    return {workload, server, mode, 0, true, 0};
  }
  void AddShare(const std::string& setting, const RunKey& run, const RunKey& oracle, Paper paper) {
    Add(setting, run.mode + ", share of oracle", "%", paper, Kind::kShare, run, oracle);
  }
  void Add(const std::string& setting, const std::string& measure, const std::string& unit, Paper paper,
           Kind kind, const RunKey& run, const RunKey& base) {
    questions_.push_back({{setting, measure, unit, paper, {}}, kind, run, base});
  }

  std::vector<Question> questions_;
};

std::string PaperServer(const std::string& preset) { return With(ServerOf(preset), kBurst); }

// The paper's evaluation, in its order.
Questions PaperQuestions() {
  const std::string l4 = PaperServer("llama3-8b-1xl4");
  const std::string l4x4 = PaperServer("llama3-8b-4xl4");
  const std::string l4x8 = PaperServer("llama3-8b-8xl4");
  const std::string a100 = PaperServer("llama3-70b-8xa100");
  const std::string mixtral = PaperServer("mixtral-8xa100");
  const Questions::Paper none;
  Questions questions;
  questions.AddSetting("25 agents, full day, Llama-3-8B, 1 L4", kDay, l4, 2.38, 1.44, 82.9);
  questions.AddSetting("25 agents, full day, Llama-3-8B, 8 L4", kDay, l4x8, 3.25, 1.67, 74.7);
  questions.AddSetting("25 agents, full day, Llama-3-70B, 8 A100", kDay, a100, 2.45, 1.45, 82);
  questions.AddSetting("25 agents, busy hour, Llama-3-8B, 8 L4", Busy(25), l4x8, 3.37, 1.88, 53.1);
  questions.AddSetting("100 agents, busy hour, Llama-3-8B, 1 L4", Busy(100), l4, none, 1.87, 90.9);
  questions.AddSetting("500 agents, busy hour, Llama-3-8B, 1 L4", Busy(500), l4, none, 1.6, 100);
  questions.AddSetting("500 agents, busy hour, Llama-3-8B, 8 L4", Busy(500), l4x8, 19.5, 4.15, none);
  questions.AddSetting("1000 agents, busy hour, Llama-3-8B, 8 L4", Busy(1000), l4x8, none, 3.94, 97.0);
  questions.AddSetting("25 agents, quiet hour, Llama-3-8B, 8 L4", Quiet(25), l4x8, none, 1.28, none);
  questions.AddSetting("500 agents, quiet hour, Llama-3-8B, 8 L4", Quiet(500), l4x8, none, 2.79, none);
  questions.AddSetting("500 agents, busy hour, Llama-3-70B, 8 A100", Busy(500), a100, none, 1.97, none);
  questions.AddSetting("500 agents, busy hour, Mixtral 8x7B, 8 A100", Busy(500), mixtral, none, 2.97, none);
  questions.AddSetting("500 agents, quiet hour, Mixtral 8x7B, 8 A100", Quiet(500), mixtral, none, 2.29, none);

  // Future work in the paper.
  questions.AddSpeculation("25 agents, full day, Llama-3-8B, 1 L4", kDay, l4);
  questions.AddSpeculation("25 agents, full day, Llama-3-8B, 8 L4", kDay, l4x8);
  questions.AddSpeculation("25 agents, busy hour, Llama-3-8B, 8 L4", Busy(25), l4x8);
  questions.AddSpeculation("100 agents, busy hour, Llama-3-8B, 1 L4", Busy(100), l4);
  questions.AddSpeculation("500 agents, busy hour, Llama-3-8B, 8 L4", Busy(500), l4x8);

  const std::string day = "25 agents, full day, Llama-3-8B, 8 L4";
  questions.AddInFlight(day, kDay, l4x8, "single", 0.95);
  questions.AddInFlight(day, kDay, l4x8, "lockstep", 1.94);
  questions.AddInFlight(day, kDay, l4x8, "ooo", 3.46);
  const std::string busy = "25 agents, busy hour, Llama-3-8B, 8 L4";
  questions.AddInFlight(busy, Busy(25), l4x8, "lockstep", 1.89);
  questions.AddInFlight(busy, Busy(25), l4x8, "ooo", 3.74);
  const std::string quiet = "25 agents, quiet hour, Llama-3-8B, 8 L4";
  questions.AddInFlight(quiet, Quiet(25), l4x8, "lockstep", 2.25);
  questions.AddInFlight(quiet, Quiet(25), l4x8, "ooo", 2.8);
  const std::string many = "500 agents, busy hour, Llama-3-8B, 8 L4";
  const std::string fifo = With(l4x8, "priorities=0");
  questions.AddInFlight(many + ", no priorities", Busy(500), fifo, "ooo", 41.9, false);
  questions.AddInFlight(many, Busy(500), l4x8, "ooo", 50.9);
  questions.AddInFlight(many + ", no priorities", Busy(500), fifo, trace::kOracle, 69.4, false);
  questions.AddInFlight(many, Busy(500), l4x8, trace::kOracle, 69.9);

  // Table 1 of the paper, whose controller takes an unknown time.
  const std::string half = "500 agents, busy hour, Llama-3-8B, 4 L4";
  questions.AddSeconds(many, {Busy(500), l4x8, "ooo"}, 6148);
  questions.AddSeconds(many, {Busy(500), l4x8, trace::kOracle}, 5683);
  questions.AddSeconds(half, {Busy(500), l4x4, "ooo"}, 8611);
  questions.AddSeconds(half, {Busy(500), l4x4, trace::kOracle}, 8392);
  for (const double ack_ms : {0.0, kAckMs}) {
    questions.AddPriorities(half, Busy(500), l4x4, ack_ms, 3.84);
    questions.AddPriorities(many, Busy(500), l4x8, ack_ms, 15.7);
  }

  for (const double share : kCachedShares) {
    const std::string gain = fmt::format("ooo, gain by a prefix cache of {:.0f} %", share * 100);
    const std::string cached = fmt::format("cached={}", share);
    questions.AddGain("25 agents, full day, Llama-3-8B, 1 L4", gain, kDay, With(l4, cached), l4, 20);
    questions.AddGain("100 agents, busy hour, Llama-3-8B, 1 L4", gain, Busy(100), With(l4, cached), l4, 20);
    questions.AddGain(many, gain, Busy(500), With(l4x8, cached), l4x8, 20);
  }
  return questions;
}

Questions ServerQuestions(const PaperFlags& flags) {
  Questions questions;
  for (const int agents : flags.agents) {
    questions.AddServer(fmt::format("{} agents, {} minutes from 12:00", agents, flags.minutes),
                        Busy(agents, flags.minutes), flags.llm);
  }
  return questions;
}

}  // namespace

double PaperRow::Median() const {
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

std::vector<PaperRow> MeasureMetropolis(const PaperFlags& flags) {
  const bool on_server = !flags.llm.empty();
  std::vector<Question> questions = (on_server ? ServerQuestions(flags) : PaperQuestions()).All();
  std::map<int, std::map<Workload, std::set<RunKey>>> runs;  // by the day's number of agents
  for (const Question& question : questions) {
    std::set<RunKey>& keys = runs[question.run.workload.agents][question.run.workload];
    keys.insert(question.run);
    if (!question.base.mode.empty()) keys.insert(question.base);
  }
  for (int seed = 0; seed < flags.seeds; ++seed) {
    Results results;
    for (const auto& [agents, workloads] : runs) {
      const std::string name = fmt::format("day {} of {}, {} agents", seed + 1, flags.seeds, agents);
      flags.on_progress(name);
      const trace::Trace day = flags.make_day(agents, seed);
      for (const auto& [workload, keys] : workloads) {
        const sim::Step from = workload.from_hour * 3600 / day.sec_per_step;
        trace::Replayer replayer(trace::CutTrace(day, from, from + workload.minutes * 60 / day.sec_per_step),
                                 kTraceRadius, 0);
        std::optional<trace::ServerCheck> server;
        if (on_server) server = trace::CheckServer(flags.llm, replayer.GetTrace(), 0, flags.on_progress);
        for (const RunKey& key : keys) {
          const std::string what = fmt::format("{}, {}-{:.4g} h, {}", name, workload.from_hour,
                                               workload.from_hour + workload.minutes / 60.0, key.mode);
          flags.on_progress(what);
          trace::Replayer::RunFlags run;
          run.llm = key.server;
          run.dispatch = {key.pool, key.ack_ms * 1e-3, key.by_step};
          if (server) run.words = &server->words;
          run.on_answer = [&](uint64_t answered) {
            flags.on_progress(fmt::format("{}, {} calls answered", what, answered));
          };
          run.on_wait = flags.on_progress;
          results[key] = replayer.Run(key.mode, run).stats;
        }
      }
    }
    for (Question& question : questions) question.row.values.push_back(Answer(question, results));
  }
  std::vector<PaperRow> rows;
  for (Question& question : questions) rows.push_back(std::move(question.row));
  return rows;
}

}  // namespace throng::studies
