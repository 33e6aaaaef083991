// tokenizer.json: the tokens and merges as they stand in its text, hundreds of thousands of strings, and all
// else as values.
#pragma once

#include <cstdint>
#include <deque>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace throng::model {

struct TokenizerJson {
  nlohmann::json
      values;  // model.vocab is an empty object, model.merges an empty list, if they are of these kinds
  std::vector<std::pair<std::string_view, uint32_t>> vocab;  // names and ids
  std::vector<std::string_view> merges;                      // pairs with a space between
  std::deque<std::string> made;  // texts that do not stand in the file as they are, for the views above
};

// The result refers to `text`; `name` stands for the path in messages. Throws kCorrupt with one sentence for
// what is no JSON object, ids that are none, and merges that are not two strings.
TokenizerJson ReadTokenizerJson(std::string_view text, const std::string& name);

constexpr uint32_t kMaxTokens = 1 << 24;

}  // namespace throng::model
