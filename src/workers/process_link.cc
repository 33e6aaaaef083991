#include "workers/process_link.h"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "workers/wire.h"

namespace throng::workers {

namespace {

// Turns that a worker is given at a time: one that it does, and more that wait, so that it does not idle
// while the run does something else.
constexpr size_t kTurnsEach = 4;
// Waits for good are cut into pieces of this length.
constexpr double kLongestWait = 60;

int Milliseconds(double seconds) {
  return static_cast<int>(std::clamp(seconds, 0.0, kLongestWait) * 1000 + 0.5);
}

bool IsTurn(ToWorker::Kind kind) { return kind == ToWorker::Kind::kBegin || kind == ToWorker::Kind::kReply; }

bool IsTurn(FromWorker::Kind kind) {
  return kind == FromWorker::Kind::kTurn || kind == FromWorker::Kind::kLast;
}

}  // namespace

ProcessLink::ProcessLink(int count, std::string job, std::function<int()> start)
    : job_(std::move(job)), start_(std::move(start)) {
  for (int i = 0; i < count; ++i) Start();
}

void ProcessLink::Start() {
  Worker& worker = workers_.emplace_back(Worker{std::to_string(++num_started_), Stream(start_())});
  worker.stream.Put(Encode(ToWorker{ToWorker::Kind::kJob, 0, 0, job_}));
}

size_t ProcessLink::Capacity() { return workers_.size() * kTurnsEach; }

ProcessLink::Worker* ProcessLink::Find(const std::string& name) {
  for (Worker& worker : workers_) {
    if (worker.name == name) return &worker;
  }
  return nullptr;
}

std::string ProcessLink::Post(const ToWorker& message) {
  Worker& least = *std::min_element(workers_.begin(), workers_.end(), [](const Worker& a, const Worker& b) {
    return a.turns.size() < b.turns.size();
  });
  Send(least.name, message);
  return least.name;
}

void ProcessLink::Send(const std::string& name, const ToWorker& message) {
  Worker* const worker = Find(name);
  if (worker == nullptr) return;
  worker->stream.Put(Encode(message));
  if (IsTurn(message.kind)) worker->turns.push_back(message.step);
  if (message.kind == ToWorker::Kind::kDrop) std::erase(worker->turns, message.step);
}

void ProcessLink::WaitForSockets(double seconds) {
  std::vector<pollfd> sockets;
  for (Worker& worker : workers_) {
    worker.stream.Flush();  // what fails is noticed by Read
    const int events = worker.stream.HasOutput() ? POLLIN | POLLOUT : POLLIN;
    sockets.push_back({worker.stream.Socket(), static_cast<short>(events), 0});
  }
  poll(sockets.data(), sockets.size(), Milliseconds(seconds));
  for (Worker& worker : workers_) worker.stream.Flush();
}

// False once the worker is gone.
bool ProcessLink::Read(Worker& worker, std::vector<Arrival>& arrived) {
  messages_.clear();
  const bool is_open = worker.stream.Read(messages_);
  for (const std::string& bytes : messages_) {
    Arrival& arrival =
        arrived.emplace_back(Arrival{Arrival::Kind::kMessage, worker.name, Decode<FromWorker>(bytes)});
    worker.is_ready |= arrival.message.kind != FromWorker::Kind::kAlive;
    if (IsTurn(arrival.message.kind)) std::erase(worker.turns, arrival.message.step);
  }
  return is_open;
}

void ProcessLink::Receive(std::vector<Arrival>& arrived, double seconds) {
  WaitForSockets(seconds);
  size_t num_lost = 0;
  for (size_t i = 0; i < workers_.size();) {
    if (Read(workers_[i], arrived)) {
      ++i;
      continue;
    }
    if (!workers_[i].is_ready) {
      throw MakeError(ErrorCode::kUnavailable, "worker {}: its process ended before it was ready",
                      workers_[i].name);
    }
    Arrival& lost = arrived.emplace_back(Arrival{Arrival::Kind::kLost, workers_[i].name});
    if (!workers_[i].turns.empty()) lost.message.step = workers_[i].turns.front();
    workers_.erase(workers_.begin() + static_cast<ptrdiff_t>(i));
    ++num_lost;
  }
  for (; num_lost > 0; --num_lost) Start();
}

bool ProcessSeat::Receive(std::vector<ToWorker>& got, double seconds) {
  pollfd socket = {stream_.Socket(), POLLIN, 0};
  poll(&socket, 1, Milliseconds(seconds));
  messages_.clear();
  const bool is_open = stream_.Read(messages_);
  for (const std::string& bytes : messages_) got.push_back(Decode<ToWorker>(bytes));
  return is_open;
}

// Waits until the run has taken it: the run never waits for a worker while it sends.
void ProcessSeat::Send(const FromWorker& message) {
  stream_.Put(Encode(message));
  while (stream_.Flush() && stream_.HasOutput()) {
    pollfd socket = {stream_.Socket(), POLLOUT, 0};
    poll(&socket, 1, Milliseconds(kLongestWait));
  }
}

}  // namespace throng::workers
