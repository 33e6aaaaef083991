#include "python/module/space.h"

#include <pybind11/stl.h>

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "base/error.h"
#include "python/convert/convert.h"
#include "sim/space/plane.h"
#include "sim/space/space_json.h"

namespace py = pybind11;

namespace throng::python {

namespace {

constexpr int32_t kMaxSide = 1 << 24;   // side of a grid, in cells
constexpr double kMaxSideMetres = 8e6;  // side of a plane: its units fit 31 bits
constexpr int kMaxDistance = 1 << 20;   // largest distance in grids and networks
constexpr double kMaxMetres = 4000;     // largest distance in planes: close to kMaxDistance in their units

sim::Space ReadGrid(const py::object& world) {
  const auto side = [&](const char* name) {
    const auto allowed = fmt::format("an integer from 1 to {}", kMaxSide);
    const auto value = Field<int32_t>(world, "World", name, allowed);
    if (value < 1 || value > kMaxSide)
      ThrowWrongType(std::string("World.") + name, world.attr(name), allowed);
    return value;
  };
  const int32_t width = side("width");
  const int32_t height = side("height");
  const auto metric = Field<std::string>(world, "World", "metric", "a str");
  if (metric == "chebyshev") return {width, height, sim::Metric::kChebyshev};
  if (metric == "euclid") return {width, height, sim::Metric::kEuclid};
  if (metric == "manhattan") return {width, height, sim::Metric::kManhattan};
  throw MakeError(ErrorCode::kInvalid, "World.metric is {}, allowed are chebyshev, euclid and manhattan",
                  metric);
}

sim::Space ReadPlane(const py::object& plane) {
  const auto side = [&](const char* name) {
    const auto allowed = fmt::format("a number of metres above 0, up to {}", kMaxSideMetres);
    const auto value = Field<double>(plane, "Plane", name, allowed);
    if (!(value > 0 && value <= kMaxSideMetres))
      ThrowWrongType(std::string("Plane.") + name, plane.attr(name), allowed);
    return sim::Metres(value) + 1;  // the far edges belong to it
  };
  const int32_t width = side("width");
  return {width, side("height"), sim::Metric::kEuclid};
}

sim::Space ReadNetwork(const py::object& network) {
  using Follows = std::vector<std::vector<sim::NodeId>>;
  const auto follows =
      Field<Follows>(network, "Network", "follows", "for each node a list of the nodes that it follows");
  return sim::Space(std::make_shared<const sim::Network>(follows));
}

}  // namespace

PythonSpace::Kind PythonSpace::KindOf(const py::object& world) {
  const py::object space = world.attr("space");
  const py::module_ classes = py::module_::import("throng.space");
  if (space.is_none()) return Kind::kGrid;
  if (py::isinstance(space, classes.attr("Plane"))) return Kind::kPlane;
  if (py::isinstance(space, classes.attr("Network"))) return Kind::kNetwork;
  ThrowWrongType("World.space", space, "a throng.Plane, a throng.Network, or None for a grid");
}

sim::Space PythonSpace::Read(const py::object& world, Kind kind) {
  if (kind == Kind::kGrid) return ReadGrid(world);
  const py::object space = world.attr("space");
  return kind == Kind::kPlane ? ReadPlane(space) : ReadNetwork(space);
}

PythonSpace::PythonSpace(const py::object& world)
    : kind_(KindOf(world)),
      space_(Read(world, kind_)),
      pos_class_(py::module_::import("throng.space").attr("Pos")) {}

sim::Pos PythonSpace::ToPos(py::handle value, std::string_view what) const {
  if (kind_ == Kind::kNetwork) {
    const auto allowed = fmt::format("a node: an integer from 0 to {}", space_.Width() - 1);
    const auto node = CastTo<int32_t>(value, what, allowed);
    if (!space_.Contains({node, 0})) ThrowWrongType(what, value, allowed);
    return {node, 0};
  }
  const auto allowed =
      kind_ == Kind::kGrid
          ? std::string("a position: two integers, (x, y)")
          : fmt::format("a position: two numbers of metres, (x, y), from (0, 0) to ({:g}, {:g})",
                        (space_.Width() - 1.0) / sim::kUnitsPerMetre,
                        (space_.Height() - 1.0) / sim::kUnitsPerMetre);
  if (!py::isinstance<py::tuple>(value) && !py::isinstance<py::list>(value))
    ThrowWrongType(what, value, allowed);
  const auto pair = py::reinterpret_borrow<py::sequence>(value);
  if (pair.size() != 2) ThrowWrongType(what, value, allowed);
  const py::object x = pair[0];
  const py::object y = pair[1];
  if (kind_ == Kind::kGrid) return {CastTo<int32_t>(x, what, allowed), CastTo<int32_t>(y, what, allowed)};
  const auto coordinate = [&](const py::object& number) {
    const auto metres = CastTo<double>(number, what, allowed);
    // Metres rounds to 32-bit integers.
    if (!(metres >= -1 && metres <= kMaxSideMetres + 1)) ThrowWrongType(what, value, allowed);
    return sim::Metres(metres);
  };
  const sim::Pos pos = {coordinate(x), coordinate(y)};
  if (!space_.Contains(pos)) ThrowWrongType(what, value, allowed);
  return pos;
}

int PythonSpace::ToDistance(py::handle value, std::string_view what) const {
  if (kind_ == Kind::kPlane) {
    const auto allowed = fmt::format("a number of metres from 0 to {}", kMaxMetres);
    const auto metres = CastTo<double>(value, what, allowed);
    if (!(metres >= 0 && metres <= kMaxMetres)) ThrowWrongType(what, value, allowed);
    // One unit more: positions are rounded, which must not lose one at exactly this distance.
    return metres == 0 ? 0 : static_cast<int>(std::ceil(metres * sim::kUnitsPerMetre)) + 1;
  }
  const auto allowed = fmt::format("an integer from 0 to {}", kMaxDistance);
  const auto distance = CastTo<int>(value, what, allowed);
  if (distance < 0 || distance > kMaxDistance) ThrowWrongType(what, value, allowed);
  return distance;
}

int PythonSpace::ToRadius(py::handle value, std::string_view what) const { return ToDistance(value, what); }

int PythonSpace::ToSpeed(py::handle value, std::string_view what) const {
  const int speed = ToDistance(value, what);
  if (kind_ == Kind::kNetwork && speed != 0)
    ThrowWrongType(what, value, "0 on a network, where nobody moves");
  return speed;
}

py::object PythonSpace::MakePos(sim::Pos pos) const {
  switch (kind_) {
    case Kind::kGrid:
      return pos_class_(pos.x, pos.y);
    case Kind::kPlane:
      return pos_class_(static_cast<double>(pos.x) / sim::kUnitsPerMetre,
                        static_cast<double>(pos.y) / sim::kUnitsPerMetre);
    case Kind::kNetwork:
      break;
  }
  return py::int_(pos.x);
}

py::object PythonSpace::DefaultRadius() const { return py::int_(kind_ == Kind::kNetwork ? 1 : 4); }

py::object PythonSpace::DefaultSpeed() const { return py::int_(kind_ == Kind::kNetwork ? 0 : 1); }

std::string PythonSpace::MapJson() const {
  return sim::SpaceJson(space_, kind_ == Kind::kPlane ? sim::kUnitsPerMetre : 1);
}

void PythonSpace::Hash(Hasher& hasher) const {
  hasher.Add(space_.Width()).Add(space_.Height()).Add(space_.GetMetric());
  if (kind_ == Kind::kGrid) return;
  hasher.Add(kind_);  // a plane differs from a grid with Euclid's metric
  if (kind_ == Kind::kPlane) return;
  const sim::Network& network = space_.GetNetwork();
  for (sim::NodeId node = 0; node < network.NumNodes(); ++node) {
    hasher.Add(uint64_t{network.Follows(node).size()});
    for (const sim::NodeId other : network.Follows(node)) hasher.Add(other);
  }
}

}  // namespace throng::python
