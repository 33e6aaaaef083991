// Measures what the machine can do: the limits that benchmarks compare with.
#pragma once

namespace throng {
class ThreadPool;
}

namespace throng::bench {

// Bytes per second that all threads together read from memory far larger than the caches, in huge pages where
// the system grants them. The median of several passes: on a shared machine the best is a moment's luck.
double MeasureReadBandwidth(ThreadPool& threads);
// f32 operations of all threads together, multiplying and adding in registers, per second of processor time
// of each. The best of several passes.
double MeasurePeakFlops(ThreadPool& threads);

struct Machine {
  double bandwidth;  // bytes per second
  double flops;      // per second
};
Machine MeasureMachine(ThreadPool& threads);

}  // namespace throng::bench
