// tokenizer.json and the files beside it as the keys tokenizer.* of a GGUF file.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "model/folder/json_file.h"

namespace throng::model {

class GgufWriter;

// The folder's files, as objects but for the first; empty ones where there is no such file.
struct VocabularyFiles {
  std::string folder;     // for messages
  std::string tokenizer;  // the text of tokenizer.json
  nlohmann::json tokenizer_config = nlohmann::json::object();
  nlohmann::json config = nlohmann::json::object();
  nlohmann::json generation_config = nlohmann::json::object();
  std::string chat_template{};  // chat_template.jinja; empty: none
};

// Throws kCorrupt or kUnsupported with one sentence: vocabularies of BPE by bytes, or by characters with
// bytes for those that are no tokens, are known. At least `size` tokens are written; ids that have no name
// are unused ones.
void WriteVocabulary(const VocabularyFiles& files, uint32_t size, GgufWriter& writer);

// The name in tokenizer.ggml.pre that stands for the normaliser and pre-tokenizer of a tokenizer.json of
// bytes. Throws kUnsupported with the expressions if there is none.
std::string RecognisePreTokenizer(const JsonObject& tokenizer);

}  // namespace throng::model
