// The short text on which a model's keys and values are examined before its KV cache is used.
#pragma once

#include <string_view>

namespace throng::engine {

// Several kinds of text, because heads react to different things, and people described as in a town's
// prompts. Changing it changes what flashq-mixed and auto mean.
std::string_view CalibrationText();

// A text of the same kinds with other contents, on which auto proves what it chose on the first.
std::string_view HeldOutText();

}  // namespace throng::engine
