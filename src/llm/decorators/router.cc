#include "llm/decorators/router.h"

#include <algorithm>
#include <utility>

namespace throng::llm {

RouterLlm::RouterLlm(std::unique_ptr<Llm> fallback) { lanes_.push_back({std::move(fallback)}); }

void RouterLlm::Route(const std::string& function, std::shared_ptr<Llm> backend) {
  const auto found =
      std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& lane) { return lane.backend == backend; });
  routes_[function] = static_cast<size_t>(found - lanes_.begin());
  if (found == lanes_.end()) lanes_.push_back({std::move(backend)});
}

size_t RouterLlm::LaneOf(const std::string& function) const {
  const auto route = routes_.find(function);
  return route == routes_.end() ? 0 : route->second;
}

void RouterLlm::Submit(Request request) {
  const uint64_t id = request.id;
  const size_t index = LaneOf(request.function);
  Lane& lane = lanes_[index];
  if (lane.in_flight == 0)
    lane.offset = now_ - lane.backend->Now();  // a virtual clock stands still while idle
  lane.backend->Submit(std::move(request));
  ++lane.in_flight;
  const std::lock_guard lock(mutex_);
  lane_of_.emplace(id, index);
}

// Returns true if something arrived.
bool RouterLlm::Advance(Lane& lane, double until, std::vector<Completion>& done) {
  const size_t before = done.size();
  lane.backend->Wait(done, std::max(until - NowOf(lane), 0.0));
  lane.in_flight -= done.size() - before;
  const std::lock_guard lock(mutex_);
  for (size_t i = before; i < done.size(); ++i) lane_of_.erase(done[i].id);
  return done.size() > before;
}

void RouterLlm::Wait(std::vector<Completion>& done, double seconds) {
  const double deadline = now_ + seconds;
  const auto busy = static_cast<size_t>(
      std::count_if(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.in_flight > 0; }));
  if (busy == 0) return;
  bool any = false;
  do {
    const double until = busy == 1 ? deadline : std::min(deadline, now_ + kQuantum);
    double reached = until;
    for (Lane& lane : lanes_) {
      if (lane.in_flight == 0) continue;
      any = Advance(lane, until, done) || any;
      // Stops before the end only with an answer, or because the backend has forgotten its calls.
      reached = std::min(reached, std::max(NowOf(lane), now_));
    }
    if (!any && reached <= now_) return;
    now_ = reached;
  } while (!any && now_ < deadline);
}

void RouterLlm::Cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = lane_of_.find(id);
  if (found != lane_of_.end()) lanes_[found->second].backend->Cancel(id);
}

void RouterLlm::Raise(uint64_t id, int priority) {
  const std::lock_guard lock(mutex_);
  const auto found = lane_of_.find(id);
  if (found != lane_of_.end()) lanes_[found->second].backend->Raise(id, priority);
}

std::optional<Standing> RouterLlm::StandingOf(uint64_t id) const {
  const std::lock_guard lock(mutex_);
  const auto found = lane_of_.find(id);
  return found == lane_of_.end() ? std::nullopt : lanes_[found->second].backend->StandingOf(id);
}

bool RouterLlm::WantsExpectations() const {
  return std::any_of(lanes_.begin(), lanes_.end(),
                     [](const Lane& lane) { return lane.backend->WantsExpectations(); });
}

void RouterLlm::ExpectNext(uint32_t agent, int32_t step) {
  for (const Lane& lane : lanes_) lane.backend->ExpectNext(agent, step);
}

std::string RouterLlm::Identity() const {
  std::string identity = Default().Identity();
  for (const auto& [function, lane] : routes_) {
    identity += fmt::format("; {}: {}", function, lanes_[lane].backend->Identity());
  }
  return identity;
}

std::vector<const Llm*> RouterLlm::Backends() const {
  std::vector<const Llm*> backends;
  for (const Lane& lane : lanes_) backends.push_back(lane.backend.get());
  return backends;
}

Stats RouterLlm::GetStats() const {
  Stats sum;
  for (const Lane& lane : lanes_) {
    const Stats stats = lane.backend->GetStats();
    sum.calls += stats.calls;
    sum.prompt_tokens += stats.prompt_tokens;
    sum.cached_prompt_tokens += stats.cached_prompt_tokens;
    sum.output_tokens += stats.output_tokens;
    sum.kv_bytes += stats.kv_bytes;
    sum.kv_bytes_peak += stats.kv_bytes_peak;
  }
  return sum;
}

}  // namespace throng::llm
