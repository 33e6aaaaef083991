// What a tokenizer does to text before it looks for words.
#pragma once

#include <string>
#include <string_view>

namespace throng::model {

struct Normalizer {
  bool composes = false;           // Unicode's normal form C
  bool spaces_as_symbols = false;  // U+2581 is the vocabulary's symbol for a space, so it becomes one
  bool squeezes_spaces = false;    // one space for each run within the text, none at its ends

  // The text as it is encoded: `text` itself if nothing changes, else `buffer`. Bytes that are no UTF-8 stay.
  std::string_view Apply(std::string_view text, std::string& buffer) const;
};

}  // namespace throng::model
