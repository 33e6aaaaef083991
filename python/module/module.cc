// The extension module throng._native; the package's Python files add its public interface and documentation.
#include <pybind11/pybind11.h>

#include "base/log.h"
#include "python/convert/plain_value.h"
#include "python/convert/python_error.h"
#include "python/module/bind.h"
#include "python/module/ending.h"
#include "python/module/fork.h"

PYBIND11_MODULE(_native, module) {
  module.attr("__version__") = THRONG_VERSION;
  throng::InitLog("warn");
  throng::python::WatchForks();
  throng::python::WatchEnding();
  throng::python::InitPlainValues();
  throng::python::AddErrors(module);
  throng::python::AddJournal(module);
  throng::python::AddModel(module);
  throng::python::AddRun(module);
  throng::python::AddVerify(module);
  throng::python::AddStepper(module);
  throng::python::AddWorkers(module);
}
