#include "llm/backends/fake.h"

#include <algorithm>
#include <span>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/huge_pages.h"
#include "base/text/key_values.h"

namespace throng::llm {

namespace {

constexpr size_t kPrefetch = 8;  // calls ahead of the one that ends or begins

}  // namespace

FakeOptions FakeOptions::Parse(std::string_view text) {
  FakeOptions options;
  KeyValues values("fake", text);
  options.latency = values.Number("latency", options.latency, 0.0, 1e6);
  options.spread = values.Number("spread", options.spread, 0.0, 1.0);
  options.parallel = values.Int("parallel", options.parallel, 0, 1 << 20);
  options.seed = values.Uint64("seed", options.seed);
  options.fail = values.Number("fail", options.fail, 0.0, 1.0);
  options.stuck = values.Number("stuck", options.stuck, 0.0, 1.0);
  values.CheckAllUsed();
  return options;
}

FakeLlm::FakeLlm(const FakeOptions& options) : options_(options), maker_(options.seed) {}

FakeLlm::FakeLlm(Cost cost) : cost_(std::move(cost)), maker_(options_.seed) {}

void FakeLlm::Submit(Request request) {
  Completion completion = maker_.Make(request);
  CounterRng rng(options_.seed, request.sampling.seed, request.key.agent, request.key.step, request.key.call);
  const double latency =
      cost_ ? cost_(request) : options_.latency * (1 + options_.spread * (2 * rng.NextDouble() - 1));
  if (rng.NextDouble() < options_.fail) {
    completion.finish = FinishReason::kError;
    completion.error = Error(ErrorCode::kUnavailable, "fake: the call was made to fail");
    completion.text.clear();
    completion.prompt_tokens = completion.output_tokens = 0;
  }
  const uint32_t slot = NewSlot();
  const bool stuck = rng.NextDouble() < options_.stuck;
  calls_[slot] = {++last_number_, std::move(completion), latency, request.priority, false, stuck};
  if (options_.parallel == 0) {
    Start(slot);
  } else {
    waiting_.emplace(request.priority, last_number_,
                     slot);  // until Wait knows all that was asked at this time
  }
}

uint32_t FakeLlm::NewSlot() {
  if (free_slots_.empty()) {
    calls_.emplace_back();
    return static_cast<uint32_t>(calls_.size() - 1);
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  if (free_slots_.size() >= kPrefetch) Prefetch(&calls_[free_slots_[free_slots_.size() - kPrefetch]]);
  return slot;
}

void FakeLlm::FreeSlot(uint32_t slot) {
  calls_[slot].number = 0;
  free_slots_.push_back(slot);
}

void FakeLlm::Start(uint32_t slot) {
  Call& call = calls_[slot];
  call.running = true;
  ++running_;
  if (!call.stuck) events_.Add({now_ + call.latency, call.number, slot});
}

void FakeLlm::StartWaiting() {
  while (!waiting_.empty() && running_ < options_.parallel) {
    const uint32_t slot = std::get<uint32_t>(*waiting_.begin());
    waiting_.erase(waiting_.begin());
    Start(slot);
  }
}

bool FakeLlm::TakeCancelled(std::vector<Completion>& done) {
  if (!any_cancelled_.load(std::memory_order_acquire)) return false;
  std::vector<uint64_t> ids;
  {
    const std::lock_guard lock(mutex_);
    any_cancelled_.store(false, std::memory_order_relaxed);
    ids.swap(cancelled_);
  }
  std::unordered_map<uint64_t, uint32_t> slots;  // by id
  for (uint32_t slot = 0; slot < calls_.size(); ++slot) {
    if (calls_[slot].number != 0) slots.emplace(calls_[slot].completion.id, slot);
  }
  bool any = false;
  for (const uint64_t id : ids) {
    const auto found = slots.find(id);
    if (found == slots.end()) continue;
    const uint32_t slot = found->second;
    Call& call = calls_[slot];
    if (call.number == 0) continue;  // cancelled twice
    done.push_back(Cancelled(id, call.completion.key));
    if (call.running) {
      --running_;  // its event will find another call, or none
    } else {
      waiting_.erase({call.priority, call.number, slot});
    }
    FreeSlot(slot);
    any = true;
  }
  return any;
}

void FakeLlm::Wait(std::vector<Completion>& done, double seconds) {
  const bool any_cancelled = TakeCancelled(done);
  StartWaiting();
  if (any_cancelled) return;
  const double deadline = now_ + std::max(seconds, 0.0);
  bool any = false;
  while (!any) {  // skip a moment if all its calls were cancelled
    const std::span<const EventQueue::Event> events = events_.TakeNext(deadline);
    if (events.empty()) break;
    for (size_t i = 0; i < events.size(); ++i) {
      if (i + kPrefetch < events.size()) Prefetch(&calls_[events[i + kPrefetch].slot]);
      Call& call = calls_[events[i].slot];
      if (call.number != events[i].id) continue;  // it was cancelled
      Completion& completion = call.completion;
      now_ = std::max(now_, events[i].time);
      stats_.Count(completion);
      done.push_back(std::move(completion));
      FreeSlot(events[i].slot);
      --running_;
      any = true;
    }
  }
  const bool is_idle = calls_.size() == free_slots_.size();
  if (!any && !is_idle && deadline < kForever) now_ = deadline;  // no answer until then, if ever
  StartWaiting();
}

void FakeLlm::Cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(id);
  any_cancelled_.store(true, std::memory_order_release);
}

void FakeLlm::Raise(uint64_t id, int priority) {
  const auto waiting = std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& entry) {
    return calls_[std::get<uint32_t>(entry)].completion.id == id;
  });
  if (waiting == waiting_.end()) return;
  const auto [before, number, slot] = *waiting;
  waiting_.erase(waiting);
  waiting_.emplace(priority, number, slot);
  calls_[slot].priority = priority;
}

size_t FakeLlm::Bytes() const {
  return calls_.capacity() * sizeof(Call) + free_slots_.capacity() * sizeof(uint32_t) + events_.Bytes();
}

std::string FakeLlm::Identity() const {
  if (cost_) return "fake with a cost of its own";
  std::string identity = fmt::format("fake latency={} spread={} parallel={} seed={}", options_.latency,
                                     options_.spread, options_.parallel, options_.seed);
  if (options_.fail > 0) identity += fmt::format(" fail={}", options_.fail);
  if (options_.stuck > 0) identity += fmt::format(" stuck={}", options_.stuck);
  return identity;
}

FakeLlm::Cost CostAlone(std::unique_ptr<Llm> backend) {
  // Functions are copied, backends are not.
  return [shared = std::shared_ptr<Llm>(std::move(backend)),
          done = std::vector<Completion>()](const Request& request) mutable {
    const double start = shared->Now();
    shared->Submit(request);
    done.clear();
    shared->Wait(done);
    THRONG_CHECK(done.size() == 1);
    return shared->Now() - start;
  };
}

}  // namespace throng::llm
