// Clocks of benchmarks.
#pragma once

#include <functional>
#include <vector>

namespace throng::bench {

// Seconds of one call; and the processor's seconds that all threads of the process spent meanwhile, which
// other processes that take turns with it hardly change.
double MeasureSeconds(const std::function<void()>& call);
struct Seconds {
  double wall;
  double cpu;
};
Seconds MeasureBoth(const std::function<void()>& call);
double Median(std::vector<double> values);

}  // namespace throng::bench
