// The calls of a run: sends them to the backend, and delivers the answers to the coroutines that wait.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "sim/run/runner.h"

namespace throng::sim {

namespace {

// The longest wait for the backend, in its seconds, before checking for a stop or a progress report.
constexpr double kPollSeconds = 0.2;
// How often to wait for cancelled calls after an error before giving up on the backend.
constexpr int kDrainRounds = 50;
// This many answers are delivered before the clusters they release start, smaller steps first.
constexpr size_t kDeliveriesAtOnce = 64;
// The most members of a cluster to prefetch for an answer to one of them.
constexpr size_t kMatesToFetch = 8;
// How much of a coroutine frame to prefetch before it is resumed.
constexpr size_t kFrameBytes = 256;

}  // namespace

void Runner::Submit(llm::Request&& request, PendingCall& call) {
  if (speculator_ && speculator_->Answer(request, call)) {
    if (call.answer != nullptr) Count(call.kind, *call.answer);
    return;
  }
  if (HoldsBack(request)) {
    held_.emplace_back(std::move(request), &call);
    return;
  }
  if (options_.mode == Mode::kSingle && NumCalls() > 0) {
    waiting_.emplace_back(std::move(request), &call);
    return;
  }
  const llm::CallKey key = request.key;
  const uint64_t id = request.id = ++last_request_id_;
  llm_.Submit(std::move(request));
  if (speculator_) speculator_->OnAsked(id, key, call.function, call.request_digest);
  MeterInFlight();
  call.issued_s = metered_until_;
  runs_.AddCall(id, call);
}

void Runner::Begin(const std::function<void(uint64_t id, bool guess)>& begin, PendingCall& call) {
  const uint64_t id = ++last_request_id_;
  begin(id, /*guess=*/false);
  if (speculator_) speculator_->OnBegunElsewhere(call.member.Self());
  call.issued_s = metered_until_;
  runs_.AddCall(id, call);
  ++num_elsewhere_;
}

// A run that may end with an earlier step must not do what this one asks for.
bool Runner::HoldsBack(const llm::Request& request) const {
  return request.effect == llm::Effect::kAtCommit && options_.ends_after &&
         request.key.step > graph_.BaseStep();
}

void Runner::SubmitHeld() {
  for (auto& [request, call] : std::exchange(held_, {})) Submit(std::move(request), *call);
}

// Adds the time since the last change, weighted by the number of requests in flight.
void Runner::MeterInFlight() {
  const double now = Now();
  in_flight_seconds_ += (now - metered_until_) * static_cast<double>(InFlight());
  metered_until_ = now;
}

void Runner::WaitForCompletions() {
  if (!waiting_.empty() && NumCalls() == 0) {
    auto [request, call] = std::move(waiting_.front());
    waiting_.pop_front();
    Submit(std::move(request), *call);
  }
  const bool polls = options_.stop != nullptr || options_.source != nullptr || options_.on_progress;
  const double ack_s = acks_.NextEnd() - Now();
  if (NumAwaited() == 0 && acks_.Size() > 0) {
    idle_s_ += std::max(ack_s, 0.0);
    return;
  }
  if (num_delivered_ == done_.size()) {
    done_.clear();
    num_delivered_ = 0;
    llm_.Wait(done_, std::min(polls ? kPollSeconds : llm::Llm::kForever, std::max(ack_s, 0.0)));
  }
  MeterInFlight();
  if (done_.empty() && !polls && acks_.Size() == 0) {
    throw MakeError(ErrorCode::kUnavailable, "the backend has forgotten {} calls in flight",
                    runs_.NumCalls());
  }
  while (num_delivered_ < done_.size() && !ended_ && !paused_) {
    PrefetchAfter(num_delivered_);
    Deliver(done_[num_delivered_++]);
    // Starts the clusters that these answers released while they are still in the cache.
    if (num_delivered_ % kDeliveriesAtOnce == 0) StartClusters();
  }
}

// Agents whose answers come together are scattered in memory, so the data for the next deliveries is
// prefetched during this one, one pointer further each time.
void Runner::PrefetchAfter(size_t i) const {
  if (i + 12 < done_.size()) {
    const AgentId agent = done_[i + 12].key.agent;
    runs_.PrefetchEntry(agent);
    state_.PrefetchAgent(agent);
    graph_.PrefetchAgent(agent);
  }
  const auto run_of = [this](size_t at) {
    return at < done_.size() ? runs_.RunOf(done_[at].key.agent) : nullptr;
  };
  if (const MemberRun* run = run_of(i + 9)) {
    Prefetch(run);
    graph_.PrefetchNeighbours(done_[i + 9].key.agent);
  }
  if (const MemberRun* run = run_of(i + 6)) {
    run->PrefetchProceed();
    Prefetch(&run->Cluster());
    if (run->first_call != nullptr) Prefetch(run->first_call);
  }
  if (const MemberRun* run = run_of(i + 3)) {
    if (run->first_call != nullptr) {
      Prefetch(static_cast<const char*>(run->first_call->waiter.address()), kFrameBytes);
    }
    const std::span<const MemberRun> mates = run->Cluster().Members();
    for (const MemberRun& mate : mates.first(std::min(mates.size(), kMatesToFetch))) {
      state_.PrefetchAgent(mate.Self());
      graph_.PrefetchAgent(mate.Self());
    }
  }
}

void Runner::Count(llm::Kind kind, const llm::Completion& completion) {
  StepCounts counts;
  if (kind != llm::Kind::kModel) {
    counts.effects = 1;
    counts.failed_effects = completion.finish == llm::FinishReason::kFailed;
    counts.unknown_effects = completion.finish == llm::FinishReason::kUnknown;
  } else {
    counts.calls = 1;
    counts.prompt_tokens = static_cast<uint64_t>(completion.prompt_tokens + completion.spent_prompt_tokens);
    counts.cached_prompt_tokens =
        static_cast<uint64_t>(completion.cached_prompt_tokens + completion.spent_cached_tokens);
    counts.output_tokens = static_cast<uint64_t>(completion.output_tokens + completion.spent_output_tokens);
  }
  Count(completion.key.step, counts);
}

void Runner::Count(Step step, const StepCounts& counts) {
  stats_ += counts;
  if (snapshots_) snapshots_->Count(step, counts);
}

void Runner::Deliver(llm::Completion& completion) {
  PendingCall* found = runs_.TakeCall(completion.key, completion.id);
  if (found != nullptr && found->is_elsewhere) {
    --num_elsewhere_;
    if (speculator_) speculator_->OnEndedElsewhere(found->member.Self());
  } else if (found != nullptr) {
    if (speculator_) speculator_->OnAnswered(completion);
  } else {
    THRONG_CHECK(speculator_ != nullptr);
    found = speculator_->Deliver(completion);
    if (found == nullptr) return;
  }
  PendingCall& call = *found;
  ClusterRun& cluster = call.member.Cluster();
  MemberRun& member = call.member;
  if (!call.is_elsewhere) CheckAnswer(call, completion);
  call.answer = &completion;
  call.waiter.resume();
  if (cluster.IsResolving()) {
    if (cluster.ResolveDone()) Complete(cluster);
  } else {
    cluster.OnProceedResumed(member);
    AfterProceed(cluster);
  }
}

// Counts the answer. Throws if it is none, unless the agent goes on without it.
void Runner::CheckAnswer(const PendingCall& call, const llm::Completion& completion) {
  if (completion.finish == llm::FinishReason::kError || completion.finish == llm::FinishReason::kCancelled) {
    const bool failed = completion.error.has_value();
    const Error error =
        MakeError(failed ? completion.error->Code() : ErrorCode::kCancelled, "{}, step {}, call {} ({}): {}",
                  DescribeAgent(world_, call.member.Self()), call.member.Now(), completion.key.call,
                  call.function, failed ? completion.error->what() : "the call was cancelled");
    if (!failed || !options_.falls_back || !options_.falls_back(completion)) throw error;
    StepCounts failure;
    failure.failed_calls = 1;
    Count(call.member.Now(), failure);
    if (options_.on_fall_back) options_.on_fall_back(error.what());
  }
  Count(call.kind, completion);
}

// Leaves the backend without calls of this run, so that it can serve another. Completions that arrive
// meanwhile are dropped here (a journal below has kept them).
void Runner::CancelAll() noexcept {
  try {
    const auto forget = [this](const llm::Completion& completion) {
      const PendingCall* const call = runs_.TakeCall(completion.key, completion.id);
      if (call != nullptr && call->is_elsewhere) --num_elsewhere_;
      if (speculator_) speculator_->Forget(completion.id);
    };
    for (const llm::Completion& completion : done_) forget(completion);  // arrived with the failed one
    runs_.ForEachCall([this](const PendingCall& call) { llm_.Cancel(call.id); });
    if (speculator_) speculator_->CancelAll();
    for (int round = 0; round < kDrainRounds && NumAwaited() > 0; ++round) {
      done_.clear();
      llm_.Wait(done_, kPollSeconds);
      for (const llm::Completion& completion : done_) forget(completion);
    }
  } catch (...) {
    // The error that ended the run is the one to report.
  }
}

}  // namespace throng::sim
