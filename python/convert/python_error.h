// Translates errors between C++ and Python: throng::Error as the Python class throng.Error, and exceptions of
// Python code called in the middle of a run.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <optional>
#include <string>

#include "base/error.h"

namespace throng::python {

// Creates throng.Error, a ValueError with the attribute `code`, and translates throng::Error to it.
void AddErrors(pybind11::module_& module);

// What an exception of a backend's function means for the attempt that raised it: OSError (ConnectionError,
// TimeoutError) and throng.Error of code "unavailable" or "bad answer" fail it; nothing: the code is wrong.
std::optional<Error> AsFailedAttempt(const pybind11::object& exception);

// The last exception that Python code raised in a run. The floors below know only throng::Error: they get one
// with the same message, which stops the run, or only a guess (Ctrl-C: always the run). The function that
// started the run then raises the original again, with its traceback, and says where it happened: in the
// message of a throng.Error, else in a note.
class Failure {
 public:
  // Called while the exception is handled: keeps it, with where it happened, and throws an Error in its
  // place.
  [[noreturn]] void Keep(const std::string& where);
  // The same with an exception that says already where it happened, as one from a worker.
  [[noreturn]] void Keep(const pybind11::object& exception);
  // The kept exception, which is forgotten; null if there is none.
  pybind11::object Take();
  // Throws the kept exception, if it is what ended the run with this error.
  void Raise(const Error& error) const;

 private:
  std::exception_ptr kept_;
  std::string message_;
};

}  // namespace throng::python
