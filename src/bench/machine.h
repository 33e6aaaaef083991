// Measures what the machine can do: the limits that benchmarks compare with.
#pragma once

#include <cstdint>
#include <vector>

#include "base/huge_pages.h"

namespace throng {
class ThreadPool;
}

namespace throng::bench {

// Measures what all threads together read from memory far larger than the caches, in huge pages where the
// system grants them. On a shared machine that changes within seconds, so what is compared with it has to be
// measured between two calls.
class ReadMeter {
 public:
  explicit ReadMeter(ThreadPool& threads);  // which must outlive it
  // Bytes per second, the median of as many passes. The best would be a moment's luck.
  double Measure(int passes);

 private:
  ThreadPool& threads_;
  const HugeVector<uint64_t> words_;
  std::vector<uint64_t> sums_;
};

// f32 operations of all threads together, multiplying and adding in registers, per second of processor time
// of each.
double MeasurePeakFlops(ThreadPool& threads);

struct Machine {
  double bandwidth;  // bytes per second
  double flops;      // per second
};
Machine MeasureMachine(ThreadPool& threads);

}  // namespace throng::bench
