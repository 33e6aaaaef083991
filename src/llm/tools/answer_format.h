// How families of models write thoughts, texts and calls of tools in their answers, told by their chat
// templates. docs/tools.md has the table. answer_grammar.h makes answers of a format, answer_parser.h reads
// them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace throng::llm {

// How a call is written between the format's `call_begin` and `call_end`.
enum class CallBody : uint8_t {
  kObject,      // {"name": "NAME", "arguments": {...}}, with the format's keys
  kNamed,       // NAME, `name_end`, {...}
  kBraces,      // NAME, and its arguments as braces_value.h has them
  kPython,      // NAME, `name_end`, and its arguments as python_arguments.h has them
  kParameters,  // NAME, `name_end`, and for each argument its name and value between literals
};

// A token that only a model can write. Where texts of a format have its name, they have a mark instead: a
// byte that is no part of any UTF-8.
struct FormatToken {
  std::string name;
  std::string text{};  // what it is where it has no meaning: nothing, for control tokens
};

struct AnswerFormat {
  static constexpr size_t kMaxTokens = 11;
  static constexpr unsigned char kFirstMark = 0xf5;  // of the first token; the next have the next bytes

  std::string name{};  // of the family, for documentation and tests

  std::string thought_begin{}, thought_end{};  // a thought before all else; empty: this model has none
  std::string text_begin{}, text_end{};        // around text, if it is marked; its end may be missing
  std::string calls_begin{}, calls_end{};      // around all calls
  std::string call_begin{}, call_end{};        // around each call; a `#` is a number of one or two digits
  std::string call_separator{};                // between calls
  CallBody body = CallBody::kObject;
  std::string name_key = "name";  // kObject
  std::string arguments_key = "arguments";
  std::string name_end{};         // kNamed, kPython, kParameters
  std::string quote{};            // kBraces: begins and ends strings
  std::string parameter_begin{};  // kParameters
  std::string parameter_name_end{};
  std::string text_name_end{};  // the same where the value is plain text; empty: the same
  std::string parameter_end{};
  // A token that may stand before calls at an answer's start, and then NAME.call(KEY=VALUE, ...) is one, too,
  // and so is code for the tool that runs it (CodeParameter); empty: none.
  std::string tag{};
  bool at_start = false;   // calls are told from text by being all of an answer
  bool parallel = true;    // an answer may have several calls
  bool short_ids = false;  // the template wants ids of nine letters and digits

  std::vector<FormatToken> tokens{};  // named in the texts above

  // What begins the first call: without white space, whatever follows it.
  std::string Trigger() const;
  // What comes before a call's name, or before the keys of its object.
  std::string CallHead() const;
  bool HasThoughts() const { return !thought_end.empty(); }
  // What a text shows to people: without marks.
  std::string Shown(std::string_view text) const;
  // The text with the names of tokens in place of their marks.
  std::string Named(std::string_view text) const;

  static bool IsMark(char byte) { return static_cast<unsigned char>(byte) >= kFirstMark; }
  static char MarkOf(size_t token) { return static_cast<char>(kFirstMark + token); }

 private:
  std::string WithMarksAs(std::string FormatToken::*form, std::string_view text) const;
};

// The format that a chat template writes. Its calls are our own (tool_text.h) if the template knows no tools,
// or is of no known family.
AnswerFormat FormatOf(std::string_view chat_template, bool knows_tools);
// The calls of models that know no tools: what tool_text.h tells them.
AnswerFormat OwnFormat();
// Whether the format's calls are OwnFormat's, which the template does not explain.
bool IsOwn(const AnswerFormat& format);

// The same for a vocabulary that has these tokens, and spells the other names as text.
AnswerFormat WithTokens(AnswerFormat format, std::vector<FormatToken> tokens);

// Every family, in the order in which they are looked for.
std::vector<AnswerFormat> AllFormats();

}  // namespace throng::llm
