// Made-up answers that fit their constraint, for backends without a model: a pure function of request and
// seed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/rng.h"
#include "llm/grammar/grammar.h"
#include "llm/llm.h"

namespace throng::llm {

// Counts four bytes as a token, which is about right for English.
int EstimateTokens(size_t bytes);

class AnswerMaker {
 public:
  explicit AnswerMaker(uint64_t seed) : seed_(seed) {}

  // Fills text, finish and token counts; takes the key, and counts that the request knows, from the request.
  // Throws as CompileGrammar does.
  Completion Make(const Request& request);

 private:
  std::string MakeText(const Request& request, CounterRng& rng, FinishReason& finish);
  const Grammar& GrammarOf(const Constraint& constraint);

  uint64_t seed_;
  std::unordered_map<std::string, std::unique_ptr<const Grammar>>
      grammars_;  // by schema, grammar or expression
};

// A random text of the grammar: short, with letters where they are allowed. Throws kInvalid if none is short.
std::string RandomText(const Grammar& grammar, CounterRng& rng);

}  // namespace throng::llm
