// Clocks for benchmarks.
#pragma once

#include <functional>
#include <vector>

namespace throng::bench {

// The wall time of one call, in seconds.
double MeasureSeconds(const std::function<void()>& call);
// wall: the wall time of one call. cpu: the processor time of all threads of the process meanwhile, which
// other processes on the machine hardly change.
struct Seconds {
  double wall;
  double cpu;
};
Seconds MeasureBoth(const std::function<void()>& call);
double Median(std::vector<double> values);

}  // namespace throng::bench
