// Attention over long caches: decode (one token) and prefill (a chunk), for each codec.
//
// Each case first compares its outputs with the double-precision reference, then prints the bytes of keys and
// values read per second. Arguments: keys held (decode), or queries and keys before them (prefill).
#include <benchmark/benchmark.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "attention/attention.h"
#include "attention/reference.h"
#include "base/thread_pool.h"
#include "kv/block_pool.h"
#include "kv/codec_table.h"
#include "kv/test_util.h"

namespace throng::attention {
namespace {

constexpr int kKvHeads = 8;
constexpr int kGroup = 4;
constexpr int kHeadDim = 128;
constexpr int kThreads = 2;

// One layer's cache of `held` tokens with a chunk of `count` queries begun.
class Setup {
 public:
  Setup(const std::string& codec, int held, int count)
      : pool_(kv::MakeLayout({.kv = codec}, 1, kKvHeads, kHeadDim), size_t{4} << 30),
        cache_(pool_),
        threads_(kThreads) {
    for (int done = 0; done < held;) {
      const int chunk = std::min(1024, held - done);
      Begin(chunk);
      for (int head = 0; head < kKvHeads; ++head) cache_.FinishLayer(0, head);
      cache_.EndChunk();
      done += chunk;
    }
    Begin(count);
    queries_ = kv::Normal(static_cast<size_t>(count) * kStride * kGroup, 3);
    out_.resize(queries_.size());
    for (int head = 0; head < kKvHeads; ++head) jobs_.push_back(Job(head, count, out_.data()));
  }

  void Run() { AttendAll(jobs_, threads_, scratch_); }

  // The largest relative error of the first token's outputs of two heads.
  double Error() {
    Run();
    double worst = 0.0;
    for (const int head : {0, kKvHeads - 1}) {
      std::vector<float> expected(out_.size());
      AttendReference(Job(head, 1, expected.data()));
      const size_t at = static_cast<size_t>(head) * kGroup * kHeadDim;
      const auto part = [at](const std::vector<float>& all) {
        return std::vector<float>(all.begin() + at, all.begin() + at + kGroup * kHeadDim);
      };
      worst = std::max(worst, kv::RelativeError(part(out_), part(expected)));
    }
    return worst;
  }

  // Keys and values of all pages that one pass reads once per tile of queries.
  size_t CacheBytes() const { return static_cast<size_t>(cache_.NumTokens()) / 64 * cache_.Layout().bytes; }

 private:
  static constexpr size_t kStride = size_t{kKvHeads} * kHeadDim;

  void Begin(int count) {
    if (!cache_.Reserve(count)) std::abort();
    cache_.BeginChunk(count);
    const std::vector<float> rows =
        kv::Normal(count * kStride, static_cast<uint64_t>(cache_.NumTokens()) + 1);
    for (int head = 0; head < kKvHeads; ++head) {
      cache_.Append(0, head, rows.data() + head * kHeadDim, rows.data() + (kKvHeads - 1 - head) * kHeadDim,
                    kStride);
    }
  }

  AttentionJob Job(int head, int count, float* out) const {
    const size_t at = static_cast<size_t>(head) * kGroup * kHeadDim;
    return {.cache = &cache_,
            .layer = 0,
            .kv_head = head,
            .group = kGroup,
            .first_token = 0,
            .num_tokens = count,
            .queries = queries_.data() + at,
            .query_stride = kStride * kGroup,
            .out = out + at,
            .out_stride = kStride * kGroup,
            .scale = 1.0f / std::sqrt(static_cast<float>(kHeadDim)),
            .window = 0};
  }

  kv::BlockPool pool_;
  kv::SequenceCache cache_;
  ThreadPool threads_;
  std::vector<AttentionScratch> scratch_;
  std::vector<float> queries_, out_;
  std::vector<AttentionJob> jobs_;
};

void Measure(benchmark::State& state, const std::string& codec, int held, int count) {
  Setup setup(codec, held, count);
  const double error = setup.Error();
  if (!(error < 0.03)) {
    state.SkipWithError("wrong result");
    return;
  }
  for (auto _ : state) setup.Run();
  state.counters["error"] = error;
  state.counters["cache_MB"] = static_cast<double>(setup.CacheBytes()) / 1e6;
  if (count == 1) state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * setup.CacheBytes()));
  // Multiply-adds of scores and mixes.
  const double pairs = static_cast<double>(count) * held + 0.5 * count * (count + 1.0);
  state.counters["GMAC/s"] = benchmark::Counter(pairs * kKvHeads * kGroup * kHeadDim * 2 * 1e-9,
                                                benchmark::Counter::kIsIterationInvariantRate);
}

// What one pass over memory costs: the sum of a buffer far larger than the caches, on the same threads.
void ReadMemory(benchmark::State& state) {
  constexpr size_t kWords = size_t{256} << 17;  // 256 MiB
  const std::vector<uint64_t> words(kWords, 1);
  ThreadPool threads(kThreads);
  constexpr size_t kPieces = 64;
  std::vector<uint64_t> sums(kPieces);
  for (auto _ : state) {
    threads.ParallelFor(kPieces, [&](size_t piece, int) {
      const uint64_t* at = words.data() + piece * (kWords / kPieces);
      uint64_t sum[8] = {};
      for (size_t i = 0; i < kWords / kPieces; i += 8) {
        for (size_t j = 0; j < 8; ++j) sum[j] += at[i + j];
      }
      sums[piece] = sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
    });
    benchmark::DoNotOptimize(sums.data());
  }
  if (sums[0] != kWords / kPieces) state.SkipWithError("wrong result");
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kWords * 8));
}

void RegisterAll() {
  benchmark::RegisterBenchmark("ReadMemory", ReadMemory)
      ->MeasureProcessCPUTime()
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
  for (const kv::CodecEntry& entry : kv::CodecTable()) {
    const std::string codec = entry.name;
    for (const int held : {1024, 4096, 32768}) {
      benchmark::RegisterBenchmark(("Decode/" + codec + "/" + std::to_string(held)).c_str(),
                                   [codec, held](benchmark::State& state) { Measure(state, codec, held, 1); })
          ->MeasureProcessCPUTime()
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
    benchmark::RegisterBenchmark(("Prefill/" + codec + "/512/4096").c_str(),
                                 [codec](benchmark::State& state) { Measure(state, codec, 4096, 512); })
        ->MeasureProcessCPUTime()
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
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
