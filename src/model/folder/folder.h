// Models as Hugging Face's folders hold them: config.json, tokenizer.json and weights in safetensors.
#pragma once

#include <memory>
#include <string>

#include "model/gguf/gguf.h"

namespace throng::model {

// A GGUF file, or a folder, which is shown as the GGUF file that it would be converted into. Matrices stay
// mapped where they can (docs/models.md), whatever `use` of a folder is. Throws kIo, kCorrupt or kUnsupported
// with one sentence.
std::unique_ptr<GgufFile> OpenModel(const std::string& path, GgufUse use = GgufUse::kAll);

// The same without tensors where `path` is a folder, which then needs no more than tokenizer.json.
std::unique_ptr<GgufFile> OpenVocabulary(const std::string& path);

}  // namespace throng::model
