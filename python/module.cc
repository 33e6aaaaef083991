// The extension module throng._native; the package's Python files add its public interface and documentation.
#include <pybind11/pybind11.h>

#include "python/bind.h"
#include "python/fork.h"
#include "python/plain_value.h"
#include "python/python_error.h"

PYBIND11_MODULE(_native, module) {
  module.attr("__version__") = THRONG_VERSION;
  throng::python::WatchForks();
  throng::python::InitPlainValues();
  throng::python::AddErrors(module);
  throng::python::AddJournal(module);
  throng::python::AddModel(module);
  throng::python::AddRun(module);
  throng::python::AddVerify(module);
  throng::python::AddStepper(module);
}
