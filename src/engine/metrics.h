// Counters, gauges and histograms by name, printed as Prometheus text. Names begin with "throng:"; what vLLM
// counts too has its name behind that.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <utility>

namespace throng::engine {

enum class MetricKind { kCounter, kGauge };

// A number that any thread may change. Counters only grow.
class Metric {
 public:
  Metric(MetricKind kind, std::string name, std::string help, std::string label)
      : kind_(kind), name_(std::move(name)), help_(std::move(help)), label_(std::move(label)) {}

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
  const std::string& Label() const { return label_; }

 private:
  const MetricKind kind_;
  const std::string name_;
  const std::string help_;
  const std::string label_;
  std::atomic<double> value_{0};
};

// How many durations were how long. Any thread may observe.
class Histogram {
 public:
  Histogram(std::string name, std::string help) : name_(std::move(name)), help_(std::move(help)) {}

  void Observe(double seconds);
  void PrintTo(std::string& text) const;
  const std::string& Name() const { return name_; }

 private:
  static constexpr std::array<double, 14> kBounds = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                     0.5,   1,     2.5,  5,     10,   30,  120};

  const std::string name_;
  const std::string help_;
  mutable std::mutex mutex_;
  std::array<uint64_t, kBounds.size() + 1>
      counts_{};    // guarded by mutex_; of each bound, and beyond the last
  double sum_ = 0;  // guarded by mutex_
};

class MetricsRegistry {
 public:
  // The metric of that name, made at the first call. It lives as long as the registry. A counter's name ends
  // in _total. Those that differ by a label alone, such as reason="stop", are made one after the other.
  Metric& Counter(const std::string& name, const std::string& help, const std::string& label = "") {
    return Find(MetricKind::kCounter, name, help, label);
  }
  Metric& Gauge(const std::string& name, const std::string& help) {
    return Find(MetricKind::kGauge, name, help, "");
  }

  // Of seconds.
  Histogram& Durations(const std::string& name, const std::string& help);

  // The Prometheus text exposition format, in order of registration, histograms last.
  std::string PrometheusText() const;

 private:
  Metric& Find(MetricKind kind, const std::string& name, const std::string& help, const std::string& label);

  mutable std::mutex mutex_;
  std::deque<Metric> metrics_;        // guarded by mutex_; a deque, so that references stay
  std::deque<Histogram> histograms_;  // guarded by mutex_
};

}  // namespace throng::engine
