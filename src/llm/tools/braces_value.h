// Values as Gemma writes them, {key:<|"|>text<|"|>,more:[1,{a:null}]}, made JSON as their text arrives.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace throng::llm {

class BracesValue {
 public:
  // quote: what begins and ends strings.
  explicit BracesValue(std::string quote) : quote_(std::move(quote)) {}

  // Appends the JSON of the text, as far as it is known, to `json`, and returns how many bytes that took;
  // what is left belongs in front of the next text. The value ends before a mark that is no quote
  // (answer_format.h).
  size_t Take(std::string_view text, std::string& json);
  bool Done() const { return done_; }

 private:
  size_t TakeString(std::string_view text, std::string& json);
  size_t TakeKey(std::string_view text, std::string& json);
  void TakeByte(char byte, std::string& json);

  std::string quote_;
  std::string open_;  // the brackets that are open
  bool in_string_ = false;
  bool at_key_ = false;  // a key comes next
  bool done_ = false;
};

}  // namespace throng::llm
