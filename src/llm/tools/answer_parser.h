// Reads the answers of a model: what is a thought, what is text, and what calls a tool.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "llm/tools/answer_grammar.h"
#include "llm/tools/braces_value.h"
#include "llm/tools/held_text.h"
#include "llm/tools/json_value.h"
#include "llm/tools/python_arguments.h"

namespace throng::llm {

// What is new of an answer. Texts of one kind belong together until another kind comes.
struct AnswerEvent {
  enum class Kind {
    kThought,
    kText,
    kCall,       // begins; the text is the tool's name
    kArguments,  // JSON of the last call
  };
  Kind kind;
  std::string text;
};

// Any text can be read. What begins like a call, and turns out to be none before its tool is named, is text;
// from there on, arguments are what stands where they belong, right or wrong. A text that ends within a call
// leaves what there is of it: nothing, before its tool is named. White space around thoughts, and between
// text and calls, belongs to none.
class AnswerParser {
 public:
  // Calls are read unless the form's are kNever.
  explicit AnswerParser(std::shared_ptr<const AnswerForm> form);

  // Appends what the next piece of the answer's text tells. The events of a text are the same, but for where
  // they are cut, however it is cut into pieces.
  void Push(std::string_view text, std::vector<AnswerEvent>& events);
  void Finish(std::vector<AnswerEvent>& events);  // the answer has ended

  // The bytes at the answer's beginning that are thoughts, with what marks them, so far.
  size_t ThoughtBytes() const { return state_ == State::kThought ? consumed_ : thought_bytes_; }

 private:
  enum class State {
    kTop,  // in text
    kThought,
    kHead,        // of a call: the literals before its name or its object
    kTag,         // behind the format's tag
    kKeys,        // kObject: before a key
    kName,        // kObject: the value of the name's key
    kOtherValue,  // kObject: the value of an unknown key
    kArguments,
    kParameters,
    kCode,  // as the argument of a call
    kCallEnd,
    kBetween,  // calls
  };
  using Found = HeldText::Found;

  bool Step();
  bool StepTop();
  bool StepThought();
  bool StepHead();
  bool StepTag();
  bool StepKeys();
  bool StepName();
  bool StepValue();
  bool StepBraces();
  bool StepPython();
  bool StepCode();
  bool StepParameters();
  bool StepCallEnd();
  bool StepBetween();

  Found Expect(std::string_view literal);
  std::string Consume(size_t bytes);
  std::string Argument(std::string_view raw);

  void BeginThought();
  void BeginCalls();
  void NextCall();
  void BeginCall(std::string name);
  void EndArguments();
  bool Fail();
  bool DropAtEnd();
  bool EndsBeforeAName() const;
  void Emit(AnswerEvent::Kind kind, std::string text);
  void EmitText(std::string_view text);
  void EmitThought(std::string_view text);

  const std::shared_ptr<const AnswerForm> form_;
  const AnswerFormat& format_;
  const bool reads_calls_;

  State state_ = State::kTop;
  HeldText held_;
  size_t consumed_ = 0;
  size_t thought_bytes_ = 0;
  bool final_ = false;  // nothing follows held_
  std::vector<AnswerEvent>* events_ = nullptr;

  bool has_text_ = false, has_thought_ = false;  // that is no white space
  bool seen_thought_ = false, seen_call_ = false;
  std::string space_;  // at the end of the text or thought so far

  // Of the call that is being read.
  std::vector<std::string> expected_;  // literals, the next one last
  std::string raw_;                    // its text so far, while it may be none
  CallBody body_ = CallBody::kObject;
  bool is_named_ = false;
  bool has_arguments_ = false;
  std::string early_arguments_;  // that come before the name
  JsonValueScan scan_;
  BracesValue braces_;                        // of kBraces
  PythonArguments python_;                    // of kPython
  std::vector<std::string> text_parameters_;  // of kParameters: those whose values are plain text
};

}  // namespace throng::llm
