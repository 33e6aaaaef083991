// A worker: does agents' steps for a run that goes on elsewhere. It runs the same code as a run does, on a
// view that it was sent, and with a caller that lets the run ask.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "python/convert/python_error.h"
#include "python/workers/step_messages.h"
#include "python/world/world.h"
#include "workers/link.h"

namespace throng::python {

class WorkerStep;

class Worker {
 public:
  // `seat` outlives it. Throws what PythonWorld does, and kInvalid unless the world's ScenarioDigest is this.
  Worker(workers::Seat& seat, pybind11::object world, const sim::Seeds& seeds, const std::string& digest);
  ~Worker();

  void Run(std::vector<workers::ToWorker> received);  // until the run ends

 private:
  void Receive();
  void Handle(const workers::ToWorker& message);
  void Begin(uint64_t number, const std::string& task);
  void GoOn(uint64_t number, WorkerStep& step);
  void Fail(uint64_t number, uint32_t turn, const std::exception& error);
  void End(uint64_t number);
  void Send(uint64_t number, uint32_t turn, bool is_last, const StepSays& says);
  // The run's turn of a step that is in the middle of its code. Throws kCancelled if nobody wants it any
  // more.
  std::string AwaitReply(uint64_t number, uint32_t turn);

  workers::Seat& seat_;
  Failure failure_;
  PythonWorld world_;
  std::unordered_map<uint64_t, std::unique_ptr<WorkerStep>> steps_;  // begun
  std::deque<workers::ToWorker> inbox_;
  std::vector<workers::ToWorker> received_;
  bool has_ended_ = false;  // the run
};

}  // namespace throng::python
