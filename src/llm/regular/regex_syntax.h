// Parses regular expressions as ECMA-262 writes them with the flag u.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "llm/grammar/grammar.h"

namespace throng::llm {

struct RegexNode {
  enum class Kind {
    kChars,          // one character of a set, which may be empty
    kSequence,       // all children, in order
    kChoice,         // one of the children
    kRepeat,         // the only child, min to max times
    kStart,          // ^
    kEnd,            // $
    kWordBorder,     // \b
    kNoWordBorder,   // \B
    kLookahead,      // (?=child)
    kNotLookahead,   // (?!child)
    kLookbehind,     // (?<=child)
    kNotLookbehind,  // (?<!child)
    kGroup,          // (child), which `group` refers to
    kBackreference,  // the text that a group matched
  };
  Kind kind;
  size_t offset;  // in the expression, in bytes
  CodePoints chars;
  std::vector<uint32_t> children;  // earlier nodes
  int64_t min = 0;
  int64_t max = 0;     // or Grammar::kUnbounded
  bool lazy = false;   // of a repeat
  uint32_t group = 0;  // the number of a group, from 1
};

struct RegexTree {
  std::vector<RegexNode> nodes;
  uint32_t root = 0;
};

// Known beyond the syntax of the flag u, because it is meant in one way only: any punctuation after a
// backslash, ] and } alone, - after a class as in [\w-z], and (?P<name> ). Throws kInvalid for what is no
// expression, kUnsupported for flags in groups and properties that are not known, with the offset.
RegexTree ParseRegex(std::string_view regex, std::string_view where);

// The characters of \w.
const CodePoints& WordChars();

// `the pattern "..."`, as errors begin: cut if it is long.
std::string NameOfPattern(std::string_view where, std::string_view regex);

}  // namespace throng::llm
