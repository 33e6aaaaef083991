#include "python/workers/worker.h"

#include <exception>
#include <utility>

#include "base/error.h"
#include "python/convert/with_python.h"
#include "python/module/ending.h"
#include "python/workers/pickles.h"
#include "python/workers/worker_step.h"

namespace py = pybind11;

namespace throng::python {

namespace {

// The longest wait for messages, in seconds, before looking for signals.
constexpr double kWait = 0.2;

}  // namespace

Worker::Worker(workers::Seat& seat, py::object world, const sim::Seeds& seeds, const std::string& digest)
    : seat_(seat), world_(std::move(world), seeds, failure_, /*reads_tools=*/false) {
  if (world_.ScenarioDigest().Hex() != digest) {
    throw Error(
        ErrorCode::kInvalid,
        "its world has other agents or parameters than the run's; allowed: a world whose attributes say all "
        "that it is made of");
  }
}

Worker::~Worker() = default;

void Worker::Run(std::vector<workers::ToWorker> received) {
  for (workers::ToWorker& message : received) inbox_.push_back(std::move(message));
  seat_.Send({workers::FromWorker::Kind::kReady, 0, 0, {}});
  while (!has_ended_) {
    if (inbox_.empty()) Receive();
    if (inbox_.empty()) continue;
    const workers::ToWorker message = std::move(inbox_.front());
    inbox_.pop_front();
    Handle(message);
  }
}

void Worker::Receive() {
  received_.clear();
  {
    const WithoutPython unlocked;
    has_ended_ |= !seat_.Receive(received_, kWait);
  }
  CheckEnding();
  for (workers::ToWorker& message : received_) inbox_.push_back(std::move(message));
}

void Worker::Handle(const workers::ToWorker& message) {
  using Kind = workers::ToWorker::Kind;
  const auto found = steps_.find(message.step);
  if (message.kind == Kind::kBegin) return Begin(message.step, message.text);
  if (found == steps_.end()) return;
  if (message.kind == Kind::kDrop) return End(message.step);
  WorkerStep& step = *found->second;
  if (message.kind != Kind::kReply || message.turn != step.turn + 1) return;  // known already
  ++step.turn;
  step.GoOn(workers::Decode<StepReply>(message.text));
  GoOn(message.step, step);
}

void Worker::Begin(uint64_t number, const std::string& task) {
  const auto ask_run = [this, number](const StepSays& read) {
    const uint32_t turn = steps_.at(number)->turn;
    Send(number, turn, false, read);
    return workers::Decode<StepReply>(AwaitReply(number, turn + 1));
  };
  steps_.erase(number);
  try {
    const auto [step, is_new] = steps_.emplace(
        number, std::make_unique<WorkerStep>(world_, workers::Decode<StepTask>(task), ask_run));
    step->second->Start();
  } catch (const std::exception& error) {
    return Fail(number, 0, error);
  }
  GoOn(number, *steps_.at(number));
}

// Tells the run what the step says.
void Worker::GoOn(uint64_t number, WorkerStep& step) {
  try {
    const StepSays says = step.is_dropped ? StepSays() : step.Says();
    if (step.is_dropped) return End(number);
    const bool is_last = says.kind == StepSays::Kind::kDone;
    Send(number, step.turn, is_last, says);
    if (is_last) End(number);
  } catch (const std::exception& error) {
    Fail(number, step.turn, error);
  }
}

void Worker::Fail(uint64_t number, uint32_t turn, const std::exception& error) {
  const auto* const own = dynamic_cast<const Error*>(&error);
  StepSays says = {.kind = StepSays::Kind::kFailed,
                   .fault = {own != nullptr ? own->Code() : ErrorCode::kInvalid, error.what()}};
  if (const py::object exception = failure_.Take()) says.value = DumpException(exception);
  Send(number, turn, true, says);
  End(number);
}

void Worker::End(uint64_t number) {
  steps_.erase(number);
  seat_.Release(number);
}

void Worker::Send(uint64_t number, uint32_t turn, bool is_last, const StepSays& says) {
  using Kind = workers::FromWorker::Kind;
  const WithoutPython unlocked;
  seat_.Send({is_last ? Kind::kLast : Kind::kTurn, number, turn, workers::Encode(says)});
}

std::string Worker::AwaitReply(uint64_t number, uint32_t turn) {
  using Kind = workers::ToWorker::Kind;
  WorkerStep& step = *steps_.at(number);
  for (size_t looked = inbox_.size(); !has_ended_ && !step.is_dropped;) {
    Receive();
    for (; looked < inbox_.size(); ++looked) {
      const workers::ToWorker& message = inbox_[looked];
      if (message.step != number) continue;
      if (message.kind == Kind::kReply && message.turn != turn) continue;  // known already
      step.is_dropped = message.kind != Kind::kReply;
      if (message.kind == Kind::kBegin) break;  // it begins anew once this ends
      std::string text = std::move(inbox_[looked].text);
      inbox_.erase(inbox_.begin() + static_cast<ptrdiff_t>(looked));
      if (step.is_dropped) break;
      ++step.turn;
      return text;
    }
  }
  throw Error(ErrorCode::kCancelled, "nobody wants this step any more");
}

}  // namespace throng::python
