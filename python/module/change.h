// throng.Change: what a world's intervene reads and changes.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "python/world/world.h"
#include "sim/world.h"

namespace throng::python {

// Python code may keep it longer than it is valid, so it is closed when intervene ends.
class PythonChange {
 public:
  PythonChange(const PythonWorld& world, sim::Change& change) : world_(&world), change_(&change) {}
  void Close() { change_ = nullptr; }

  sim::Step Now() const { return Get().Now(); }
  bool IsPresent(pybind11::handle agent) const;
  pybind11::object GetAgent(pybind11::handle agent) const;
  pybind11::str Cell(pybind11::handle pos) const;
  void SetMind(pybind11::handle agent, pybind11::handle mind);
  void Write(pybind11::handle pos, pybind11::handle text);
  void Add(pybind11::handle id, pybind11::handle pos, pybind11::handle status, pybind11::handle mind,
           pybind11::handle follows);
  void Remove(pybind11::handle agent);
  void Announce(pybind11::handle text);
  void Follow(pybind11::handle agent, pybind11::handle whom);
  void Unfollow(pybind11::handle agent, pybind11::handle whom);

 private:
  sim::Change& Get() const;
  const PlainMind& MindOf(sim::AgentId agent) const;  // of one who is there

  const PythonWorld* world_;
  sim::Change* change_;
};

void AddChange(pybind11::module_& module);

}  // namespace throng::python
