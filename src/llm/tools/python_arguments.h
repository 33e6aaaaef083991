// The arguments of a call as Python writes them, city="Rome", days=[1, 2]), made JSON as their text arrives.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace throng::llm {

class PythonArguments {
 public:
  // names: what arguments without a name are called, in order; "0", "1", ... beyond them.
  explicit PythonArguments(std::vector<std::string> names = {}) : names_(std::move(names)) {}

  // The text begins behind the call's `(`. Appends the JSON object of the text, as far as it is known, to
  // `json`, and returns how many bytes that took; what is left belongs in front of the next text. The
  // arguments end with their `)`, or before a mark (answer_format.h). What stands for no value is a string.
  size_t Take(std::string_view text, bool is_final, std::string& json);
  bool Done() const { return done_; }

 private:
  // A list or object that is open; the arguments are an object, too.
  struct Level {
    char closing;          // of its JSON
    bool is_empty = true;  // nothing of it is written
    bool at_key = false;   // of an object: a key comes next
  };

  size_t TakeName(std::string_view text, bool is_final, std::string& json);
  size_t TakeValue(std::string_view text, bool is_final, std::string& json);
  size_t TakeWord(std::string_view text, bool is_final, std::string& json);
  size_t BeginString(std::string_view text, bool is_final, std::string& json);
  size_t TakeString(std::string_view text, bool is_final, std::string& json);
  size_t TakeEscape(std::string_view text, bool is_final, std::string& json);
  void BeginItem(std::string& json);
  void Close(std::string& json);

  std::vector<std::string> names_;
  size_t num_unnamed_ = 0;
  std::vector<Level> levels_;
  std::string quote_;  // of the string that is open; empty: none
  bool done_ = false;
};

}  // namespace throng::llm
