// What tokens mean by their names, where the keys of a file do not say: its types are often wrong, and few
// files list all tokens that end an answer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/tokenizer/tokenizer.h"

namespace throng::model {

// The ids of the tokens that end an answer: those that the data names, and those of known names. The first
// that ends a chat turn becomes data.eot, if there is none. Ids ascend.
std::vector<int32_t> FindEnds(TokenizerData& data, const TextIndex& by_name);

// Makes control tokens of those that are it by their names, such as <|im_start|>, whatever their type.
// Returns what the file said of each, for a warning: "<|im_start|> (normal)".
std::vector<std::string> MendTypes(TokenizerData& data, const TextIndex& by_name);

}  // namespace throng::model
