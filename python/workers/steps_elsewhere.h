// The run's side of agents' steps that workers do. The run keeps everything that is shared: views, calls, the
// journal, guesses and resolve; a worker gets what a step reads, and asks for the rest.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "python/convert/python_error.h"
#include "python/workers/step_messages.h"
#include "python/world/world.h"
#include "sim/world.h"
#include "workers/link.h"
#include "workers/step_pool.h"

namespace throng::python {

class StepsElsewhere {
 public:
  explicit StepsElsewhere(std::unique_ptr<workers::Link> link) : pool_(std::move(link)) {}

  // As World::Proceed.
  sim::Task<sim::IntentPtr> Proceed(const PythonWorld& world, const sim::View& view, sim::Caller& caller,
                                    Failure& failure);
  workers::StepPool& Pool() { return pool_; }

 private:
  std::string FirstTurn(const PythonWorld& world, const sim::View& view);
  std::string Read(const PythonWorld& world, const sim::View& view, const StepSays& says) const;

  workers::StepPool pool_;
  // By agent: what its last step read (Reads), which its next one is sent at once.
  std::vector<uint8_t> reads_;
};

}  // namespace throng::python
