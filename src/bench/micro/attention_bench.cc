// Attention over long caches: decode (one token) and prefill (a chunk), for each codec.
//
// Each case first compares its outputs with the double-precision reference, then prints the bytes of keys and
// values read per second. Arguments: keys held (decode), or queries and keys before them (prefill).
#include <benchmark/benchmark.h>

#include <string>

#include "base/thread_pool.h"
#include "bench/attention_speed.h"
#include "bench/machine.h"
#include "kv/codec_table.h"

namespace throng::attention {
namespace {

constexpr int kThreads = 2;

void Measure(benchmark::State& state, const std::string& codec, int held, int count) {
  const bench::MeasureInput input(
      {.keys = held, .queries = count, .heads = 32, .kv_heads = 8, .head_dim = 128});
  ThreadPool threads(kThreads);
  bench::MeasureCase measured({.kv = codec}, SoftmaxKind::kExact, input, threads);
  const double error = measured.Error();
  if (!(error < bench::LargestError(codec, input.shape))) {
    state.SkipWithError("wrong result");
    return;
  }
  for (auto _ : state) measured.Run();
  state.counters["error"] = error;
  state.counters["cache_MB"] = static_cast<double>(measured.CacheBytes()) / 1e6;
  if (count == 1) {
    state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * measured.CacheBytes()));
  }
  state.counters["GMAC/s"] =
      benchmark::Counter(measured.Flops() / 2.0 * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

// What the machine can do, on the same threads.
void Machine(benchmark::State& state) {
  ThreadPool threads(kThreads);
  for (auto _ : state) {
    state.counters["GB/s"] = bench::ReadMeter(threads).Measure(15) * 1e-9;
    state.counters["Gflop/s"] = bench::MeasurePeakFlops(threads) * 1e-9;
  }
}

void Register(const std::string& name, const std::string& codec, int held, int count) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) { Measure(state, codec, held, count); })
      ->MeasureProcessCPUTime()
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

void RegisterAll() {
  benchmark::RegisterBenchmark("Machine", Machine)->Iterations(1);
  for (const kv::CodecEntry& entry : kv::CodecTable()) {
    const std::string codec = entry.name;
    for (const int held : {1024, 4096, 32768}) {
      Register("Decode/" + codec + "/" + std::to_string(held), codec, held, 1);
    }
    Register("Prefill/" + codec + "/512/4096", codec, 4096, 512);
  }
}

}  // namespace
}  // namespace throng::attention

int main(int argc, char** argv) {
  throng::attention::RegisterAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
