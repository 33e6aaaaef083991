// A model of the controller that a deployment with workers has (AI Metropolis, section 3): it acknowledges
// finished clusters one after the other, and takes its time for each.
#pragma once

#include <limits>
#include <queue>
#include <utility>
#include <vector>

#include "sim/run/cluster_order.h"

namespace throng::sim {

class AckQueue {
 public:
  static constexpr double kNever = std::numeric_limits<double>::infinity();
  static constexpr double kSlack = 1e-9;  // seconds that sums of waits may be off

  // Seconds for each cluster; 0: no cluster ever waits here.
  explicit AckQueue(double seconds) : seconds_(seconds) {}

  bool TakesTime() const { return seconds_ > 0; }
  size_t Size() const { return waiting_.size() + (current_ != nullptr ? 1 : 0); }
  // When the next cluster is acknowledged.
  double NextEnd() const { return current_ != nullptr ? end_ : kNever; }

  void Push(const OrderedCluster& cluster, double now) {
    waiting_.push(cluster);
    if (current_ == nullptr) Begin(now);
  }

  // A cluster that is acknowledged by now; null if there is none.
  ClusterRun* Take(double now) {
    if (current_ == nullptr || end_ > now + kSlack) return nullptr;
    ClusterRun* done = std::exchange(current_, nullptr);
    if (!waiting_.empty()) Begin(end_);
    return done;
  }

 private:
  void Begin(double now) {
    current_ = waiting_.top().cluster;
    waiting_.pop();
    end_ = now + seconds_;
  }

  const double seconds_;
  std::priority_queue<OrderedCluster> waiting_;
  ClusterRun* current_ = nullptr;
  double end_ = 0;
};

}  // namespace throng::sim
