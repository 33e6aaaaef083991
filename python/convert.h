// Converts and checks values returned by Python code that runs call; errors are one sentence that names the
// place.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <string_view>

#include "base/error.h"
#include "sim/world.h"

namespace throng::python {

// Throws that `what` should be `allowed`, but is `found`.
[[noreturn]] void ThrowWrongType(std::string_view what, pybind11::handle found, std::string_view allowed);

template <typename T>
T CastTo(pybind11::handle value, std::string_view what, std::string_view allowed) {
  try {
    return pybind11::cast<T>(value);
  } catch (const pybind11::cast_error&) {
    ThrowWrongType(what, value, allowed);
  }
}

// Returns value.name; `owner` names its class: "Call", "World".
template <typename T>
T Field(pybind11::handle value, const char* owner, const char* name, std::string_view allowed) {
  return CastTo<T>(value.attr(name), std::string(owner) + "." + name, allowed);
}

sim::AgentId ToAgentId(pybind11::handle value);  // an integer, or an object with an id

}  // namespace throng::python
