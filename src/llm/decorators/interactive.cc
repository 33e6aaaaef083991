#include "llm/decorators/interactive.h"

#include <algorithm>
#include <cmath>

namespace throng::llm {

namespace {

constexpr int kAhead = 1 << 30;  // no simulation has so many steps
constexpr double kSlack = 1.5;   // over the best that was seen, for answers too long for the target

}  // namespace

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  const auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(values.size())));
  const size_t index = std::clamp<size_t>(rank, 1, values.size()) - 1;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(index), values.end());
  return values[index];
}

uint64_t InteractiveLlm::Submit(Request request) {
  const uint64_t id = ++last_id_;
  if (request.key.agent == options_.agent) {
    if (options_.target_s > 0) request.priority -= kAhead;
    issued_.emplace(id, Inner().Now());
    Send(id, std::move(request));
  } else if (waiting_.empty() && MayPass()) {
    Send(id, std::move(request));
  } else {
    waiting_.emplace(request.priority, id);
    held_.emplace(id, std::move(request));
  }
  return id;
}

bool InteractiveLlm::MayPass() const {
  if (options_.target_s <= 0) return true;
  return issued_.empty() && ids_.size() < limit_;
}

void InteractiveLlm::Send(uint64_t id, Request request) {
  const uint64_t inner_id = Inner().Submit(std::move(request));
  ids_.emplace(inner_id, id);
  const std::lock_guard lock(mutex_);
  inner_ids_.emplace(id, inner_id);
}

void InteractiveLlm::Release(std::vector<Completion>& done) {
  {
    const std::lock_guard lock(mutex_);
    for (const uint64_t id : cancelled_) {
      const auto held = held_.find(id);
      if (held == held_.end()) continue;
      done.push_back(Cancelled(id, held->second.key));
      waiting_.erase({held->second.priority, id});
      held_.erase(held);
    }
    cancelled_.clear();
  }
  while (!waiting_.empty() && MayPass()) {
    const uint64_t id = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    Request request = std::move(held_.at(id));
    held_.erase(id);
    Send(id, std::move(request));
  }
}

void InteractiveLlm::Adapt(double latency_s, int output_tokens) {
  if (options_.target_s <= 0) return;
  const double tokens = std::max(output_tokens, 1);
  s_per_token_ = std::min(s_per_token_, latency_s / tokens);
  const double goal_s = std::max(options_.target_s, kSlack * s_per_token_ * tokens);
  const size_t background = ids_.size();
  if (latency_s > goal_s) {
    limit_ = std::max<size_t>(1, std::min(limit_, background) / 2);
  } else if (latency_s < goal_s / 2 && limit_ < SIZE_MAX / 2) {
    limit_ += std::max<size_t>(1, limit_ / 4);
  }
}

void InteractiveLlm::Wait(std::vector<Completion>& done, double seconds) {
  const size_t before = done.size();
  Release(done);
  if (done.size() > before) return;
  Inner().Wait(done, seconds);
  for (size_t i = before; i < done.size(); ++i) {
    const auto found = ids_.find(done[i].id);
    if (found == ids_.end()) continue;
    const uint64_t id = found->second;
    ids_.erase(found);
    {
      const std::lock_guard lock(mutex_);
      inner_ids_.erase(id);
    }
    done[i].id = id;
    const auto issued = issued_.find(id);
    if (issued == issued_.end()) continue;
    latencies_.push_back(Inner().Now() - issued->second);
    issued_.erase(issued);
    Adapt(latencies_.back(), done[i].output_tokens);
  }
}

void InteractiveLlm::Cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = inner_ids_.find(id);
  if (found == inner_ids_.end()) {
    cancelled_.insert(id);
  } else {
    Inner().Cancel(found->second);
  }
}

}  // namespace throng::llm
