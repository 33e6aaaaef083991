// Python's lock on threads that may outlive the program's.
//
// While a program ends, Python ends each thread that comes for its lock, in the middle of whatever it is in,
// as pthread_exit does: each frame's destructors run, without the lock that those of Python objects need. So
// such a thread rests instead, right where Python would end it, until the process is gone. Nobody may join
// it.
#pragma once

#include <cxxabi.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

namespace throng::python {

// Runs `act`, which owns nothing that has a destructor.
template <typename Act>
auto RestIfEnded(Act act) {
  try {
    return act();
  } catch (const abi::__forced_unwind&) {
    for (;;) pause();
    throw;  // never reached: the library demands it
  }
}

// Holds Python's lock, on any thread.
class WithPython {
 public:
  WithPython() : state_(RestIfEnded(PyGILState_Ensure)) {}
  ~WithPython() {
    RestIfEnded([this] { PyGILState_Release(state_); });
  }
  WithPython(const WithPython&) = delete;
  WithPython& operator=(const WithPython&) = delete;

 private:
  PyGILState_STATE state_;
};

// Lets go of Python's lock, and takes it again at the end.
class WithoutPython {
 public:
  WithoutPython() : thread_(PyEval_SaveThread()) {}
  ~WithoutPython() {
    RestIfEnded([this] { PyEval_RestoreThread(thread_); });
  }
  WithoutPython(const WithoutPython&) = delete;
  WithoutPython& operator=(const WithoutPython&) = delete;

 private:
  PyThreadState* thread_;
};

// Gives up a reference. What it frees may run Python.
inline void Drop(pybind11::object* object) {
  PyObject* const dropped = object->release().ptr();
  RestIfEnded([dropped] { Py_XDECREF(dropped); });
}

}  // namespace throng::python
