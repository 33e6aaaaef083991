#include "workers/step_pool.h"

#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace throng::workers {

uint64_t StepPool::NewStep(const llm::CallKey& key, bool guess) {
  Step& step = steps_[++last_step_];
  step.key = key;
  step.guess = guess;
  return last_step_;
}

void StepPool::Say(uint64_t number, uint64_t id, std::string text) {
  Step& step = steps_.at(number);
  THRONG_CHECK(step.id == 0);
  step.id = id;
  step.said.push_back(std::move(text));
  in_work_.emplace(id, number);
  Put(number, step);
}

// A turn goes to the worker that has done those before, if there is one; a step begins wherever there is
// room.
void StepPool::Put(uint64_t number, Step& step) {
  if (step.worker.empty()) {
    waiting_.insert(PlaceOf(number, step));
    return;
  }
  const auto turn = static_cast<uint32_t>(step.said.size() - 1);
  link_->Send(step.worker, {ToWorker::Kind::kReply, number, turn, step.said.back()});
  step.posted = true;
  ++num_posted_;
}

void StepPool::Post() {
  const size_t capacity = link_->Capacity();
  while (num_posted_ < capacity && !waiting_.empty()) {
    const uint64_t number = std::get<uint64_t>(*waiting_.begin());
    waiting_.erase(waiting_.begin());
    Step& step = steps_.at(number);
    step.worker = link_->Post({ToWorker::Kind::kBegin, number, 0, step.said.front()});
    step.posted = true;
    ++num_posted_;
  }
}

void StepPool::Drop(uint64_t number) {
  const auto found = steps_.find(number);
  if (found == steps_.end()) return;
  Step& step = found->second;
  if (step.id != 0) in_work_.erase(step.id);
  if (step.posted) --num_posted_;
  waiting_.erase(PlaceOf(number, step));
  if (!step.worker.empty()) step.begun.insert(step.worker);
  for (const std::string& worker : step.begun) link_->Send(worker, {ToWorker::Kind::kDrop, number, 0, {}});
  steps_.erase(found);
}

void StepPool::Cancel(uint64_t id) {
  const auto found = in_work_.find(id);
  if (found == in_work_.end()) return;
  const uint64_t number = found->second;
  cancelled_.push_back(llm::Cancelled(id, steps_.at(number).key));
  Drop(number);
}

void StepPool::Wait(std::vector<llm::Completion>& done, double seconds) {
  if (!cancelled_.empty()) {
    for (llm::Completion& completion : std::exchange(cancelled_, {})) done.push_back(std::move(completion));
    seconds = 0;
  }
  Post();
  arrived_.clear();
  link_->Receive(arrived_, seconds);
  for (const Arrival& arrival : arrived_) Take(arrival, done);
  Post();
}

void StepPool::Take(const Arrival& arrival, std::vector<llm::Completion>& done) {
  if (arrival.kind == Arrival::Kind::kLost) return BeginAgain(arrival.worker, arrival.message.step);
  if (arrival.kind == Arrival::Kind::kReset) return BeginAgain({}, 0);
  switch (arrival.message.kind) {
    case FromWorker::Kind::kTurn:
    case FromWorker::Kind::kLast:
      return TakeTurn(arrival.worker, arrival.message, done);
    case FromWorker::Kind::kRefused:
      throw MakeError(ErrorCode::kInvalid, "worker {}: {}", arrival.worker, arrival.message.text);
    case FromWorker::Kind::kTaken: {
      const auto found = steps_.find(arrival.message.step);
      if (found != steps_.end()) CountLoss(found->second);
      break;
    }
    case FromWorker::Kind::kReady:
    case FromWorker::Kind::kAlive:
      break;
  }
}

void StepPool::TakeTurn(const std::string& worker, const FromWorker& message,
                        std::vector<llm::Completion>& done) {
  const auto found = steps_.find(message.step);
  const bool is_last = message.kind == FromWorker::Kind::kLast;
  if (found == steps_.end()) {  // done by another worker, or dropped
    if (!is_last) link_->Send(worker, {ToWorker::Kind::kDrop, message.step, 0, {}});
    return;
  }
  Step& step = found->second;
  step.begun.insert(worker);
  const size_t in_work = step.said.size() - 1;
  if (message.turn < in_work && !is_last) {  // it repeats what another one has done
    step.worker = worker;
    link_->Send(worker,
                {ToWorker::Kind::kReply, message.step, message.turn + 1, step.said[message.turn + 1]});
    return;
  }
  if (message.turn != in_work) return;  // known already
  step.worker = worker;
  if (step.id == 0) return;
  waiting_.erase(PlaceOf(message.step, step));
  if (std::exchange(step.posted, false)) --num_posted_;
  llm::Completion completion;
  completion.id = std::exchange(step.id, 0);
  completion.key = step.key;
  completion.text = message.text;
  in_work_.erase(completion.id);
  done.push_back(std::move(completion));
  if (is_last) {
    step.begun.erase(worker);
    step.worker.clear();
  }
}

void StepPool::CountLoss(Step& step) {
  ++repeated_;
  if (++step.losses < kMostLosses) return;
  throw MakeError(ErrorCode::kInvalid,
                  "agent {}, step {}: {} workers were lost, one after the other, while they did this step",
                  step.key.agent, step.key.step, step.losses);
}

// The steps of this worker begin again elsewhere, at once or with their next turn; empty: those of all. It
// was lost with the step in_work.
void StepPool::BeginAgain(const std::string& worker, uint64_t in_work) {
  for (auto& [number, step] : steps_) {
    step.begun.erase(worker);
    const bool is_lost = worker.empty() ? step.posted || !step.worker.empty() : step.worker == worker;
    if (!is_lost) continue;
    step.worker.clear();
    if (number == in_work) {
      CountLoss(step);
    } else {
      ++repeated_;
    }
    if (!std::exchange(step.posted, false)) continue;
    --num_posted_;
    waiting_.insert(PlaceOf(number, step));
  }
}

}  // namespace throng::workers
