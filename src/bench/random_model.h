// Models of the shapes that people run, with random weights: what they compute takes the time that real ones
// take.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/gguf/gguf.h"

namespace throng::bench {

// Shapes of known models: "llama-1b" (Llama 3.2 1B), "llama-8b" (Llama 3.1 8B), "llama2-7b" (Llama 2 7B,
// where every query head has a KV head of its own), "smollm2-360m" (SmolLM2 360M), "gemma3-1b" (Gemma 3 1B),
// "qwen35-0.8b" (Qwen3.5 0.8B, gated delta nets) and "falcon-h1-0.5b" (Falcon-H1 0.5B, Mamba-2);
// small ones of models that are large, with about 10^9 weights: "mixtral-tiny" (8 experts, 2 for each token),
// "qwen3moe-tiny" (32, 4), "gpt-oss-tiny" (16, 4, with windows and sinks); and "tiny", for tests.
std::vector<std::string> ShapeNames();
// "q4_0", "Q4_K", ...: a type of weights that can be multiplied. Throws kInvalid for another.
model::TensorType ParseWeights(const std::string& name);
// The bytes of a GGUF file of that shape; all matrices have that type. With another file's vocabulary,
// tokenizer and chat template it can answer; without (null) it has no tokenizer. Throws kInvalid for an
// unknown shape, and for a type whose blocks do not fit its rows; kCorrupt if the other file has no
// vocabulary.
std::vector<uint8_t> RandomModel(const std::string& shape, model::TensorType type,
                                 const model::GgufFile* vocabulary = nullptr);

}  // namespace throng::bench
