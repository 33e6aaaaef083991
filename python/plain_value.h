// Plain data: what agents may keep in mind. Frozen, so that versions of a world can share it, and hashed, so
// that runs can be compared.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "base/digest.h"

namespace throng::python {

// Before the functions below, when the module is loaded.
void InitPlainValues();

// A copy that cannot change: None, bool, int, float, str, bytes and enum members as they are; lists become
// tuples, dicts read-only ones; named tuples and frozen dataclasses keep their class. Raises throng::Error
// for anything else, naming the place: `what` is its start ("the mind of agent 3").
pybind11::object Freeze(pybind11::handle value, const std::string& what);

// Of what Freeze returned. Equal for equal values in every process; dicts count with their order.
void HashPlain(pybind11::handle value, Hasher& hasher);

}  // namespace throng::python
