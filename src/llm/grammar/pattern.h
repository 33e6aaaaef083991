// Lowers regular expressions over the characters of a JSON string (the `pattern` of a schema) to grammars.
#pragma once

#include <string_view>

#include "llm/grammar/grammar.h"

namespace throng::llm {

// The expression describes the whole string; ^ at its start and $ at its end change nothing. Known:
// characters, `.`, classes with ranges and ^, \d \w \s and their complements, \t \n \r \f \\uXXXX and escaped
// punctuation, groups ( ) and (?: ), |, and the greedy quantifiers * + ? {m} {m,} {m,n}. Throws kInvalid or
// kUnsupported naming `where` and the offset.
Grammar::Node LowerPattern(std::string_view pattern, std::string_view where, Grammar& grammar);

}  // namespace throng::llm
