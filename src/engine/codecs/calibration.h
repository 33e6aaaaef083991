// The short text on which a model's keys and values are looked at before its KV cache is used.
#pragma once

#include <string_view>

namespace throng::engine {

// Several kinds of text, as heads differ in what they react to, and persons as a town's prompts describe
// them. To change it is to change what flashq-mixed and auto mean.
std::string_view CalibrationText();

}  // namespace throng::engine
