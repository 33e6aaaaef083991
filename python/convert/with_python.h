// Python's lock on threads that Python did not make.
#pragma once

#include <cxxabi.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

namespace throng::python {

// Calls `act` with Python's lock. While a program ends, Python ends each thread that comes for its lock, as
// pthread_exit does, and what C++ would take down on the way needs that lock, too. So the thread rests
// instead until the process is gone: nobody may join it.
template <typename Act>
auto WithPython(Act act) {
  const auto rest = [] {
    for (;;) pause();
  };
  try {
    const pybind11::gil_scoped_acquire acquire;
    try {
      return act();
    } catch (const abi::__forced_unwind&) {
      rest();
      throw;
    }
  } catch (const abi::__forced_unwind&) {
    rest();
    throw;
  }
}

}  // namespace throng::python
