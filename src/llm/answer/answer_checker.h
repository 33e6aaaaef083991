// Finds the answer to a constrained request in what a model wrote, and says what is wrong if there is none.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "llm/answer/schema_check.h"
#include "llm/grammar/automaton.h"
#include "llm/llm.h"

namespace throng::llm {

// Takes an answer wherever its meaning is certain, whatever stands around it: thoughts before </think>, code
// fences, sentences around one JSON value, quotes, marks and another case around a choice. Keeps what it
// compiles; one per thread.
class AnswerChecker {
 public:
  // Throws kInvalid or kUnsupported for a constraint by which no answer could be judged.
  void Prepare(const Constraint& constraint);

  // The answer as the constraint wants it: the choice alone; compact JSON in the schema's order; without a
  // constraint, the text after the thoughts. Nothing if it is not allowed, or could mean two things; then
  // `why`, if given, is a clause such as "it is not one of: yes, no".
  std::optional<std::string> Fit(const Constraint& constraint, std::string_view answer,
                                 std::string* why = nullptr);

 private:
  const SchemaCheck& CheckOf(const std::string& schema);
  Automaton& AutomatonOf(const Constraint& constraint);
  std::optional<std::string> FitTexts(const Constraint& constraint, std::string_view raw,
                                      std::string_view text, std::string& why);
  std::optional<std::string> FitSchema(const std::string& schema, std::string_view text, std::string& why);

  std::unordered_map<std::string, std::unique_ptr<SchemaCheck>> checks_;  // by schema
  std::unordered_map<std::string, std::unique_ptr<Automaton>> automata_;  // by grammar or regular expression
};

// "one of: yes, no", "JSON of the schema {...}", or what else the answer must be.
std::string DescribeConstraint(const Constraint& constraint);

// One line without control characters, at most max_bytes of the text and "..."; "(no text)" if there is none.
std::string OneLine(std::string_view text, size_t max_bytes = 200);

}  // namespace throng::llm
