// Converts text and answers to Python objects.
#pragma once

#include <pybind11/pybind11.h>

#include <string_view>

#include "llm/llm.h"

namespace throng::python {

// A Python str; bytes that are not valid UTF-8 become U+FFFD.
pybind11::str MakeText(std::string_view text);

// A throng.Completion.
pybind11::object MakeCompletion(std::string_view text, llm::FinishReason finish, int prompt_tokens,
                                int cached_prompt_tokens, int output_tokens);

// The text of a JSON schema that users give as a str or a dict; None becomes the empty text.
std::string SchemaText(pybind11::handle schema);

}  // namespace throng::python
