// The workers that a user of throng.run asks for.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "python/world/world.h"
#include "sim/seeds.h"
#include "workers/link.h"

namespace throng::python {

// The way to them: `crew` is what throng.workers.make_crew returns.
std::unique_ptr<workers::Link> MakeLink(const pybind11::object& crew, const PythonWorld& world,
                                        const sim::Seeds& seeds);

}  // namespace throng::python
