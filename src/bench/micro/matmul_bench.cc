// Products of activations with GGUF weights: decode (1 to 16 rows) and prefill (128 rows) of a 4096 x 4096
// matrix.
//
// Each case first compares its outputs with the double-precision reference. Prints operations and bytes of
// weights per second, and their share of what this machine can do, measured at the same time: memory reads
// for decode, and for prefill the same kernel on operands that stay in the first-level cache. cpu_us is the
// processor time of a row, which other programs hardly change. THRONG_FORCE_TARGET limits the instructions.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/simd_target.h"
#include "base/thread_pool.h"
#include "bench/machine.h"
#include "bench/timing.h"
#include "model/matmul/matmul.h"
#include "model/testing/test_matrices.h"

namespace throng::model {
namespace {

constexpr size_t kSize = 4096;
constexpr int kThreads = 2;

// Operations per second of a product whose operands stay in the first-level cache: the peak of our own
// kernel.
double MeasureCachedPeak(TensorType type) {
  constexpr size_t kCols = 512, kOutputs = 32, kRows = 64;
  const auto blocks = RandomBlocks(type, kCols * kOutputs, 0.1f, 1);
  const std::vector<float> x(kCols * kRows, 0.5f);
  std::vector<std::vector<float>> y(kThreads, std::vector<float>(kOutputs * kRows));
  std::vector<MatMulScratch> scratch(kThreads);
  ThreadPool pool(kThreads);
  constexpr int kRepeats = 2000;
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const double seconds = bench::MeasureSeconds([&] {
      pool.ParallelFor(kThreads, [&](size_t i, int) {
        const Product product{{type, kOutputs, kCols, blocks.data()}, y[i].data(), kOutputs};
        for (int n = 0; n < kRepeats; ++n)
          MatMul(x.data(), kRows, kCols, kCols, {&product, 1}, scratch[i], nullptr);
      });
    });
    best = std::max(best, 2.0 * kCols * kOutputs * kRows * kRepeats * kThreads / seconds);
  }
  return best;
}

double Bandwidth() {
  ThreadPool threads(kThreads);
  static const double bandwidth = bench::ReadMeter(threads).Measure(15);
  return bandwidth;
}

// The largest error of some rows, relative to the largest output.
double Error(const Matrix& w, const std::vector<float>& x, size_t rows, const std::vector<float>& y) {
  std::vector<float> expected(rows * 64);
  const Matrix part = w.Rows(0, 64);
  MatMulReference(x.data(), rows, kSize, false, {part, expected.data(), 64});
  double error = 0;
  double largest = 0;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t o = 0; o < 64; ++o) {
      error = std::max<double>(error, std::abs(y[r * kSize + o] - expected[r * 64 + o]));
      largest = std::max<double>(largest, std::abs(expected[r * 64 + o]));
    }
  }
  return error / largest;
}

void BM_MatMul(benchmark::State& state, TensorType type, bool in_strips) {
  const auto rows = static_cast<size_t>(state.range(0));
  // Several matrices, so that each decode reads from memory and not from a cache.
  const bool decode = rows <= 32;
  const size_t copies = decode ? 8 : 1;
  const auto blocks = RandomBlocks(type, kSize * kSize, 0.1f, 1);
  std::vector<std::vector<uint8_t>> weights(copies, blocks);
  std::vector<Matrix> matrices;
  std::vector<RepackedMatrix> strips;
  for (const auto& bytes : weights) {
    matrices.push_back({type, kSize, kSize, bytes.data()});
    if (!in_strips) continue;
    strips.emplace_back(matrices.back());
    for (size_t i = 0; i < strips.back().NumStrips(); ++i) strips.back().Write(i);
    matrices.back() = strips.back().View();
  }
  CounterRng rng(2);
  std::vector<float> x(rows * kSize);
  for (float& value : x) value = RandomFloat(rng, 1.0f);
  std::vector<float> y(rows * kSize);
  MatMulScratch scratch;
  ThreadPool pool(kThreads);
  const auto multiply = [&](size_t i) {
    const Product product{matrices[i % copies], y.data(), kSize};
    MatMul(x.data(), rows, kSize, kSize, {&product, 1}, scratch, &pool);
  };
  multiply(0);
  const Matrix w{type, kSize, kSize, blocks.data()};
  if (Error(w, x, std::min<size_t>(rows, 4), y) > 1e-4)
    return state.SkipWithError("differs from the reference");
  size_t i = 0;
  double best = 1e30;
  double best_cpu = 1e30;
  for (auto _ : state) {
    const bench::Seconds seconds = bench::MeasureBoth([&] { multiply(i++); });
    best = std::min(best, seconds.wall);
    best_cpu = std::min(best_cpu, seconds.cpu);
  }
  const double operations = 2.0 * kSize * kSize * static_cast<double>(rows);
  const auto bytes = static_cast<double>(w.Bytes());
  state.counters["GOP/s"] = operations / best / 1e9;
  state.counters["GB/s"] = bytes / best / 1e9;
  state.counters["cpu_us"] = best_cpu / static_cast<double>(rows) * 1e6;
  if (decode) {
    state.counters["of_bandwidth"] = bytes / best / Bandwidth();
  } else {
    state.counters["of_cached_peak"] = operations / best / MeasureCachedPeak(type);
  }
}

void Benchmarks(TensorType type, bool in_strips) {
  const std::string name = "MatMul/" + TensorTypeName(type) + (in_strips ? "/strips" : "");
  auto* benchmark = benchmark::RegisterBenchmark(name.c_str(), BM_MatMul, type, in_strips);
  for (const int rows : {1, 2, 4, 8, 12, 16, 32, 128, 512}) benchmark->Arg(rows);
  benchmark->UseRealTime()->Unit(benchmark::kMillisecond);
}

}  // namespace
}  // namespace throng::model

int main(int argc, char** argv) {
  throng::ApplyForcedTarget();
  for (const auto type : throng::model::kAllTensorTypes) {
    throng::model::Benchmarks(type, false);
    if (throng::model::IsQuantized(type)) throng::model::Benchmarks(type, true);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
