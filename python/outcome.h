// Collects what a run leaves for Python: numbers, the last state, and the chronicle.
#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <vector>

#include "python/world.h"
#include "sim/run/run.h"

namespace throng::python {

// Keeps the newest state of every agent and cell, and all events.
class Outcome final : public sim::RunObserver {
 public:
  explicit Outcome(const PythonWorld& world);
  void OnCommit(const sim::CommitRecord& record) override;
  void OnStep(sim::Step, const Digest&) override {}
  void OnIntervention(const sim::InterventionRecord& record) override;

  // Adds the attributes of throng.RunResult: agents, cells, events.
  void AddTo(pybind11::dict& result);

 private:
  struct AgentState {
    sim::Body body;
    sim::MindPtr mind;
    bool present;
  };
  struct StepEvent {
    sim::Step step;
    sim::Event event;
  };

  const PythonWorld& world_;
  std::vector<AgentState> agents_;
  std::map<sim::Pos, std::string> cells_;
  std::vector<StepEvent> events_;  // in the order in which steps were computed
};

// The attributes of throng.RunResult that are numbers or digests.
pybind11::dict DescribeRun(const sim::RunResult& result, sim::Mode mode);

}  // namespace throng::python
