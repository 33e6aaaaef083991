// `throng bench`, of which this file is `attention`: time and memory traffic of attention over compressed
// caches, compared with what the machine can do.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "attention/sas.h"
#include "base/error.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "bench/attention_speed.h"
#include "bench/machine.h"
#include "bench/timing.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/codec_lists.h"
#include "kv/codec_table.h"
#include "kv/layer_codecs.h"

namespace throng::cli {
namespace {

constexpr int kLeastRounds = 5;
constexpr int kMostRounds = 200;
constexpr double kSecondsPerCase = 0.5;
// With --cold, the sequences attended to in turn occupy this many bytes: twice the usual last-level cache.
constexpr size_t kColdBytes = size_t{64} << 20;

struct BenchFlags {
  std::string phase = "decode";
  std::vector<int> keys = {4096, 32768};
  int queries = 512;
  std::string kv = "int8";
  std::string softmax = "exact";
  int heads = 32;
  int kv_heads = 8;
  int head_dim = 128;
  int value_dim = 0;
  bool latent = false;
  int bias_pairs = 0;
  int threads = 0;
  bool cold = false;
  bool json = false;
};

struct Row {
  std::string kv;
  int keys;
  double error;
  size_t bytes;
  double flops;
  bench::Seconds seconds = {};  // medians; cpu: seconds of one thread
  bench::Seconds f16_seconds = {};

