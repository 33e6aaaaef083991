// JSON schemas as tests compile them.
#pragma once

#include <string>

#include "base/error.h"
#include "llm/grammar/automaton.h"
#include "llm/grammar/json_schema.h"

namespace throng::llm {

inline Grammar Lowered(const std::string& schema) {
  Grammar grammar;
  grammar.SetRoot(LowerJsonSchema(schema, grammar));
  return grammar;
}

// Why a schema is refused; "no error" if it is not.
inline std::string ErrorOf(const std::string& schema) {
  try {
    Automaton automaton(Lowered(schema));
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace throng::llm
