// The OpenAI chat protocol as text: writes the bodies of requests and reads answers. No network here.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "llm/grammar/automaton.h"
#include "llm/llm.h"

namespace throng::llm {

// How a server is told of a constraint. Servers support different forms: when one is refused, the next is
// tried.
enum class ConstraintMode {
  kResponseFormat,  // response_format with a JSON schema; choices become {"answer": one of them}
  kGuided,          // guided_choice and guided_json, and in words at the end of the prompt
  kPrompt,          // in words alone
};

// The body of a POST to /chat/completions. wrong_answer: if set, an answer that was refused: the server is
// asked once more. The seed sent mixes the sampling seed and the call key, as local sampling does.
std::string ChatBody(const Request& request, const std::string& model, ConstraintMode mode,
                     const std::optional<std::string>& wrong_answer);

// Text, finish and token counts of a response body. Throws kUnavailable, beginning with `where`, if the body
// is not a chat completion.
Completion ParseChatResponse(const std::string& body, const std::string& where);

// What a server says about its error, shortened to one line.
std::string ErrorText(const std::string& body);

// Checks answers against their constraints. One per thread: it keeps what it compiles.
class AnswerChecker {
 public:
  // The answer as the constraint wants it (the choice alone; compact JSON in the schema's order), or nothing
  // if it is not allowed.
  std::optional<std::string> Fit(const Constraint& constraint, std::string_view answer);

 private:
  std::unordered_map<std::string, std::unique_ptr<Automaton>> automata_;  // by schema
};

// "one of: yes, no", or "JSON of the schema {...}".
std::string DescribeConstraint(const Constraint& constraint);

}  // namespace throng::llm
