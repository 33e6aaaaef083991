// Grammars in the notation of llama.cpp.
#pragma once

#include <string>

#include "llm/grammar/grammar.h"

namespace throng::llm {

// The grammar in GBNF, with the same language: root ::= "yes" | "no".
std::string ToGbnf(const Grammar& grammar);

}  // namespace throng::llm
