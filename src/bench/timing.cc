#include "bench/timing.h"

#include <time.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"

namespace throng::bench {

double MeasureSeconds(const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Seconds MeasureBoth(const std::function<void()>& call) {
  const auto cpu = [] {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  };
  const double before = cpu();
  const double wall = MeasureSeconds(call);
  return {wall, cpu() - before};
}

double Median(std::vector<double> values) {
  THRONG_CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

}  // namespace throng::bench
