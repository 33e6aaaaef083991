// The answers of chats in OpenAI's form: thoughts, text and calls of tools.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/local_model.h"
#include "llm/tools/answer_parser.h"
#include "serve/fields/json_fields.h"

namespace throng::serve {

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON, if the answer did not end before it
};

// What is new of an answer.
struct ChatPiece {
  llm::AnswerEvent::Kind kind;
  std::string text;
  size_t call;  // of kCall and kArguments: the number of the call
};

// One answer, as it is read.
class ChatAnswer {
 public:
  explicit ChatAnswer(std::shared_ptr<const llm::AnswerForm> form) : form_(form), parser_(std::move(form)) {}

  // What the text's next part tells, and its end.
  std::vector<ChatPiece> Read(std::string_view text);
  std::vector<ChatPiece> Finish();
  // An answer that is complete.
  static ChatAnswer Of(std::shared_ptr<const llm::AnswerForm> form, std::string_view text);

  const std::string& Thought() const { return thought_; }
  const std::string& Text() const { return text_; }
  const std::vector<ToolCall>& Calls() const { return calls_; }
  size_t ThoughtBytes() const { return parser_.ThoughtBytes(); }

  Json Message() const;
  Json Delta(const ChatPiece& piece) const;  // of a chunk

 private:
  std::vector<ChatPiece> Keep(std::vector<llm::AnswerEvent> events);

  std::shared_ptr<const llm::AnswerForm> form_;
  llm::AnswerParser parser_;
  std::string thought_, text_;
  std::vector<ToolCall> calls_;
};

// How many of an answer's tokens are thoughts.
int ThoughtTokens(const engine::LocalModel& model, const std::shared_ptr<const llm::AnswerForm>& form,
                  const engine::EngineResult& result);

// Letters and digits that nobody can guess, after a prefix.
std::string RandomId(std::string_view prefix, size_t length);

}  // namespace throng::serve
