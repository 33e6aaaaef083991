#include "llm/backends/in_flight_limit.h"

#include <algorithm>
#include <cmath>

namespace throng::llm {

void InFlightLimit::SetLimit(double limit) {
  limit_ = std::clamp(static_cast<int>(limit), 1, most_);
  window_after_ = last_sent_;
  answers_ = 0;
  seconds_ = work_ = 0;
}

void InFlightLimit::OnAnswer(uint64_t number, double seconds, double work, bool was_full) {
  if (!adapts_ || !was_full || number <= window_after_) return;
  ++answers_;
  seconds_ += seconds;
  work_ += work;
  if (answers_ < std::max(limit_, kLeastWindow)) return;
  // By Little's law: work per second = requests in flight * work per request / seconds per request.
  const double throughput = limit_ * work_ / std::max(seconds_, 1e-9);
  if (windows_to_hold_ >
      0) {  // what the limit gives changes with the requests and the server's other clients
    best_ = throughput;
    best_limit_ = limit_;
    --windows_to_hold_;
    return SetLimit(windows_to_hold_ > 0 ? limit_ : std::max(limit_ * 1.25, limit_ + 1.0));
  }
  if (throughput < best_ * kWorthwhile) {
    doubles_ = false;
    windows_to_hold_ = kWindowsHeld;
    return SetLimit(best_limit_);
  }
  best_ = throughput;
  best_limit_ = limit_;
  SetLimit(doubles_ ? limit_ * 2.0 : std::max(limit_ * 1.25, limit_ + 1.0));
}

void InFlightLimit::OnOverload(uint64_t number) {
  if (!adapts_ || number <= lowered_after_)
    return;  // the same overload, which the lower limit has not met yet
  lowered_after_ = last_sent_;
  doubles_ = false;
  windows_to_hold_ = 1;
  SetLimit(limit_ / 2);
}

}  // namespace throng::llm
