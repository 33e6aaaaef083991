// Functions of Python as backends. As with servers, what the network raises fails an attempt, and a call that
// is asked again says at the end of its prompt which answer was refused, and why. Any other exception stops
// the run.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "llm/llm.h"

namespace throng::python {

// Whether calling it makes a coroutine.
bool IsAsync(pybind11::handle function);

// A function takes a throng.Call and returns a str or a throng.Completion. Plain functions run on the run's
// thread, one at a time, smaller steps first; all calls of an async function run together on the event loop
// of a thread.
std::unique_ptr<llm::Llm> MakeFunctionLlm(pybind11::object function, bool is_async);

}  // namespace throng::python
