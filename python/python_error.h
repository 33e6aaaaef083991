// Errors across the border: throng::Error as the Python class throng.Error, and exceptions of Python code
// that was called in the middle of a run.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <string>

namespace throng::python {

// Makes throng.Error, a ValueError with the attribute `code`, and translates to it.
void AddErrors(pybind11::module_& module);

// The first exception that Python code raised in a run. The floors below know only throng::Error: they get
// one that stops the run and says the same, and whoever started the run raises the original again, with its
// traceback.
class Failure {
 public:
  // Called with the exception being handled: keeps it, with a note of where it happened, and throws an Error
  // in its place.
  [[noreturn]] void Keep(const std::string& where);
  // Throws what was kept, if anything was.
  void Raise() const;

 private:
  std::exception_ptr kept_;
};

}  // namespace throng::python
