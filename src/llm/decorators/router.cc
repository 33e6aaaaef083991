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

uint64_t RouterLlm::Submit(Request request) {
  const size_t index = LaneOf(request.function);
  Lane& lane = lanes_[index];
  if (lane.ids.empty())
    lane.offset = now_ - lane.backend->Now();  // a clock in virtual time stands while idle
  const uint64_t inner_id = lane.backend->Submit(std::move(request));
  lane.ids.emplace(inner_id, ++last_id_);
  const std::lock_guard lock(mutex_);
  in_flight_.emplace(last_id_, std::pair(index, inner_id));
  return last_id_;
}

// True if something arrived.
bool RouterLlm::Advance(Lane& lane, double until, std::vector<Completion>& done) {
  const size_t before = done.size();
  lane.backend->Wait(done, std::max(until - NowOf(lane), 0.0));
  for (size_t i = before; i < done.size(); ++i) {
    const auto found = lane.ids.find(done[i].id);
    if (found == lane.ids.end()) continue;
    done[i].id = found->second;
    lane.ids.erase(found);
    const std::lock_guard lock(mutex_);
    in_flight_.erase(done[i].id);
  }
  return done.size() > before;
}

void RouterLlm::Wait(std::vector<Completion>& done, double seconds) {
  const double deadline = now_ + seconds;
  const auto busy = static_cast<size_t>(
      std::count_if(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return !lane.ids.empty(); }));
  if (busy == 0) return;
  bool any = false;
  do {
    const double until = busy == 1 ? deadline : std::min(deadline, now_ + kQuantum);
    double reached = until;
    for (Lane& lane : lanes_) {
      if (lane.ids.empty()) continue;
      any = Advance(lane, until, done) || any;
      // Before the end only with an answer, or because the backend has forgotten its calls.
      reached = std::min(reached, std::max(NowOf(lane), now_));
    }
    if (!any && reached <= now_) return;
    now_ = reached;
  } while (!any && now_ < deadline);
}

void RouterLlm::Cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = in_flight_.find(id);
  if (found != in_flight_.end()) lanes_[found->second.first].backend->Cancel(found->second.second);
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
