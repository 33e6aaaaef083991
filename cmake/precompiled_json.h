// nlohmann/json.hpp without its literals (`"[]"_json`): they are plain inline functions that call the parser, so the compiler instantiates
// the whole parser in every file that includes them, used or not.
#pragma once

// Leaves the literal declared, and makes its body that of a template which nothing instantiates.
#define _json(text, size)     \
  _json(text, size);          \
  template <typename>         \
  nlohmann::json UnusedLiteral(text, size)
#include <nlohmann/json.hpp>
#undef _json
