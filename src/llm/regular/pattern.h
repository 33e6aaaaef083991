// The texts that regular expressions allow.
#pragma once

#include <string_view>

#include "llm/regular/regular.h"

namespace throng::llm {

// The strings in which `pattern` finds a match, as JSON Schema means it (2020-12, Core 6.4): a search, as
// ECMA-262 defines it with the flag u. Reduced; empty if no string has a match. Throws kInvalid or
// kUnsupported with `where`, the pattern and, if it is about a part, the offset: see regex_syntax.h for what
// is known; counts and lookaheads are limited by the states that they need.
Regular PatternTexts(std::string_view pattern, std::string_view where);

// The texts that match `regex` as a whole, of the same syntax.
Regular RegexTexts(std::string_view regex, std::string_view where);

}  // namespace throng::llm
