#include "engine/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace throng::engine {

void Histogram::Observe(double seconds) {
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  const std::lock_guard lock(mutex_);
  ++counts_[static_cast<size_t>(bound - kBounds.begin())];
  sum_ += seconds;
}

void Histogram::PrintTo(std::string& text) const {
  const std::lock_guard lock(mutex_);
  const auto out = std::back_inserter(text);
  fmt::format_to(out, "# HELP {0} {1}\n# TYPE {0} histogram\n", name_, help_);
  uint64_t count = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    count += counts_[i];
    fmt::format_to(out, "{}_bucket{{le=\"{}\"}} {}\n", name_, kBounds[i], count);
  }
  count += counts_.back();
  fmt::format_to(out, "{0}_bucket{{le=\"+Inf\"}} {1}\n{0}_sum {2}\n{0}_count {1}\n", name_, count, sum_);
}

Metric& MetricsRegistry::Find(MetricKind kind, const std::string& name, const std::string& help,
                              const std::string& label) {
  std::lock_guard lock(mutex_);
  for (Metric& metric : metrics_) {
    if (metric.Name() == name && metric.Label() == label) {
      THRONG_CHECK(metric.Kind() == kind);
      return metric;
    }
  }
  return metrics_.emplace_back(kind, name, help, label);
}

Histogram& MetricsRegistry::Durations(const std::string& name, const std::string& help) {
  std::lock_guard lock(mutex_);
  for (Histogram& histogram : histograms_) {
    if (histogram.Name() == name) return histogram;
  }
  return histograms_.emplace_back(name, help);
}

std::string MetricsRegistry::PrometheusText() const {
  std::lock_guard lock(mutex_);
  std::string text;
  const auto out = std::back_inserter(text);
  const Metric* before = nullptr;
  for (const Metric& metric : metrics_) {
    if (before == nullptr || before->Name() != metric.Name()) {
      fmt::format_to(out, "# HELP {0} {1}\n# TYPE {0} {2}\n", metric.Name(), metric.Help(),
                     metric.Kind() == MetricKind::kCounter ? "counter" : "gauge");
    }
    const std::string label = metric.Label().empty() ? "" : "{" + metric.Label() + "}";
    fmt::format_to(out, "{}{} {}\n", metric.Name(), label, metric.Value());
    before = &metric;
  }
  for (const Histogram& histogram : histograms_) histogram.PrintTo(text);
  return text;
}

}  // namespace throng::engine
