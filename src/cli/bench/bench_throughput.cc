// `throng bench throughput`: tokens per second of as many sequences as fit into a KV budget, by codec.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "attention/sas.h"
#include "base/text/human_bytes.h"
#include "base/thread_pool.h"
#include "bench/machine.h"
#include "bench/throughput.h"
#include "cli/bench/bench_model.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "model/config.h"
#include "model/model.h"

namespace throng::cli {
namespace {

struct ThroughputFlags {
  BenchModelFlags model;
  bench::ThroughputLoad load;
  bool fill = false;
  bool json = false;
};

struct CodecRows {
  std::string kv;
  std::vector<bench::ThroughputRow> rows;

  const bench::ThroughputRow& Best() const {
    return *std::max_element(rows.begin(), rows.end(),
                             [](const auto& a, const auto& b) { return a.DecodeRate() < b.DecodeRate(); });
  }
  const bench::ThroughputRow* OfBatch(int batch) const {
    for (const bench::ThroughputRow& row : rows) {
      if (row.batch == batch) return &row;
    }
    return nullptr;
  }
};

// Compared with the first codec.
struct Gain {
  double rate;    // of the best rates
  int batch = 0;  // the largest batch that was measured of both; 0: none
  double kv = 0;  // the first codec's peak of the ledger at that batch over this one's
  double process = 0;
  int same_tokens = 0;  // how many tokens the answer has in common with the first codec's from its start
};

Gain GainOver(const CodecRows& first, const CodecRows& codec) {
  Gain gain{.rate = codec.Best().DecodeRate() / first.Best().DecodeRate()};
  const std::vector<int32_t>& a = first.rows.front().answer;
  const std::vector<int32_t>& b = codec.rows.front().answer;
  gain.same_tokens = static_cast<int>(std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin());
  for (const bench::ThroughputRow& row : first.rows) {
    const bench::ThroughputRow* other = codec.OfBatch(row.batch);
    if (other == nullptr) continue;
    gain.batch = row.batch;
    gain.kv = static_cast<double>(row.kv_bytes) / static_cast<double>(other->kv_bytes);
    gain.process = static_cast<double>(row.process_bytes) / static_cast<double>(other->process_bytes);
  }
  return gain;
}

std::string Human(size_t bytes) { return HumanBytes(static_cast<double>(bytes)); }

void PrintTable(const ThroughputFlags& flags, const bench::Machine& machine, const BenchModel& model,
                uint64_t budget, const std::vector<CodecRows>& all) {
  fmt::print("machine: reads {:.1f} GB/s, computes {:.1f} Gflop/s in f32\n", machine.bandwidth * 1e-9,
             machine.flops * 1e-9);
  fmt::print("model: {}, {:.1f} MB of weights read for each pass; caches: at most {}\n",
             model.transformer->Config().name, static_cast<double>(model::WeightBytes(*model.file)) * 1e-6,
             Human(budget));
  fmt::print("each sequence: a prompt of {} tokens{}, an answer of {}\n\n", flags.load.prompt,
             flags.fill ? ", made up" : "", flags.load.answer);
  size_t width = 12;
  for (const CodecRows& codec : all) width = std::max(width, codec.kv.size());
  fmt::print("{:<{}} {:>6} {:>10} {:>13} {:>10} {:>10} {:>10} {:>7}\n", "kv", width, "batch", "tokens/s",
             "with prompts", "KV peak", "process", "bandwidth", "flops");
  for (const CodecRows& codec : all) {
    for (const bench::ThroughputRow& row : codec.rows) {
      const double seconds = row.Seconds();
      fmt::print("{:<{}} {:>6} {:>10.2f} {:>13} {:>10} {:>10} {:>9.0f}% {:>6.0f}%{}\n", codec.kv, width,
                 row.batch, row.DecodeRate(), flags.fill ? "-" : fmt::format("{:.2f}", row.WholeRate()),
                 Human(row.kv_bytes), Human(row.process_bytes),
                 100 * row.decode.bytes / seconds / machine.bandwidth,
                 100 * row.decode.flops / seconds / machine.flops, row.batch == row.most ? "  full" : "");
    }
  }
  fmt::print("\n{:<{}} {:>10} {:>6} {:>10} {:>10} {:>12}\n", "kv", width, "tokens/s", "batch", "KV bytes",
             "process", "same answer");
  for (const CodecRows& codec : all) {
    const Gain gain = GainOver(all.front(), codec);
    fmt::print("{:<{}} {:>9.2f}x {:>6} {:>9.2f}x {:>9.2f}x {:>12}\n", codec.kv, width, gain.rate, gain.batch,
               gain.kv, gain.process, fmt::format("{} of {}", gain.same_tokens, flags.load.answer));
  }
}

void PrintJson(const ThroughputFlags& flags, const bench::Machine& machine, const BenchModel& model,
               uint64_t budget, const std::vector<CodecRows>& all) {
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  nlohmann::ordered_json gains = nlohmann::ordered_json::array();
  for (const CodecRows& codec : all) {
    for (const bench::ThroughputRow& row : codec.rows) {
      const double seconds = row.Seconds();
      results.push_back({{"kv", codec.kv},
                         {"batch", row.batch},
                         {"most_sequences", row.most},
                         {"tokens_per_s", row.DecodeRate()},
                         {"seconds", row.decode.seconds},
                         {"prompt_seconds", row.prompt_seconds},
                         {"tokens_per_s_with_prompts", row.WholeRate()},
                         {"kv_bytes_peak", row.kv_bytes},
                         {"process_bytes_peak", row.process_bytes},
                         {"bandwidth_share", row.decode.bytes / seconds / machine.bandwidth},
                         {"flops_share", row.decode.flops / seconds / machine.flops}});
    }
    const Gain gain = GainOver(all.front(), codec);
    gains.push_back({{"kv", codec.kv},
                     {"tokens_per_s", gain.rate},
                     {"equal_batch", gain.batch},
                     {"kv_bytes", gain.kv},
                     {"process_bytes", gain.process},
                     {"same_tokens", gain.same_tokens}});
  }
  const nlohmann::ordered_json document = {{"model", model.transformer->Config().name},
                                           {"weights", flags.model.shape.empty() ? "" : flags.model.weights},
                                           {"weight_bytes", model::WeightBytes(*model.file)},
                                           {"prompt", flags.load.prompt},
                                           {"answer", flags.load.answer},
                                           {"kv_budget_bytes", budget},
                                           {"softmax", flags.model.softmax},
                                           {"threads", ThreadsOrAll(flags.model.threads)},
                                           {"bandwidth_gb_s", machine.bandwidth * 1e-9},
                                           {"peak_gflop_s", machine.flops * 1e-9},
                                           {"results", results},
                                           {"over_first", gains}};
  fmt::print("{}\n", document.dump(2));
}

void Run(ThroughputFlags flags) {
  flags.load.compute_prompt = !flags.fill;
  std::sort(flags.load.batches.begin(), flags.load.batches.end());
  CheckWholePages(flags.load.prompt, "--prompt");
  const BenchModel model = LoadBenchModel(flags.model);
  if (flags.load.prompt == 0) {
    flags.load.prompt = bench::DefaultPrompt(model.transformer->Config().context_length, flags.load.answer);
  }
  CheckContext(flags.load.answer, flags.load.prompt, model);
  const std::vector<std::string> codecs = BenchCodecs(flags.model, model);
  ThreadPool threads(ThreadsOrAll(flags.model.threads));
  const bench::Machine machine = bench::MeasureMachine(threads);
  const uint64_t budget = KvBudget(flags.model, model);
  std::vector<CodecRows> all;
  for (const std::string& kv : codecs) {
    std::vector<bench::ThroughputRow> rows =
        bench::MeasureThroughput(*model.file, *model.transformer, {.kv = kv},
                                 attention::ParseSoftmax(flags.model.softmax), budget, flags.load, threads);
    if (!rows.empty()) all.push_back({kv, std::move(rows)});
  }
  flags.json ? PrintJson(flags, machine, model, budget, all) : PrintTable(flags, machine, model, budget, all);
}

}  // namespace

void AddBenchThroughput(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand(
      "throughput", "Raise the batch until the KV budget is full: tokens per second and bytes, by codec");
  const auto flags = std::make_shared<ThroughputFlags>();
  flags->model.kv = "f16,flashq4,gear2";
  flags->load.prompt = 0;
  AddBenchModelFlags(*command, flags->model);
  command
      ->add_option("--prompt", flags->load.prompt,
                   "Tokens of each sequence's prompt (0: 1024, or what the model's context leaves)")
      ->check(CLI::Range(0, 1 << 22))
      ->capture_default_str();
  command->add_option("--answer", flags->load.answer, "Tokens that each sequence decodes")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command
      ->add_option("--batch", flags->load.batches,
                   "Sequences at once; several: 4,16; default: doubled from 1 until the budget is full")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--rounds", flags->load.rounds, "Rounds of answers, of which the median counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--fill", flags->fill,
                    "Fill the caches with random keys and values instead of computing the prompt");
  command->add_flag("--json", flags->json, "Results as JSON");
  command->footer(
      "The prompt is made up and computed once; its pages are copied for each further sequence, in memory of "
      "its own. All sequences then decode at once, and each must answer as one does alone.\n"
      "with prompts: tokens of answers per second if each sequence's prompt takes as long as the first "
      "one's. "
      "KV peak: the most bytes that the caches held; process: the most that the process had resident, "
      "weights "
      "and all.\n"
      "The second table compares with the first codec: the best tokens per second of each, the bytes at the "
      "largest batch that both were measured at, and how far the answers are the same.\n"
      "Example:\n"
      "  throng bench throughput --shape llama-1b --kv f16,flashq4,gear2 --kv-budget 1032MB --prompt 8064 "
      "--fill");
  command->callback([flags] { Run(*flags); });
}

}  // namespace throng::cli
