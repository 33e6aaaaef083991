// What the machine can do: the limits that benchmarks compare with.
#pragma once

namespace throng {
class ThreadPool;
}

namespace throng::bench {

// Bytes per second of all threads reading memory far beyond the caches; and the f32 operations that all
// threads, multiplying and adding in registers, do in a second of the processor's time for each. The best of
// several passes.
double MeasureReadBandwidth(ThreadPool& threads);
double MeasurePeakFlops(ThreadPool& threads);

}  // namespace throng::bench
