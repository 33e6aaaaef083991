// Counters and gauges by name, printed as Prometheus text.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>

namespace throng::engine {

enum class MetricKind { kCounter, kGauge };

// A number that any thread may change. Counters only grow.
class Metric {
 public:
  Metric(MetricKind kind, std::string name, std::string help)
      : kind_(kind), name_(std::move(name)), help_(std::move(help)) {}

  void Add(double amount) {
    double old = value_.load(std::memory_order_relaxed);
    while (!value_.compare_exchange_weak(old, old + amount, std::memory_order_relaxed)) {
    }
  }
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  double Value() const { return value_.load(std::memory_order_relaxed); }

  MetricKind Kind() const { return kind_; }
  const std::string& Name() const { return name_; }
  const std::string& Help() const { return help_; }

 private:
  const MetricKind kind_;
  const std::string name_;
  const std::string help_;
  std::atomic<double> value_{0};
};

class MetricsRegistry {
 public:
  // The metric of that name, made at the first call. It lives as long as the registry. A counter's name ends
  // in _total.
  Metric& Counter(const std::string& name, const std::string& help) {
    return Find(MetricKind::kCounter, name, help);
  }
  Metric& Gauge(const std::string& name, const std::string& help) {
    return Find(MetricKind::kGauge, name, help);
  }

  // The Prometheus text exposition format, in order of registration.
  std::string PrometheusText() const;

 private:
  Metric& Find(MetricKind kind, const std::string& name, const std::string& help);

  mutable std::mutex mutex_;
  std::deque<Metric> metrics_;  // guarded by mutex_; a deque, so that references stay
};

}  // namespace throng::engine
