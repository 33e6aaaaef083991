// The tools of a Python world.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "effects/tool.h"

namespace throng::python {

// Reads World.tools. Throws kInvalid for what is no tool, or if two have one name.
effects::ToolTable ReadTools(pybind11::handle tools);

// Reads what throng.embeddings.tool_of has made of the option `embed`; null: nobody makes embeddings.
std::shared_ptr<effects::Tool> ReadEmbedder(pybind11::handle tools);

}  // namespace throng::python
