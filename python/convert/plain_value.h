// Plain data that agents may keep in mind: frozen, so that versions of a world can share it, and hashed, so
// that runs can be compared.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <string_view>

#include "base/digest.h"

namespace throng::python {

// Must run before the functions below, when the module is loaded. Imports throng.plain.
void InitPlainValues();

// Returns an immutable copy: None, bool, int, float, str, bytes and enum members as they are; lists become
// tuples, dicts become throng.FrozenDict; named tuples and frozen dataclasses keep their class. Raises
// throng::Error for anything else, naming the place, which starts with `what` ("the mind of agent 3").
pybind11::object Freeze(pybind11::handle value, const std::string& what);

// Text of what Freeze returned, and the value that such text stands for. Throw kUnsupported for a class that
// cannot be found by its name, and kCorrupt for other text.
std::string WritePlain(pybind11::handle value);
pybind11::object ReadPlain(std::string_view text);

// Hashes what Freeze returned. Equal for equal values in every process; the order of dicts counts.
void HashPlain(pybind11::handle value, Hasher& hasher);

}  // namespace throng::python
