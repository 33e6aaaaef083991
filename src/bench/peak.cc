#include "bench/peak.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/peak.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace throng::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

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

// 12 chains: two units with a latency of 4 or 5 cycles need 8 to 10, and 16 registers hold them.
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

}  // namespace

uint64_t SumWords(const uint64_t* words, size_t count) {
  return HWY_DYNAMIC_DISPATCH(SumWordsImpl)(words, count);
}

double MultiplyAndAdd(int rounds) { return HWY_DYNAMIC_DISPATCH(MultiplyAndAddImpl)(rounds); }

}  // namespace throng::bench
#endif  // HWY_ONCE
