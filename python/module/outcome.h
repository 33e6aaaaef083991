// Collects what a run leaves for Python: numbers, the last state, and the chronicle.
#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <vector>

#include "journal/read/reader.h"
#include "python/world/world.h"
#include "sim/run/run.h"

namespace throng::python {

// Keeps the newest state of every agent and cell, and all events.
class Outcome final : public sim::RunObserver {
 public:
  explicit Outcome(const PythonWorld& world);
  void OnSnapshot(const sim::Snapshot& from) override;
  void OnCommit(const sim::CommitRecord& record) override;
  void OnStep(sim::Step, const Digest&) override {}
  void OnIntervention(const sim::InterventionRecord& record) override;

  // Events of before the run's first step, ordered.
  void AddEarlier(const std::vector<journal::EventRow>& events);

  // Adds the attributes of throng.RunResult: agents, cells, events.
  void AddTo(pybind11::dict& result);
  // All agents as they are now, and the cells that are not empty.
  pybind11::list Agents() const;
  pybind11::dict Cells() const;
  // The events of that step, as throng.Event.
  pybind11::list EventsOf(sim::Step step);

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

  void SortEvents();
  static pybind11::object MakeEvent(const StepEvent& event);

  const PythonWorld& world_;
  std::vector<AgentState> agents_;
  std::map<sim::Pos, std::string> cells_;
  std::vector<StepEvent>
      events_;  // the first num_sorted_ by step and agent, the others as they were computed
  size_t num_sorted_ = 0;
};

// The attributes of throng.RunResult that are numbers or digests.
pybind11::dict DescribeRun(const sim::RunResult& result, sim::Mode mode);

}  // namespace throng::python
