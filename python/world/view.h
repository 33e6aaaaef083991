// throng.View: what one agent's code reads in a step.
#pragma once

#include <pybind11/pybind11.h>

#include "python/world/world.h"
#include "sim/world.h"

namespace throng::python {

// Python code may keep it longer than it is valid, so it is closed when its step ends.
class PythonView {
 public:
  PythonView(const PythonWorld& world, const sim::View& view) : world_(&world), view_(&view) {}
  void Close() { view_ = nullptr; }

  sim::Step Now() const { return Get().Now(); }
  pybind11::list Neighbours() const;
  pybind11::str Cell(pybind11::handle pos) const;
  pybind11::list Announced(size_t known) const;
  // score: None, or a function of a throng.Post that returns a number.
  pybind11::list Feed(pybind11::handle most, pybind11::handle score) const;
  pybind11::list Posts(pybind11::handle author) const;
  int64_t Likes(pybind11::handle post) const;
  pybind11::list Messages() const;
  pybind11::object Random();

 private:
  const sim::View& Get() const;
  void MustHavePosts(const char* what) const;
  void MustHaveHorizon(const char* what) const;
  pybind11::list MakePosts(const std::vector<sim::Post>& posts) const;

  const PythonWorld* world_;
  const sim::View* view_;
  pybind11::object random_;  // null until first used
};

void AddView(pybind11::module_& module);

}  // namespace throng::python
