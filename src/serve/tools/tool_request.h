// What requests say of tools and thoughts.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "llm/tools/answer_grammar.h"
#include "serve/fields/json_fields.h"

namespace throng::serve {

struct ToolRequest {
  Json definitions = Json::array();  // {"type": "function", "function": {...}}, as templates read them
  std::vector<std::string> paths;    // of their parameters in the request's body
  std::vector<llm::Tool> callable;   // those that tool_choice allows
  llm::AnswerForm::Calls calls = llm::AnswerForm::Calls::kNever;
  bool parallel = true;
};

struct ThoughtRequest {
  std::string effort_field;           // "reasoning_effort", as the request's body has it
  std::optional<std::string> effort;  // one of these two, at most
  std::optional<bool> enabled;
  std::string limit_field;
  std::optional<int> limit;  // tokens of a thought
};

inline constexpr size_t kMaxTools = 128;

// In the form of chats, {"function": {"name", "parameters"}}, or in that of responses, {"name",
// "parameters"}. Throw RequestError with one sentence that names the field.
ToolRequest ParseTools(const JsonFields& fields, bool nested);
ThoughtRequest ParseThoughts(const JsonFields& fields);

}  // namespace throng::serve
