// Finds where a JSON value ends while its text arrives.
#pragma once

#include <cstddef>
#include <string_view>

namespace throng::llm {

// Looks at brackets and strings alone: what stands between them may be wrong.
class JsonValueScan {
 public:
  // How many bytes of the text, which goes on where the last one ended, belong to the value. It begins with
  // the first byte of the first text, and ends before a mark (answer_format.h) whatever it is.
  size_t Take(std::string_view text);
  bool Done() const { return done_; }
  bool HasBegun() const { return begun_; }

 private:
  bool begun_ = false;
  bool done_ = false;
  bool in_string_ = false;
  bool escaped_ = false;
  size_t depth_ = 0;
};

}  // namespace throng::llm
