// `throng bench engine`: tokens per second of prefill and decode of a whole model, by depth, batch and codec
// of the KV cache, with the share of what the machine can do.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "attention/sas.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "bench/machine.h"
#include "bench/model_speed.h"
#include "bench/timing.h"
#include "cli/bench/bench_model.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "model/config.h"
#include "model/model.h"

namespace throng::cli {
namespace {

struct EngineFlags {
  BenchModelFlags model;
  std::string save;
  int prompt = 512;
  int decode = 64;
  std::vector<int> depths = {0};
  std::vector<int> batches = {1};
  int rounds = 3;
  bool json = false;
};

struct Row {
  std::string kv;
  std::string phase;
  int depth;
  int batch;
  bench::PassSpeed speed;

  double Seconds() const { return bench::Median(speed.seconds); }
  double Rate() const { return speed.tokens / Seconds(); }
  // Of what memory gave beside each round, the median.
  double BandwidthShare() const {
    std::vector<double> shares;
    for (size_t i = 0; i < speed.seconds.size(); ++i) {
      shares.push_back(speed.bytes / speed.seconds[i] / speed.read_rates[i]);
    }
    return bench::Median(std::move(shares));
  }
  double FlopsShare(const bench::Machine& machine) const { return speed.flops / Seconds() / machine.flops; }
};

void Save(const BenchModel& subject, const std::string& path) {
  if (path.empty()) return;
  AtomicFile file(path);
  file.Write(subject.bytes.data(), subject.bytes.size());
  file.Commit();
}

void Check(const EngineFlags& flags, const BenchModel& subject) {
  if (flags.prompt == 1)
    throw MakeError(ErrorCode::kInvalid, "bench: --prompt 1 is a decode; allowed are 0 and 2 or more");
  for (const int depth : flags.depths) {
    CheckWholePages(depth, "--depth");
    CheckContext(std::max(flags.prompt, flags.decode), depth, subject);
  }
}

// The rows of one codec. Those whose caches have no room are left out, with a warning.
void Measure(const EngineFlags& flags, const BenchModel& subject, const std::string& codec,
             ThreadPool& threads, bench::ReadMeter& memory, std::vector<Row>& rows) {
  const uint64_t budget = KvBudget(flags.model, subject);
  bench::ModelSpeed speed(*subject.file, *subject.transformer, {.kv = codec},
                          attention::ParseSoftmax(flags.model.softmax), budget, threads);
  for (const int depth : flags.depths) {
    for (const int batch : flags.batches) {
      const bool prefills = batch == flags.batches.front() && flags.prompt > 0;
      const int tokens = depth + std::max(flags.decode, prefills ? flags.prompt : 0);
      const size_t bytes = speed.CacheBytes(batch, tokens);
      if (bytes > budget) {
        spdlog::warn(
            "left out: {} caches of {} tokens with {} take {:.1f} GB, of which {:.1f} are free (--kv-budget)",
            batch, tokens, codec, static_cast<double>(bytes) * 1e-9, static_cast<double>(budget) * 1e-9);
        continue;
      }
      spdlog::info("{}, depth {}, batch {}", codec, depth, batch);
      speed.Fill(batch, depth);
      if (prefills) {
        rows.push_back({codec, "prefill", depth, 1, speed.Prefill(flags.prompt, flags.rounds, memory)});
      }
      if (flags.decode > 0) {
        rows.push_back({codec, "decode", depth, batch, speed.Decode(flags.decode, flags.rounds, memory)});
      }
    }
  }
}

void PrintTable(const bench::Machine& machine, const BenchModel& subject, const std::vector<Row>& rows) {
  fmt::print("machine: reads {:.1f} GB/s, computes {:.1f} Gflop/s in f32\n", machine.bandwidth * 1e-9,
             machine.flops * 1e-9);
  fmt::print("model: {}, {:.1f} MB of weights read for each pass\n\n", subject.transformer->Config().name,
             static_cast<double>(model::WeightBytes(*subject.file)) * 1e-6);
  size_t width = 12;
  for (const Row& row : rows) width = std::max(width, row.kv.size());
  fmt::print("{:<{}} {:<8} {:>7} {:>6} {:>10} {:>10} {:>10} {:>7}\n", "kv", width, "phase", "depth", "batch",
             "tokens/s", "GB read/s", "bandwidth", "flops");
  for (const Row& row : rows) {
    fmt::print("{:<{}} {:<8} {:>7} {:>6} {:>10.2f} {:>10.2f} {:>9.0f}% {:>6.0f}%\n", row.kv, width, row.phase,
               row.depth, row.batch, row.Rate(), row.speed.bytes / row.Seconds() * 1e-9,
               100 * row.BandwidthShare(), 100 * row.FlopsShare(machine));
  }
}

void PrintJson(const EngineFlags& flags, const bench::Machine& machine, const BenchModel& subject,
               const std::vector<Row>& rows) {
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    results.push_back({{"kv", row.kv},
                       {"phase", row.phase},
                       {"depth", row.depth},
                       {"batch", row.batch},
                       {"tokens_per_s", row.Rate()},
                       {"tokens", row.speed.tokens},
                       {"seconds", row.speed.seconds},
                       {"bytes", row.speed.bytes},
                       {"read_rates", row.speed.read_rates},
                       {"bandwidth_share", row.BandwidthShare()},
                       {"flops_share", row.FlopsShare(machine)}});
  }
  const nlohmann::ordered_json document = {{"model", subject.transformer->Config().name},
                                           {"weights", flags.model.shape.empty() ? "" : flags.model.weights},
                                           {"weight_bytes", model::WeightBytes(*subject.file)},
                                           {"softmax", flags.model.softmax},
                                           {"threads", ThreadsOrAll(flags.model.threads)},
                                           {"bandwidth_gb_s", machine.bandwidth * 1e-9},
                                           {"peak_gflop_s", machine.flops * 1e-9},
                                           {"results", results}};
  fmt::print("{}\n", document.dump(2));
}

void Run(const EngineFlags& flags) {
  const BenchModel subject = LoadBenchModel(flags.model);
  Save(subject, flags.save);
  Check(flags, subject);
  const std::vector<std::string> codecs = BenchCodecs(flags.model, subject);
  ThreadPool threads(ThreadsOrAll(flags.model.threads));
  const bench::Machine machine = bench::MeasureMachine(threads);
  bench::ReadMeter memory(threads);
  std::vector<Row> rows;
  for (const std::string& codec : codecs) Measure(flags, subject, codec, threads, memory, rows);
  flags.json ? PrintJson(flags, machine, subject, rows) : PrintTable(machine, subject, rows);
}

}  // namespace

