// Turns the source of a template into its tree.
#pragma once

#include <string_view>

#include "jinja/ast.h"

namespace throng::jinja {

// `name` begins the messages of errors. Throws kInvalid with line and column for a source that is no
// template, and kUnsupported for blocks that need other files.
Ast Parse(std::string_view name, std::string_view source);

}  // namespace throng::jinja
