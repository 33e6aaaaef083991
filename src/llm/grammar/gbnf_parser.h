// Reads grammars in the notation of llama.cpp (GBNF).
#pragma once

#include <string_view>

#include "llm/grammar/grammar.h"

namespace throng::llm {

// The rule `root`. Known: rules, alternatives, groups, literals, character classes, `.`, * + ? {m} {m,}
// {m,n}, comments, and the escapes \n \r \t \" \\ \[ \] \xHH \uHHHH \UHHHHHHHH. Names may have underscores,
// too. Throws kInvalid with line and column, kUnsupported for tokens (<...>).
Grammar::Node ParseGbnf(std::string_view text, Grammar& grammar);

}  // namespace throng::llm
