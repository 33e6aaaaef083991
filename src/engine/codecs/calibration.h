// The short text on which a model's keys and values are looked at before its KV cache is used.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace throng::model {
class Tokenizer;
}

namespace throng::engine {

// Text to the token ids that a prompt of it has.
using Encoder = std::function<std::vector<int32_t>(std::string_view text)>;
Encoder MakeEncoder(const model::Tokenizer& tokenizer);  // which must outlive it

// Several kinds of text, as heads differ in what they react to, and persons as a town's prompts describe
// them. To change it is to change what flashq-mixed and auto mean.
std::string_view CalibrationText();

}  // namespace throng::engine
