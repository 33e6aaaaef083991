// Text and answers on their way to Python.
#pragma once

#include <pybind11/pybind11.h>

#include <string_view>

#include "llm/llm.h"

namespace throng::python {

// A Python str; bytes that are no UTF-8 become U+FFFD.
pybind11::str MakeText(std::string_view text);

// A throng.Completion.
pybind11::object MakeCompletion(std::string_view text, llm::FinishReason finish, int prompt_tokens,
                                int cached_prompt_tokens, int output_tokens);

// A JSON schema as users give it, a str or a dict, as text; None is the empty text.
std::string SchemaText(pybind11::handle schema);

}  // namespace throng::python
