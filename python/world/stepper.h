// A run that Python drives step by step, for throng.Env.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "app/limits.h"
#include "llm/llm.h"
#include "python/convert/python_error.h"
#include "python/llm/backend.h"
#include "python/module/fork.h"
#include "python/module/outcome.h"
#include "python/module/run_options.h"
#include "python/world/call_table.h"
#include "python/world/steps.h"
#include "python/world/world.h"
#include "sim/run/run.h"

namespace throng::python {

// Holds the model, if the backend is one, until it is destroyed. Keeps no journal.
class Stepper {
 public:
  Stepper(const pybind11::object& world, const pybind11::object& llm, const std::string& mode, uint64_t seed,
          const std::string& coupling, const Events& events);
  Stepper(const Stepper&) = delete;
  Stepper& operator=(const Stepper&) = delete;
  ~Stepper();

  // Runs until every agent has done this many steps. After an exception the run is over.
  void RunTo(sim::Step step);
  // By id, for the agents that are there: what each sees at the start of its next step. The views are closed
  // by the next RunTo.
  pybind11::dict Views();
  pybind11::list Agents() const { return outcome_.Agents(); }
  pybind11::dict Cells() const { return outcome_.Cells(); }
  pybind11::list EventsOf(sim::Step step) { return outcome_.EventsOf(step); }
  pybind11::dict Result();  // the attributes of throng.RunResult, so far

 private:
  void CloseViews();

  const LostByFork lost_by_fork_;
  Failure failure_;
  BackendSource source_;
  sim::RunOptions options_;
  PythonWorld world_;
  Outcome outcome_;
  CallTable calls_;
  app::LimitedBackend limited_;
  std::unique_ptr<llm::Llm> backend_;
  sim::Step halt_ = 0;
  bool runs_ = false;  // to keep out other threads, and the world's own code
  std::vector<std::shared_ptr<PythonView>> views_;
  std::unique_ptr<sim::SteppedRun> run_;  // last: it refers to the rest
};

}  // namespace throng::python
