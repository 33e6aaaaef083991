#include "engine/metrics.h"

#include <fmt/format.h>

#include <iterator>

#include "base/check.h"

namespace throng::engine {

Metric& MetricsRegistry::Find(MetricKind kind, const std::string& name, const std::string& help) {
  std::lock_guard lock(mutex_);
  for (Metric& metric : metrics_) {
    if (metric.Name() == name) {
      THRONG_CHECK(metric.Kind() == kind);
      return metric;
    }
  }
  return metrics_.emplace_back(kind, name, help);
}

std::string MetricsRegistry::PrometheusText() const {
  std::lock_guard lock(mutex_);
  std::string text;
  for (const Metric& metric : metrics_) {
    fmt::format_to(std::back_inserter(text), "# HELP {0} {1}\n# TYPE {0} {2}\n{0} {3}\n", metric.Name(),
                   metric.Help(), metric.Kind() == MetricKind::kCounter ? "counter" : "gauge",
                   metric.Value());
  }
  return text;
}

}  // namespace throng::engine
