// Converts and checks values returned by Python code that runs call; errors are one sentence that names the
// place.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "sim/world.h"

namespace throng::python {

// A value as Python writes it, shortened, for messages.
std::string Show(pybind11::handle value);

// Throws that `what` should be `allowed`, but is `found`.
[[noreturn]] void ThrowWrongType(std::string_view what, pybind11::handle found, std::string_view allowed);

// Throws unless `value` is a str that is Unicode text: halves of surrogate pairs are none.
void CheckText(pybind11::handle value, std::string_view what);

// The text of a str, as UTF-8. It lives as long as the str.
std::string_view ToText(pybind11::handle value, std::string_view what);

// A sequence of str.
std::vector<std::string> ToTexts(pybind11::handle value, std::string_view what);

// Any str as UTF-8, for messages: what is no Unicode text is written as an escape.
std::string ToUtf8(pybind11::handle text);

template <typename T>
T CastTo(pybind11::handle value, std::string_view what, std::string_view allowed) {
  if constexpr (std::is_same_v<T, std::string>) return std::string(ToText(value, what));
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
