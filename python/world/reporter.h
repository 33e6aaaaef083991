// Shows a run's state to Python after each step that all agents have done, and keeps what Python measures.
#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <vector>

#include "journal/journal.h"
#include "python/convert/python_error.h"
#include "python/world/world.h"
#include "sim/run_observer.h"

namespace throng::python {

// Agents may be at different steps: what they did ahead of the others is kept until all have done that step.
class Reporter final : public sim::RunObserver {
 public:
  // collect(step, agents, cells, events) is called after every `every`th step, with the agents who are there,
  // in the order of their ids, what is written in cells, and the events of that step. It returns a list of
  // (agent or None, name, value) for the journal (null: none). All must outlive this.
  Reporter(const PythonWorld& world, Failure& failure, pybind11::object collect, sim::Step every,
           journal::Journal* journal);
  void OnCommit(const sim::CommitRecord& record) override;
  void OnStep(sim::Step step, const Digest&) override;
  void OnIntervention(const sim::InterventionRecord& record) override;

 private:
  // What one step changed.
  struct Changes {
    std::vector<sim::MemberCommit> agents;
    std::vector<sim::MemberCommit> born;
    std::vector<sim::CellWrite> cells;
    std::vector<sim::Event> events;
  };

  void SetAgent(const sim::MemberCommit& agent, bool may_be_same);
  void SetCell(const sim::CellWrite& cell);
  void Collect(sim::Step step, std::vector<sim::Event>& events);
  void Keep(sim::Step step, const pybind11::object& measured);

  const PythonWorld& world_;
  Failure& failure_;
  pybind11::object collect_;
  sim::Step every_;
  journal::Journal* journal_;
  std::map<sim::Step, Changes> ahead_;    // of steps that some agents have not done
  std::vector<pybind11::object> agents_;  // by id; null: not there
  pybind11::dict cells_;
};

}  // namespace throng::python
