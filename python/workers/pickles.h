// Python values as bytes, between a run and its workers (python/throng/workers.py).
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <string_view>

namespace throng::python {

// Throws kInvalid naming `what` if it cannot be pickled.
std::string Pickle(pybind11::handle value, const std::string& what);
pybind11::object Unpickle(std::string_view pickled);

// An exception, with its traceback as text, which becomes its cause.
std::string DumpException(pybind11::handle exception);
pybind11::object LoadException(std::string_view dumped);

}  // namespace throng::python
