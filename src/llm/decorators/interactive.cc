#include "llm/decorators/interactive.h"

#include <algorithm>
#include <cmath>

namespace throng::llm {

namespace {

constexpr int kAhead = 1 << 30;  // more than any simulation has steps
constexpr double kSlack = 1.5;   // over the best time per token, for answers too long for the target

}  // namespace

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  const auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(values.size())));
  const size_t index = std::clamp<size_t>(rank, 1, values.size()) - 1;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(index), values.end());
  return values[index];
}

void InteractiveLlm::Submit(Request request) {
  if (request.key.agent == options_.agent) {
    request.priority = PriorityOf(/*is_the_agents=*/true, request.priority);
    issued_.emplace(request.id, Inner().Now());
    Send(std::move(request));
  } else if (waiting_.empty() && MayPass()) {
    Send(std::move(request));
  } else {
    const int priority = request.priority;
    waiting_.emplace(std::pair(priority, ++num_held_), std::move(request));
  }
}

int InteractiveLlm::PriorityOf(bool is_the_agents, int priority) const {
  return is_the_agents && options_.target_s > 0 ? priority - kAhead : priority;
}

void InteractiveLlm::Raise(uint64_t id, int priority) {
  const auto waiting = std::find_if(waiting_.begin(), waiting_.end(),
                                    [id](const auto& entry) { return entry.second.id == id; });
  if (waiting == waiting_.end()) return Inner().Raise(id, PriorityOf(issued_.contains(id), priority));
  auto node = waiting_.extract(waiting);
  node.key().first = node.mapped().priority = priority;
  waiting_.insert(std::move(node));
}

std::optional<Standing> InteractiveLlm::StandingOf(uint64_t id) const {
  const bool waits = std::any_of(waiting_.begin(), waiting_.end(),
                                 [id](const auto& entry) { return entry.second.id == id; });
  return waits ? Standing{.is_queued = true} : Inner().StandingOf(id);
}

bool InteractiveLlm::MayPass() const {
  if (options_.target_s <= 0) return true;
  return issued_.empty() && in_flight_ < limit_;
}

void InteractiveLlm::Send(Request request) {
  Inner().Submit(std::move(request));
  ++in_flight_;
}

void InteractiveLlm::Release(std::vector<Completion>& done) {
  std::vector<uint64_t> cancelled;
  {
    const std::lock_guard lock(mutex_);
    cancelled.swap(cancelled_);
  }
  for (const uint64_t id : cancelled) {
    const auto waiting = std::find_if(waiting_.begin(), waiting_.end(),
                                      [id](const auto& entry) { return entry.second.id == id; });
    if (waiting == waiting_.end()) continue;
    done.push_back(Cancelled(id, waiting->second.key));
    waiting_.erase(waiting);
  }
  while (!waiting_.empty() && MayPass()) Send(std::move(waiting_.extract(waiting_.begin()).mapped()));
}

void InteractiveLlm::Adapt(double latency_s, int output_tokens) {
  if (options_.target_s <= 0) return;
  const double tokens = std::max(output_tokens, 1);
  s_per_token_ = std::min(s_per_token_, latency_s / tokens);
  const double goal_s = std::max(options_.target_s, kSlack * s_per_token_ * tokens);
  const size_t background = in_flight_;
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
    --in_flight_;
    const auto issued = issued_.find(done[i].id);
    if (issued == issued_.end()) continue;
    latencies_.push_back(Inner().Now() - issued->second);
    issued_.erase(issued);
    Adapt(latencies_.back(), done[i].output_tokens);
  }
}

void InteractiveLlm::Cancel(uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    cancelled_.push_back(id);
  }
  Inner().Cancel(id);
}

}  // namespace throng::llm
