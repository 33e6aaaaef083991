// `throng eval kl|ppl|recall`: what a compressed cache costs in quality, against an f32 cache of the same
// model.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/data_dir.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "cli/codec_list.h"
#include "cli/commands.h"
#include "eval/divergence.h"
#include "eval/recall.h"
#include "kv/codec_table.h"

namespace throng::cli {
namespace {

struct EvalFlags {
  std::string model;
  std::string kv = "f16,int8,rot4";
  size_t samples = 50;
  std::string text;
  int threads = 0;
  bool json = false;
};

std::string QuestionsPath() { return DataDir() + "/town/eval/recall.jsonl"; }

std::vector<std::string> Codecs(const EvalFlags& flags) {
  std::vector<std::string> codecs = SplitCodecs(flags.kv);
  if (codecs.empty()) throw MakeError(ErrorCode::kInvalid, "eval: --kv names no codec");
  return codecs;
}

std::vector<eval::Divergence> Compare(const EvalFlags& flags) {
  const std::vector<std::string> codecs = Codecs(flags);
  const engine::LoadedModel model =
      engine::LoadModel(flags.model.empty() ? DataDir() + "/town/model.gguf" : flags.model);
  const auto encode = [&](const std::string& text) {
    return model.tokenizer->Encode(text, {.add_bos = model.tokenizer->AddsBos(), .parse_special = false});
  };
  std::vector<std::vector<int32_t>> texts;
  if (!flags.text.empty()) {
    texts.push_back(encode(ReadFile(flags.text)));
  } else {
    for (const eval::Question& question : eval::ReadQuestions(QuestionsPath(), flags.samples)) {
      texts.push_back(encode(question.prompt));
    }
  }
  ThreadPool threads(flags.threads > 0 ? flags.threads
                                       : static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  return eval::MeasureDivergence(*model.transformer, texts, codecs, threads);
}

void RunDivergence(const EvalFlags& flags, bool perplexity) {
  const std::vector<eval::Divergence> rows = Compare(flags);
  if (flags.json) {
    nlohmann::json results = nlohmann::json::array();
    for (const eval::Divergence& row : rows) {
      results.push_back({{"kv", row.kv},
                         {"positions", row.positions},
                         {"kl_mean", row.kl_mean},
                         {"kl_p99", row.kl_p99},
                         {"top1", row.top1},
                         {"ppl", row.ppl},
                         {"bytes_per_token", row.bytes_per_token},
                         {"ratio_to_f16", row.ratio_to_f16}});
    }
    fmt::print("{}\n", nlohmann::json{{"results", results}}.dump(2));
    return;
  }
  fmt::print("{} positions beyond the first {} tokens, against f32\n\n", rows.front().positions,
             kv::kPageTokens);
  if (perplexity) {
    fmt::print("{:<16} {:>12} {:>12} {:>12}\n", "kv", "ppl", "bytes/token", "f16 / this");
  } else {
    fmt::print("{:<16} {:>12} {:>12} {:>8} {:>12} {:>12}\n", "kv", "KL mean", "KL p99", "top-1",
               "bytes/token", "f16 / this");
  }
  for (const eval::Divergence& row : rows) {
    if (perplexity) {
      fmt::print("{:<16} {:>12.4f} {:>12.0f} {:>12.2f}\n", row.kv, row.ppl, row.bytes_per_token,
                 row.ratio_to_f16);
    } else {
      fmt::print("{:<16} {:>12.3g} {:>12.3g} {:>7.1f}% {:>12.0f} {:>12.2f}\n", row.kv, row.kl_mean,
                 row.kl_p99, 100.0 * row.top1, row.bytes_per_token, row.ratio_to_f16);
    }
  }
}

std::string BucketName(size_t i) {
  const int low = i == 0 ? 0 : eval::kBucketEnds[i - 1];
  if (i + 1 == std::size(eval::kBucketEnds)) return fmt::format(">={}", low);
  return fmt::format("{}-{}", low, eval::kBucketEnds[i] - 1);
}

nlohmann::json ToJson(const eval::Recall& row) {
  nlohmann::json buckets = nlohmann::json::array();
  for (size_t i = 0; i < row.buckets.size(); ++i) {
    buckets.push_back({{"distance", BucketName(i)},
                       {"questions", row.buckets[i].questions},
                       {"right", row.buckets[i].right}});
  }
  return {{"kv", row.kv},
          {"questions", row.questions},
          {"accuracy", row.accuracy},
          {"buckets", buckets},
          {"lost", row.lost},
          {"gained", row.gained},
          {"difference", {row.difference_low, row.difference_high}},
          {"answer_tokens", row.length_mean},
          {"answer_length_ratio", row.length_ratio},
          {"bytes_per_token", row.bytes_per_token},
          {"ratio_to_f16", row.ratio_to_f16}};
}

void PrintRecall(const std::vector<eval::Recall>& rows) {
  fmt::print("{} questions; accuracy by the tokens between answer and question, in percent\n\n",
             rows.front().questions);
  fmt::print("{:<16} {:>7}", "kv", "all");
  for (size_t i = 0; i < std::size(eval::kBucketEnds); ++i) fmt::print(" {:>8}", BucketName(i));
  fmt::print(" {:>5} {:>7} {:>16} {:>8} {:>11} {:>11}\n", "lost", "gained", "difference 95 %", "length",
             "bytes/token", "f16 / this");
  for (const eval::Recall& row : rows) {
    fmt::print("{:<16} {:>7.1f}", row.kv, 100.0 * row.accuracy);
    for (const eval::Bucket& bucket : row.buckets) {
      bucket.questions == 0 ? fmt::print(" {:>8}", "-")
                            : fmt::print(" {:>8.1f}", 100.0 * bucket.right / bucket.questions);
    }
    const std::string difference =
        fmt::format("{:+.1f} to {:+.1f}", 100.0 * row.difference_low, 100.0 * row.difference_high);
    fmt::print(" {:>5} {:>7} {:>16} {:>8.3f} {:>11.0f} {:>11.2f}\n", row.lost, row.gained, difference,
               row.length_ratio, row.bytes_per_token, row.ratio_to_f16);
  }
}

void RunRecall(const EvalFlags& flags) {
  const std::vector<std::string> codecs = Codecs(flags);
  const std::string path = flags.text.empty() ? QuestionsPath() : flags.text;
  const std::vector<eval::Question> questions = eval::ReadQuestions(path, flags.samples);
  engine::LocalOptions options;
  options.model = flags.model;
  options.threads = flags.threads;
  const std::vector<eval::Recall> rows = eval::MeasureRecall(options, questions, codecs);
  if (!flags.json) return PrintRecall(rows);
  nlohmann::json results = nlohmann::json::array();
  for (const eval::Recall& row : rows) results.push_back(ToJson(row));
  fmt::print("{}\n", nlohmann::json{{"results", results}}.dump(2));
}

void AddFlags(CLI::App& command, EvalFlags& flags, const std::string& text_help) {
  command.add_option("-m,--model", flags.model, "GGUF file; default: the embedded model");
  command.add_option("--kv", flags.kv, "Codecs a,b,...: " + kv::CodecNames())->capture_default_str();
  command.add_option("--samples", flags.samples, "Prompts of the built-in questions; 0: all")
      ->capture_default_str();
  command.add_option("--text", flags.text, text_help);
  command.add_option("--threads", flags.threads, "Threads (0: one per core)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command.add_flag("--json", flags.json, "Results as JSON");
}

}  // namespace

void AddEval(CLI::App& app) {
  CLI::App* eval = app.add_subcommand("eval", "Measure what a compressed KV cache costs in quality");
  eval->require_subcommand(1);
  const auto flags = std::make_shared<EvalFlags>();
  const char* const kText = "A text file; default: the prompts of the built-in questions";

  CLI::App* kl = eval->add_subcommand(
      "kl", "Divergence of the next token's distribution from that over an f32 cache, in nats");
  AddFlags(*kl, *flags, kText);
  kl->footer("Example:\n  throng eval kl --kv f16,int8,rot4,rot2 --samples 20");
  kl->callback([flags] { RunDivergence(*flags, false); });

  CLI::App* ppl = eval->add_subcommand("ppl", "Perplexity of a text");
  AddFlags(*ppl, *flags, kText);
  ppl->footer("Example:\n  throng eval ppl -m model.gguf --text book.txt --kv f16,int8,rot4");
  ppl->callback([flags] { RunDivergence(*flags, true); });

  CLI::App* recall = eval->add_subcommand(
      "recall", "Answers by choice to questions about the prompt: how many does compression lose?");
  AddFlags(*recall, *flags,
           "File of JSON lines {prompt, choices, answer, distance}; default: the built-in questions");
  recall->footer(
      "lost and gained count the answers on which the codec and f32 differ; length is that of free answers\n"
      "relative to f32's.\n"
      "Example:\n"
      "  throng eval recall --kv f16,int8,rot4,rot2 --samples 0");
  recall->callback([flags] { RunRecall(*flags); });
}

}  // namespace throng::cli
