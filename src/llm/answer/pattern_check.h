// Judges texts by the patterns of JSON schemas (ECMA-262 with the flag u). src/llm/regular/pattern.h makes
// automata of patterns, and knows fewer: no backreferences and lookbehinds.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace throng::llm {

class PatternCheck {
 public:
  // Throws kInvalid for what is no pattern, kUnsupported for one that is not known or too large, with
  // `where`.
  PatternCheck(std::string_view pattern, std::string_view where);
  ~PatternCheck();

  // A text for which the search takes too long does not match.
  bool Finds(std::string_view text) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

}  // namespace throng::llm
