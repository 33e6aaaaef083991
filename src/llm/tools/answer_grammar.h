// The answers that a chat allows: a thought, text and calls of tools in a model's format, as one grammar.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "llm/grammar/grammar.h"
#include "llm/grammar/schema_members.h"
#include "llm/llm.h"
#include "llm/tools/answer_format.h"

namespace throng::llm {

struct Tool {
  std::string name;
  std::string parameters;  // the JSON schema of its arguments, an object
};

struct AnswerForm {
  enum class Thought {
    kNever,  // or over, in the prompt
    kMay,
    kBegun,  // by the prompt
  };
  enum class Calls {
    kNever,
    kMay,   // once an answer begins a call, the rest of it is one
    kMust,  // nothing but calls, after a thought
  };

  AnswerFormat format;
  Thought thought = Thought::kNever;
  Calls calls = Calls::kNever;
  bool parallel = true;     // several calls, where the format has them
  std::vector<Tool> tools;  // those that may be called
  Constraint text;          // of the text; empty: any
};

// Equal for forms of equal grammars, for caches.
std::string KeyOf(const AnswerForm& form);

// Text that stands free never begins a call. Arguments follow their schemas as an answer follows
// Constraint::json_schema, and throw what that throws, behind the tool's name; so does the text.
Grammar CompileAnswer(const AnswerForm& form);

// How formats of kParameters write the values of arguments.
MemberStyle ParametersStyle(const AnswerFormat& format);

// The argument that has the code, of a tool that runs code by its name: its only one, a string. Empty if the
// tool is none.
std::string CodeParameter(const Tool& tool);

// Throws kInvalid or kUnsupported if the format cannot constrain the arguments of the tool.
void CheckTool(const AnswerFormat& format, const Tool& tool);

}  // namespace throng::llm
