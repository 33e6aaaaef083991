// Adds the parts of the extension module; each part is one file.
#pragma once

#include <pybind11/pybind11.h>

namespace throng::python {

void AddJournal(pybind11::module_& module);
void AddModel(pybind11::module_& module);
void AddRun(pybind11::module_& module);
void AddStepper(pybind11::module_& module);
void AddVerify(pybind11::module_& module);
void AddWorkers(pybind11::module_& module);

}  // namespace throng::python
