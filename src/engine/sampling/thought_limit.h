// Ends a thought that has used up its tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace throng::engine {

class Matcher;
class Vocabulary;

struct ThoughtLimit {
  int most_tokens;                  // of the answer; then the thought's end is forced
  std::string begin, end;           // as the answer's text has them
  bool begun;                       // by the prompt
  std::vector<int32_t> end_tokens;  // they spell `end`
  std::shared_ptr<const Vocabulary> spelling;
};

// One sequence's thought.
class ThoughtWatch {
 public:
  explicit ThoughtWatch(ThoughtLimit limit) : limit_(std::move(limit)), is_open_(limit_.begun) {}

  // After each token: the answer's text so far.
  void Read(std::string_view text);
  // The token that comes next, whatever the logits, after so many tokens and this text; nothing if it is to
  // be drawn: there is no thought, it has tokens left, or the text is within a character.
  std::optional<int32_t> Next(int num_tokens, std::string_view text, Matcher& matcher) const;

 private:
  ThoughtLimit limit_;
  bool is_open_;
  bool is_over_ = false;
  size_t read_ = 0;  // bytes of the text
};

}  // namespace throng::engine
