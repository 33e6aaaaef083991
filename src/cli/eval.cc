// `throng eval kl|ppl|recall|ruler|keys|dump`: what a compressed cache costs in quality, against an f32 cache
// of the same model.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "attention/sas.h"
#include "base/data_dir.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/codec_lists.h"
#include "cli/progress_line.h"
#include "eval/compose.h"
#include "eval/divergence.h"
#include "eval/dump.h"
#include "eval/key_errors.h"
#include "eval/recall.h"
#include "eval/ruler.h"
#include "kv/codec_table.h"
#include "studies/eval_report.h"
#include "studies/ruler_report.h"

namespace throng::cli {
namespace {

struct EvalFlags {
  std::string model;
  std::string kv = "f16,int8,rot4";
  std::string softmax = "exact";
  size_t samples = 50;
  std::string text;
  int context = 0;
  int stride = 0;
  int min_pages = 0;
  std::string tasks = "single,multikey,multivalue,variables,common,frequent";
  std::string lengths = "1k";
  std::string exact = "none";
  int texts = 10;
  uint64_t seed = 1;
  int threads = 0;
  bool json = false;
  std::string plot;
  std::string out = "pages.npy";
  size_t pages = 200;
};

std::string QuestionsPath() { return DataDir() + "/town/eval/recall.jsonl"; }

eval::EvalOptions Options(const EvalFlags& flags, ProgressLine& line, const char* what) {
  eval::EvalOptions options;
  options.codecs = SplitCodecs(flags.kv);
  if (options.codecs.empty()) throw MakeError(ErrorCode::kInvalid, "eval: --kv names no codec");
  options.softmax = attention::ParseSoftmax(flags.softmax);
  options.progress = ShowProgress(line, what);
  return options;
}

std::vector<std::vector<int32_t>> Texts(const EvalFlags& flags, const engine::LoadedModel& model) {
  std::vector<std::vector<int32_t>> texts;
  const std::string& path = flags.text.empty() ? QuestionsPath() : flags.text;
  const bool questions = flags.text.empty() || path.find(".jsonl") != std::string::npos;
  if (!questions) return {model.Encode(ReadFile(path))};
  for (const eval::Question& question : eval::ReadQuestions(path, flags.samples)) {
    texts.push_back(model.Encode(question.prompt));
  }
  return texts;
}

void RunDivergence(const EvalFlags& flags, studies::EvalKind kind) {
  ProgressLine line(false);
  eval::EvalOptions options = Options(flags, line, "windows");
  options.context = flags.context;
  options.stride = flags.stride;
  const engine::LoadedModel model = engine::LoadModel(flags.model);
  ThreadPool threads(ThreadsOrAll(flags.threads));
  const std::vector<eval::CodecDivergence> rows =
      eval::MeasureDivergence(model, Texts(flags, model), options, threads);
  line.Clear();
  if (!flags.plot.empty()) studies::PlotDivergence(rows, kind, flags.plot);
  if (flags.json) {
    fmt::print("{}\n", studies::EvalJson(rows, flags.softmax).dump(2));
  } else {
    studies::PrintDivergence(rows, kind);
  }
}

void RunRecall(const EvalFlags& flags) {
  ProgressLine line(false);
  const eval::EvalOptions options = Options(flags, line, "questions");
  const std::vector<eval::Question> questions = eval::ReadQuestions(
      flags.text.empty() ? QuestionsPath() : flags.text, flags.samples, flags.min_pages * kv::kPageTokens);
  const engine::LoadedModel model = engine::LoadModel(flags.model);
  ThreadPool threads(ThreadsOrAll(flags.threads));
  const std::vector<eval::CodecRecall> rows = eval::MeasureRecall(model, questions, options, threads);
  line.Clear();
  if (!flags.plot.empty()) studies::PlotRecall(rows, flags.plot);
  if (flags.json) {
    fmt::print("{}\n", studies::EvalJson(rows, flags.softmax).dump(2));
  } else {
    studies::PrintRecall(rows);
  }
}

// "1k,4096" as numbers; k: times 1024.
std::vector<int> ParseLengths(const std::string& text) {
  std::vector<int> lengths;
  for (const std::string& item : CLI::detail::split(text, ',')) {
    int number = 0;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), number);
    const std::string_view unit(end, item.data() + item.size());
    if (error != std::errc() || number < 1 || number > (1 << 20) || (!unit.empty() && unit != "k")) {
      throw MakeError(ErrorCode::kInvalid,
                      "eval: --lengths has \"{}\", allowed are numbers of tokens, also with k for 1024",
                      item);
    }
    lengths.push_back(unit.empty() ? number : number * 1024);
  }
  return lengths;
}

