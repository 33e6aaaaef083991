// The space of a Python world, and its positions and distances in Python: cells of a grid as pairs of
// integers, places on a plane as pairs of metres, nodes of a network as integers.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <string_view>

#include "base/digest.h"
#include "sim/space/space.h"
#include "sim/world.h"

namespace throng::python {

class PythonSpace {
 public:
  // Reads space, width, height and metric of a throng.World. Throws kInvalid with a sentence.
  explicit PythonSpace(const pybind11::object& world);

  const sim::Space& Get() const { return space_; }
  // Throw kInvalid naming `what` for anything else.
  sim::Pos ToPos(pybind11::handle value, std::string_view what) const;
  int ToRadius(pybind11::handle value, std::string_view what) const;
  int ToSpeed(pybind11::handle value, std::string_view what) const;  // in networks: 0
  pybind11::object MakePos(sim::Pos pos) const;

  // Defaults for agents that do not set their own, as Python values.
  pybind11::object DefaultRadius() const;
  pybind11::object DefaultSpeed() const;

  void Hash(Hasher& hasher) const;
  std::string MapJson() const;  // sim::SpaceJson

 private:
  enum class Kind { kGrid, kPlane, kNetwork };

  static Kind KindOf(const pybind11::object& world);
  static sim::Space Read(const pybind11::object& world, Kind kind);
  int ToDistance(pybind11::handle value, std::string_view what) const;

  Kind kind_;
  sim::Space space_;
  pybind11::object pos_class_;
};

}  // namespace throng::python
