#include "bench/machine.h"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/huge_pages.h"
#include "base/thread_pool.h"
#include "bench/timing.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/machine.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace throng::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sums count words with the widest loads. count: a multiple of 64.
uint64_t SumWordsImpl(const uint64_t* words, size_t count) {
  const hn::CappedTag<uint64_t, 8> d;
  constexpr size_t kN = hn::MaxLanes(d);
  hn::Vec<decltype(d)> sum[8];
  for (auto& s : sum) s = hn::Zero(d);
  for (size_t i = 0; i < count; i += 8 * kN) {
    HWY_UNROLL(8)
    for (size_t j = 0; j < 8; ++j) sum[j] = hn::Add(sum[j], hn::LoadU(d, words + i + j * kN));
  }
  auto total = sum[0];
  for (size_t j = 1; j < 8; ++j) total = hn::Add(total, sum[j]);
  return hn::GetLane(hn::SumOfLanes(d, total));
}

// Returns the f32 operations done. 12 chains: two units with a latency of 4 or 5 cycles need 8 to 10, and 16
// registers hold them.
double MultiplyAndAddImpl(int rounds) {
  const hn::CappedTag<float, 16> d;
  hn::Vec<decltype(d)> sum[12];
  for (int j = 0; j < 12; ++j) sum[j] = hn::Set(d, static_cast<float>(j));
  const auto a = hn::Set(d, 0.999f);
  const auto b = hn::Set(d, 0.001f);
  for (int i = 0; i < rounds; ++i) {
    HWY_UNROLL(12)
    for (int j = 0; j < 12; ++j) sum[j] = hn::MulAdd(sum[j], a, b);
  }
  auto total = sum[0];
  for (int j = 1; j < 12; ++j) total = hn::Add(total, sum[j]);
  const float result = hn::GetLane(hn::SumOfLanes(d, total));
  // All chains converge to 1: the compiler does not know, so it has to compute them.
  const bool sound = result < 1e9f;
  return sound ? 2.0 * 12 * static_cast<double>(hn::Lanes(d)) * rounds : 0.0;
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::bench {
namespace {

HWY_EXPORT(SumWordsImpl);
HWY_EXPORT(MultiplyAndAddImpl);

constexpr size_t kReadBytes = size_t{256} << 20;
constexpr size_t kReadPieces = 256;

}  // namespace

ReadMeter::ReadMeter(ThreadPool& threads)
    : threads_(threads), words_(kReadBytes / 8, 1), sums_(kReadPieces) {}

double ReadMeter::Measure(int passes) {
  constexpr size_t kCount = kReadBytes / 8 / kReadPieces;
  std::vector<double> seconds;
  for (int pass = 0; pass < passes; ++pass) {
    seconds.push_back(MeasureSeconds([&] {
      threads_.ParallelFor(kReadPieces, [&](size_t piece, int) {
        sums_[piece] = HWY_DYNAMIC_DISPATCH(SumWordsImpl)(words_.data() + piece * kCount, kCount);
      });
    }));
  }
  THRONG_CHECK(sums_[0] == kCount);
  return kReadBytes / Median(std::move(seconds));
}

double MeasurePeakFlops(ThreadPool& threads) {
  // Some tens of milliseconds: systems count a running thread's time in ticks of up to 10.
  constexpr int kRounds = 1 << 23;
  constexpr int kPasses = 5;
  const auto pieces = static_cast<size_t>(threads.NumThreads());
  std::vector<double> flops(pieces);
  std::vector<double> seconds;
  for (int pass = 0; pass < kPasses; ++pass) {
    const Seconds both = MeasureBoth([&] {
      threads.ParallelFor(pieces, [&](size_t piece, int) {
        flops[piece] = HWY_DYNAMIC_DISPATCH(MultiplyAndAddImpl)(kRounds);
      });
    });
    seconds.push_back(both.cpu);
  }
  double sum = 0.0;
  for (const double f : flops) sum += f;
  return sum / Median(std::move(seconds)) * threads.NumThreads();
}

Machine MeasureMachine(ThreadPool& threads) {
  constexpr int kPasses = 15;
  return {ReadMeter(threads).Measure(kPasses), MeasurePeakFlops(threads)};
}

}  // namespace throng::bench
#endif  // HWY_ONCE