void RunRulerTasks(const EvalFlags& flags) {
  ProgressLine line(false);
  eval::RulerOptions options;
  options.codecs = SplitCodecs(flags.kv);
  options.softmax = attention::ParseSoftmax(flags.softmax);
  options.exact = eval::ParseExactPart(flags.exact);
  for (const std::string& task : CLI::detail::split(flags.tasks, ',')) {
    options.tasks.push_back(eval::ParseRulerTask(task));
  }
  options.lengths = ParseLengths(flags.lengths);
  options.samples = flags.texts;
  options.seed = flags.seed;
  options.progress = ShowProgress(line, "texts");
  const engine::LoadedModel model = engine::LoadModel(flags.model);
  ThreadPool threads(ThreadsOrAll(flags.threads));
  const eval::RulerRun run = eval::RunRuler(model, DataDir() + "/town/eval/ruler.json", options, threads);
  line.Clear();
  if (flags.json) {
    nlohmann::json report = studies::RulerJson(run);
    report["softmax"] = flags.softmax;
    report["exact"] = flags.exact;
    fmt::print("{}\n", report.dump(2));
  } else {
    studies::PrintRuler(run);
  }
}

void RunDump(const EvalFlags& flags) {
  const engine::LoadedModel model = engine::LoadModel(flags.model);
  ThreadPool threads(ThreadsOrAll(flags.threads));
  const size_t pages = eval::DumpPages(model, Texts(flags, model), flags.pages, flags.out, threads);
  fmt::print("{}: {} pages of each layer and head\n", flags.out, pages);
}