void AddBenchEngine(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand(
      "engine", "Time prefill and decode of a whole model, by depth, batch and codec of the KV cache");
  const auto flags = std::make_shared<EngineFlags>();
  CLI::Option* shape = AddBenchModelFlags(*command, flags->model);
  command->add_option("--save", flags->save, "Also write the random model to a GGUF file, for other programs")
      ->needs(shape);
  command
      ->add_option(
          "--vocabulary", flags->model.vocabulary,
          "GGUF file whose vocabulary, tokenizer and chat template the random model has, so that what "
          "is saved can answer")
      ->needs(shape);
  command->add_option("--prompt", flags->prompt, "Tokens of a prefill; 0: none")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  command->add_option("--decode", flags->decode, "Tokens that each sequence decodes; 0: none")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  command->add_option("--depth", flags->depths, "Tokens in the cache before; several: 0,4096,16384")
      ->delimiter(',')
      ->check(CLI::Range(0, 1 << 22))
      ->capture_default_str();
  command->add_option("--batch", flags->batches, "Sequences that decode at once; several: 1,8,32")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--rounds", flags->rounds, "Rounds, of which the median counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--json", flags->json, "Results as JSON");
  command->footer(
      "Caches are filled with random keys and values, each sequence's in memory of its own; a prefill "
      "runs in passes of up to 512 tokens. Before anything is timed, the logits are checked: a token "
      "must get the same bits alone, in a prompt and in a batch.\n"
      "bandwidth: bytes of weights and sealed pages that have to be read, as a share of what the same "
      "threads read from memory just before and after each round; flops: multiplications and additions "
      "as a share of what they compute in f32, measured first.\n"
      "Examples:\n"
      "  throng bench engine -m model.gguf --depth 0,4096,16384 --batch 1,8,32 --kv f16,flashq4 --json\n"
      "  throng bench engine --shape llama-1b --weights q8_0 --save llama-1b.q8_0.gguf");
  command->callback([flags] { Run(*flags); });
}

}  // namespace throng::cli
