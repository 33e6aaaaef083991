// throng paper: measures again what the papers report.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/data_dir.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "bench/model_speed.h"
#include "cli/bench/bench_model.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/progress_line.h"
#include "engine/loaded_model.h"
#include "eval/questions.h"
#include "llm/backends/backend_spec.h"
#include "studies/paper_kv.h"
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
  std::string llm;
  std::vector<int> agents = {25, 100};
  int minutes = 60;
};

struct KvOptions {
  studies::PaperKvFlags flags;
  size_t questions = 300;
  bool quick = false;
  bool json = false;
};
constexpr size_t kQuickQuestions = 40;

void RunMetropolis(const Options& options) {
  studies::PaperFlags flags;
  flags.seeds = options.quick ? kQuickSeeds : options.seeds;
  if (!options.llm.empty() && !llm::IsServerBackend(options.llm)) {
    throw MakeError(ErrorCode::kInvalid, "--llm {}: allowed: http://HOST:PORT[,http://...]", options.llm);
  }
  flags.llm = options.llm;
  flags.agents = options.agents;
  flags.minutes = options.minutes;
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

void RunKv(KvOptions options) {
  ProgressLine line(/*quiet=*/false);
  options.flags.on_progress = [&](const std::string& text) { line.ShowRarely(text); };
  const engine::LoadedModel model = engine::LoadModel("");
  const std::vector<eval::Question> questions = eval::ReadQuestions(
      DataDir() + "/town/eval/recall_far.jsonl.gz", options.quick ? kQuickQuestions : options.questions,
      /*min_distance=*/2 * kv::kPageTokens);
  ThreadPool threads(ThreadsOrAll(0));
  const std::vector<studies::PaperRow> rows = studies::MeasureKv(options.flags, model, questions, threads);
  line.Clear();
  if (options.json) {
    fmt::print("{}\n", studies::PaperJson(rows).dump(2));
  } else {
    studies::PrintPaper(rows);
  }
}

void AddKv(CLI::App& paper) {
  const auto options = std::make_shared<KvOptions>();
  CLI::App* command = paper.add_subcommand(
      "kv",
      "GEAR and TurboAttention: quality of the embedded model's answers, bytes, times and throughput "
      "(docs/paper-kv.md); takes minutes");
  CLI::Option* questions =
      command
          ->add_option("--questions", options->questions, "Questions whose answers are compared; 0: all 2000")
          ->capture_default_str();
  command
      ->add_option("--shape", options->flags.shape,
                   "Shape of the model, with random weights, whose throughput is measured")
      ->check(ShapeName())
      ->capture_default_str();
  command->add_flag("--quick", options->quick, fmt::format("{} questions", kQuickQuestions))
      ->excludes(questions);
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Example:\n  throng paper kv --quick");
  command->callback([options] { RunKv(*options); });
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
  CLI::Option* llm = metropolis->add_option(
      "--llm", options->llm,
      "http://HOST:PORT[,http://...]: compare the modes on servers instead of modelled ones, in wall time");
  metropolis->add_option("--agents", options->agents, "On servers: numbers of agents, a workload each")
      ->delimiter(',')
      ->check(CLI::Range(1, 1000))
      ->needs(llm);
  metropolis->add_option("--minutes", options->minutes, "On servers: of the busy hour, from 12:00 on")
      ->check(CLI::Range(1, 60))
      ->capture_default_str()
      ->needs(llm);
  metropolis->add_flag("--json", options->json, "Print one JSON object");
  metropolis->footer(
      "Examples:\n"
      "  throng paper metropolis --quick\n"
      "  throng paper metropolis --llm http://localhost:8000 --agents 25 --minutes 10 --seeds 3");
  metropolis->callback([options] { RunMetropolis(*options); });
  AddKv(*paper);
  paper->footer("Examples:\n  throng paper metropolis --quick\n  throng paper kv --quick");
}

}  // namespace throng::cli