// Flags that every command has.
void AddInputFlags(CLI::App& command, EvalFlags& flags, const std::string& text_help) {
  command.add_option("-m,--model", flags.model,
                     "GGUF file or folder of safetensors; default: the embedded model");
  command.add_option("--samples", flags.samples, "Prompts of the questions; 0: all")->capture_default_str();
  command.add_option("--text", flags.text, text_help);
  command.add_option("--threads", flags.threads, "Threads (0: one per core)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
}

void AddCodecFlags(CLI::App& command, EvalFlags& flags, bool can_plot = true) {
  command
      .add_option(
          "--kv", flags.kv,
          fmt::format("Codecs a,b,...; KEYS+VALUES for a pair: {}, flashq-mixed; for studies, decoded before "
                      "use: {}",
                      kv::CodecNames(), eval::kComposeParameters))
      ->capture_default_str();
  command.add_option("--softmax", flags.softmax, "exact or sas, of the codecs; the f32 reference is exact")
      ->capture_default_str();
  command.add_flag("--json", flags.json, "Results as JSON");
  if (can_plot)
    command.add_option("--plot", flags.plot, "Write a plot over the bits of an element: an SVG file");
}

constexpr char kText[] =
    "A text file, or questions as recall takes them (*.jsonl, *.jsonl.gz); default: the prompts of the "
    "built-in "
    "questions";

void AddWindowFlags(CLI::App& command, EvalFlags& flags) {
  command
      .add_option("--context", flags.context,
                  fmt::format("Tokens of a window of the text (0: the model's context, at most {})",
                              eval::kMostContext))
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  command
      .add_option("--stride", flags.stride,
                  "Tokens from a window to the next (0: half of --context); each token counts once, in the "
                  "first window that has it")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
}

void AddDump(CLI::App& eval, const std::shared_ptr<EvalFlags>& flags) {
  CLI::App* dump = eval.add_subcommand(
      "dump", "Write keys and values as a numpy array [pages, layers, kv heads, 2, 64, head size]");
  AddInputFlags(*dump, *flags, kText);
  dump->add_option("--out", flags->out, "The file to write")->capture_default_str();
  dump->add_option("--pages", flags->pages, "Most pages of 64 tokens")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  dump->footer("Example:\n  throng eval dump --pages 100 --out pages.npy");
  dump->callback([flags] { RunDump(*flags); });
}

void RunKeys(const EvalFlags& flags) {
  const std::vector<eval::KeyErrors> rows = eval::MeasureKeyErrors(SplitCodecs(flags.kv));
  if (flags.json) {
    fmt::print("{}\n", studies::EvalJson(rows).dump(2));
  } else {
    studies::PrintKeyErrors(rows);
  }
}

void AddKeys(CLI::App& eval) {
  CLI::App* keys = eval.add_subcommand(
      "keys", "Errors of logits over synthetic keys with a large bias, stored with it and without it");
  const auto flags = std::make_shared<EvalFlags>();
  flags->kv = "f16,int8,kivi4,gearl4,gear4,kivi2,gear2,flashq4,flashq2,rot4,rot2";
  keys->add_option("--kv", flags->kv, "Codecs a,b,...: " + kv::CodecNames())->capture_default_str();
  keys->add_flag("--json", flags->json, "Results as JSON");
  keys->footer("Example:\n  throng eval keys --kv int8,rot4,gear2:r=4");
  keys->callback([flags] { RunKeys(*flags); });
}

void AddRuler(CLI::App& eval, const std::shared_ptr<EvalFlags>& flags) {
  CLI::App* ruler = eval.add_subcommand(
      "ruler",
      "Tasks on long texts, after RULER: which words that the text gives does the model still find?");
  ruler->add_option("-m,--model", flags->model,
                    "GGUF file or folder of safetensors; default: the embedded model");
  ruler->add_option("--threads", flags->threads, "Threads (0: one per core)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  ruler->add_option("--tasks", flags->tasks, "Tasks a,b,...")->capture_default_str();
  ruler
      ->add_option("--lengths", flags->lengths,
                   "Tokens of the prompt and its answer: numbers, also with k for 1024")
      ->capture_default_str();
  ruler->add_option("--texts", flags->texts, "Texts of each task and length")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  ruler->add_option("--seed", flags->seed, "Texts are made from this number")->capture_default_str();
  ruler
      ->add_option(
          "--exact", flags->exact,
          "What is attended to in f32 before it is encoded: none, as the engine does; text, so that only "
          "question and answer read codes; prompt, as in the papers")
      ->capture_default_str();
  AddCodecFlags(*ruler, *flags, false);
  ruler->footer(
      "single: a needle in other sentences, at one of five depths. multikey: many needles, four of\n"
      "them asked for. multivalue: all four values of one key. variables: which are set, also through\n"
      "others, to a value? common, frequent: the most frequent words of a list.\n"
      "Answers are greedy; a word counts if it stands in the answer. change is that of accuracy to\n"
      "f32's, with a 95 % interval over texts; lost and gained count words; KL is over the places of\n"
      "f32's answer; length is that of answers relative to f32's.\n"
      "Examples:\n"
      "  throng eval ruler -m train/long.gguf --lengths 1k,4k,16k --kv f16,int8,flashq4,gear2\n"
      "  throng eval ruler -m model.gguf --tasks single,multikey --lengths 8k --texts 50 --json\n"
      "  throng eval ruler -m model.gguf --kv gear2 --exact prompt");
  ruler->callback([flags] { RunRulerTasks(*flags); });
}

}  // namespace

void AddEval(CLI::App& app) {
  CLI::App* eval = app.add_subcommand("eval", "Measure what a compressed KV cache costs in quality");
  eval->require_subcommand(1);
  const auto flags = std::make_shared<EvalFlags>();

  CLI::App* kl = eval->add_subcommand(
      "kl", "Divergence of the next token's distribution from that over an f32 cache, in nats");
  AddInputFlags(*kl, *flags, kText);
  AddCodecFlags(*kl, *flags);
  AddWindowFlags(*kl, *flags);
  kl->footer(
      "Examples:\n"
      "  throng eval kl --kv f16,int8,rot4,kivi4+rot2 --samples 20 --plot kl.svg\n"
      "  throng eval kl -m model.gguf --text book.txt --context 8192 --stride 4096");
  kl->callback([flags] { RunDivergence(*flags, studies::EvalKind::kKl); });

  CLI::App* ppl = eval->add_subcommand("ppl", "Perplexity of a text");
  AddInputFlags(*ppl, *flags, kText);
  AddCodecFlags(*ppl, *flags);
  AddWindowFlags(*ppl, *flags);
  ppl->footer(
      "Example:\n  throng eval ppl -m model.gguf --text book.txt --context 2048 --stride 1024 --kv "
      "f16,int8,rot4");
  ppl->callback([flags] { RunDivergence(*flags, studies::EvalKind::kPpl); });

  CLI::App* recall = eval->add_subcommand(
      "recall", "Answers by choice to questions about the prompt: how many does compression lose?");
  AddInputFlags(
      *recall, *flags,
      "File of JSON lines {prompt, choices, answer, distance}, perhaps gzipped; default: the built-in "
      "questions");
  AddCodecFlags(*recall, *flags);
  recall
      ->add_option("--min-pages", flags->min_pages,
                   "Only questions whose answer lies at least so many pages of 64 tokens back")
      ->check(CLI::Range(0, 10000))
      ->capture_default_str();
  recall->footer(
      "lost and gained count the answers on which the codec and f32 differ, and McNemar is the exact "
      "test of whether one of them is more; change is that of accuracy; length is that of free answers "
      "relative to f32's.\n"
      "Example:\n"
      "  throng eval recall --kv f16,int8,rot4,rot2 --samples 0 --min-pages 2");
  recall->callback([flags] { RunRecall(*flags); });
  AddKeys(*eval);
  AddRuler(*eval, flags);
  AddDump(*eval, flags);
  eval->footer("Example:\n  throng eval kl --kv f16,int8,rot4 --samples 20");
}

}  // namespace throng::cli