  double Ratio() const { return f16_seconds.wall / seconds.wall; }
  double CpuRatio() const { return f16_seconds.cpu / seconds.cpu; }
};

// Without a model, heads cannot be ranked: every other one gets 2 bits.
std::string WithSomeHeadBits(const std::string& codec) {
  return kv::LacksHeadBits(codec) ? kv::WithHeadBits(codec, "24") : codec;
}

bench::MeasureShape ShapeOf(const BenchFlags& flags, int keys) {
  return {.keys = keys,
          .queries = flags.phase == "decode" ? 1 : flags.queries,
          .heads = flags.heads,
          .kv_heads = flags.kv_heads,
          .head_dim = flags.head_dim,
          .value_dim = flags.value_dim,
          .latent = flags.latent,
          .bias_pairs = flags.bias_pairs};
}

// Measures all codecs at one length, alternating, so that other load on the machine affects them alike. The
// first is f16.
std::vector<Row> MeasureLength(const BenchFlags& flags, const std::vector<std::string>& codecs, int keys,
                               ThreadPool& threads) {
  const bench::MeasureInput input(ShapeOf(flags, keys));
  std::vector<std::unique_ptr<bench::MeasureCase>> cases;
  std::vector<Row> rows;
  for (const std::string& codec : codecs) {
    cases.push_back(std::make_unique<bench::MeasureCase>(kv::CodecFlags{.kv = WithSomeHeadBits(codec)},
                                                         attention::ParseSoftmax(flags.softmax), input,
                                                         threads, flags.cold ? kColdBytes : 0));
    const double error = cases.back()->Error();
    spdlog::info("{}, {} keys: relative error against the reference {:.2g}", codec, keys, error);
    const double largest = bench::LargestError(codec, input.shape);
    if (!(error < largest)) {
      throw MakeError(
          ErrorCode::kCorrupt,
          "bench: {} with {} keys: the result is wrong, its relative error is {:.2g} instead of at "
          "most {:.2g}",
          codec, keys, error, largest);
    }
    rows.push_back({codec, keys, error, cases.back()->CacheBytes(), cases.back()->Flops()});
  }
  std::vector<std::vector<double>> wall(cases.size()), cpu(cases.size());
  double spent = 0.0;
  const double most = kSecondsPerCase * static_cast<double>(cases.size());
  for (int round = 0; round < kLeastRounds || (round < kMostRounds && spent < most); ++round) {
    for (size_t i = 0; i < cases.size(); ++i) {
      const bench::Seconds seconds = bench::MeasureBoth([&] { cases[i]->Run(); });
      wall[i].push_back(seconds.wall);
      cpu[i].push_back(seconds.cpu / threads.NumThreads());
      spent += seconds.wall;
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].seconds = {bench::Median(wall[i]), bench::Median(cpu[i])};
    rows[i].f16_seconds = rows[0].seconds;
  }
  return rows;
}

void PrintTable(const BenchFlags& flags, const bench::Machine& machine, const std::vector<Row>& rows) {
  fmt::print("machine: reads {:.1f} GB/s, computes {:.1f} Gflop/s in f32\n", machine.bandwidth * 1e-9,
             machine.flops * 1e-9);
  fmt::print("{}{}, {} query heads, {}, softmax {}\n\n", flags.phase,
             flags.cold ? " of many sequences in turn" : "", flags.heads,
             kv::ShapeName(1, ShapeOf(flags, 0).Layer()), flags.softmax);
  size_t width = 12;
  for (const Row& row : rows) width = std::max(width, row.kv.size());
  fmt::print("{:<{}} {:>7} {:>10} {:>10} {:>10} {:>10} {:>8} {:>12} {:>8} {:>8}\n", "kv", width, "keys", "ms",
             "cpu ms", "MB", "bandwidth", "flops", "f16 / this", "by cpu", "error");
  for (const Row& row : rows) {
    fmt::print("{:<{}} {:>7} {:>10.3f} {:>10.3f} {:>10.2f} {:>9.0f}% {:>7.0f}% {:>12.2f} {:>8.2f} {:>8.1g}\n",
               row.kv, width, row.keys, row.seconds.wall * 1e3, row.seconds.cpu * 1e3,
               static_cast<double>(row.bytes) / 1e6,
               100.0 * static_cast<double>(row.bytes) / row.seconds.wall / machine.bandwidth,
               100.0 * row.flops / row.seconds.cpu / machine.flops, row.Ratio(), row.CpuRatio(), row.error);
  }
}

void PrintJson(const BenchFlags& flags, const bench::Machine& machine, const std::vector<Row>& rows) {
  nlohmann::json results = nlohmann::json::array();
  for (const Row& row : rows) {
    results.push_back(
        {{"kv", row.kv},
         {"phase", flags.phase},
         {"keys", row.keys},
         {"queries", flags.phase == "decode" ? 1 : flags.queries},
         {"softmax", flags.softmax},
         {"cold", flags.cold},
         {"ms", row.seconds.wall * 1e3},
         {"cpu_ms", row.seconds.cpu * 1e3},
         {"bytes", row.bytes},
         {"bandwidth_share", static_cast<double>(row.bytes) / row.seconds.wall / machine.bandwidth},
         {"flops_share", row.flops / row.seconds.cpu / machine.flops},
         {"ratio_to_f16", row.Ratio()},
         {"cpu_ratio_to_f16", row.CpuRatio()},
         {"error", row.error}});
  }
  const nlohmann::json document = {{"results", results},
                                   {"bandwidth_gb_s", machine.bandwidth * 1e-9},
                                   {"peak_gflop_s", machine.flops * 1e-9}};
  fmt::print("{}\n", document.dump(2));
}

// The codecs to measure: f16 first, because the others are compared with it.
std::vector<std::string> Check(const BenchFlags& flags) {
  if (flags.heads % flags.kv_heads != 0) {
    throw MakeError(ErrorCode::kInvalid, "bench: --heads {} is no multiple of --kv-heads {}", flags.heads,
                    flags.kv_heads);
  }
  std::vector<std::string> codecs = SplitCodecs(flags.kv);
  std::erase(codecs, "f16");
  codecs.insert(codecs.begin(), "f16");
  for (const std::string& codec : codecs) {
    kv::ParseHeadCodecs(WithSomeHeadBits(codec), flags.kv_heads, flags.head_dim);
  }
  const kv::LayerShape layer = ShapeOf(flags, 0).Layer();
  kv::CheckShapes({&layer, 1});
  if (flags.bias_pairs > flags.head_dim / 2) {
    throw MakeError(ErrorCode::kInvalid, "bench: --bias-pairs {}: a head of size {} has {} pairs",
                    flags.bias_pairs, flags.head_dim, flags.head_dim / 2);
  }
  for (const int keys : flags.keys) {
    // Sized for keys and values as f32: no codec takes more.
    const double bytes =
        4.0 * keys * static_cast<double>(layer.StoredElements()) * static_cast<double>(codecs.size());
    if (bytes > 64e9) {
      throw MakeError(ErrorCode::kInvalid,
                      "bench: {} keys in {} and {} codecs may take {:.0f} GB; allowed are 64", keys,
                      kv::ShapeName(1, layer), codecs.size(), bytes * 1e-9);
    }
  }
  return codecs;
}

void Run(const BenchFlags& flags) {
  const std::vector<std::string> codecs = Check(flags);
  ThreadPool threads(ThreadsOrAll(flags.threads));
  const bench::Machine machine = bench::MeasureMachine(threads);
  std::vector<Row> rows;
  for (const int keys : flags.keys) {
    for (Row& row : MeasureLength(flags, codecs, keys, threads)) rows.push_back(std::move(row));
  }
  flags.json ? PrintJson(flags, machine, rows) : PrintTable(flags, machine, rows);
}

}  // namespace

void AddBench(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "Measure this machine and the kernels on it");
  bench->require_subcommand(1);
  AddBenchEngine(*bench);
  AddBenchEviction(*bench);
  AddBenchLatency(*bench);
  AddBenchScheduler(*bench);
  AddBenchServer(*bench);
  AddBenchThroughput(*bench);
  CLI::App* command = bench->add_subcommand(
      "attention", "Time attention of one layer over caches of different codecs, in turns");
  const auto flags = std::make_shared<BenchFlags>();
  command
      ->add_option("--phase", flags->phase,
                   "decode: one token attends to the keys; prefill: --queries tokens attend to the keys and "
                   "to each other")
      ->check(CLI::IsMember({"decode", "prefill"}))
      ->capture_default_str();
  command->add_option("--keys", flags->keys, "Tokens in the cache; several: 1024,32768")
      ->delimiter(',')
      ->check(CLI::Range(64, 1 << 22))
      ->capture_default_str();
  command->add_option("--queries", flags->queries, "Tokens of a prefill")
      ->check(CLI::Range(1, 1 << 14))
      ->capture_default_str();
  command->add_option("--kv", flags->kv, "Codecs to compare with f16, a,b,...: " + kv::CodecNames())
      ->capture_default_str();
  command->add_option("--softmax", flags->softmax, "exact, or sas: an approximation")
      ->check(CLI::IsMember({"exact", "sas"}))
      ->capture_default_str();
  command->add_option("--heads", flags->heads, "Query heads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--kv-heads", flags->kv_heads, "KV heads, of which each serves as many query heads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--head-dim", flags->head_dim, "Size of a head")
      ->check(CLI::Range(8, kv::kMaxHeadDim))
      ->capture_default_str();
  command->add_option("--value-dim", flags->value_dim, "Size of a head's values, if not that of its keys")
      ->check(CLI::Range(8, kv::kMaxHeadDim));
  command->add_flag(
      "--latent", flags->latent,
      "Values are the first elements of the keys, as in multi-head latent attention: --heads 128 "
      "--kv-heads 1 --head-dim 576 --value-dim 512");
  command
      ->add_option("--bias-pairs", flags->bias_pairs,
                   "Pairs of each head in which keys are stored without their bias, and attention adds it")
      ->check(CLI::Range(0, kv::kMaxHeadDim / 2))
      ->capture_default_str();
  command->add_option("--threads", flags->threads, "Threads (0: one per core)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_flag(
      "--cold", flags->cold,
      "Attend to the caches of many sequences in turn, more than the processor's own cache holds");
  command->add_flag("--json", flags->json, "Results as JSON");
  command->footer(
      "Every result is compared with a reference in double precision before it is timed; times are medians.\n"
      "cpu ms: what the threads computed, on average: less than ms where the machine did other things as "
      "well.\n"
      "bandwidth: share of the bytes per second that the machine reads from memory; flops: share of the f32\n"
      "operations that it can do in the cpu time; both are measured first, on the same threads.\n"
      "Example:\n"
      "  throng bench attention --phase decode --keys 4096,32768 --kv int8,rot4,rot2");
  command->callback([flags] { Run(*flags); });
  bench->footer(
      "Examples:\n"
      "  throng bench engine -m model.gguf --depth 0,4096\n"
      "  throng bench attention --keys 4096 --kv int8,rot4");
}

}  // namespace throng::cli
