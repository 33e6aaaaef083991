#include "python/convert.h"

namespace py = pybind11;

namespace throng::python {

namespace {

constexpr size_t kMaxShown = 60;  // longest value shown in an error message

}  // namespace

void ThrowWrongType(std::string_view what, py::handle found, std::string_view allowed) {
  std::string shown = py::cast<std::string>(py::repr(found));
  if (shown.size() > kMaxShown) shown = shown.substr(0, kMaxShown) + "...";
  throw MakeError(ErrorCode::kInvalid, "{} is {}, allowed is {}", what, shown, allowed);
}

sim::AgentId ToAgentId(py::handle value) {
  const py::object id = PyLong_Check(value.ptr()) ? py::reinterpret_borrow<py::object>(value)
                                                  : py::getattr(value, "id", py::none());
  if (!PyLong_Check(id.ptr())) ThrowWrongType("agent", value, "an agent, or its id");
  return CastTo<sim::AgentId>(id, "agent", "an agent, or its id");
}

}  // namespace throng::python
