#include "serve/tools/chat_answer.h"

#include <random>
#include <utility>

namespace throng::serve {

using Kind = llm::AnswerEvent::Kind;

std::vector<ChatPiece> ChatAnswer::Read(std::string_view text) {
  std::vector<llm::AnswerEvent> events;
  parser_.Push(text, events);
  return Keep(std::move(events));
}

std::vector<ChatPiece> ChatAnswer::Finish() {
  std::vector<llm::AnswerEvent> events;
  parser_.Finish(events);
  return Keep(std::move(events));
}

ChatAnswer ChatAnswer::Of(std::shared_ptr<const llm::AnswerForm> form, std::string_view text) {
  ChatAnswer answer(std::move(form));
  answer.Read(text);
  answer.Finish();
  return answer;
}

std::vector<ChatPiece> ChatAnswer::Keep(std::vector<llm::AnswerEvent> events) {
  std::vector<ChatPiece> pieces;
  for (llm::AnswerEvent& event : events) {
    switch (event.kind) {
      case Kind::kThought:
        thought_ += event.text;
        break;
      case Kind::kText:
        text_ += event.text;
        break;
      case Kind::kCall:
        calls_.push_back({form_->format.short_ids ? RandomId("", 9) : RandomId("call_", 24), event.text, ""});
        break;
      case Kind::kArguments:
        calls_.back().arguments += event.text;
        break;
    }
    pieces.push_back({event.kind, std::move(event.text), calls_.empty() ? 0 : calls_.size() - 1});
  }
  return pieces;
}

Json ChatAnswer::Message() const {
  Json message = {{"role", "assistant"}, {"content", nullptr}, {"refusal", nullptr}};
  if (!text_.empty() || calls_.empty()) message["content"] = text_;
  if (!thought_.empty()) message["reasoning_content"] = thought_;
  for (const ToolCall& call : calls_) {
    message["tool_calls"].push_back({{"id", call.id},
                                     {"type", "function"},
                                     {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return message;
}

Json ChatAnswer::Delta(const ChatPiece& piece) const {
  if (piece.kind == Kind::kText) return {{"content", piece.text}};
  if (piece.kind == Kind::kThought) return {{"reasoning_content", piece.text}};
  Json call = {{"index", piece.call}};
  if (piece.kind == Kind::kCall) {
    call["id"] = calls_[piece.call].id;
    call["type"] = "function";
    call["function"] = {{"name", piece.text}, {"arguments", ""}};
  } else {
    call["function"] = {{"arguments", piece.text}};
  }
  return {{"tool_calls", Json::array({std::move(call)})}};
}

int ThoughtTokens(const engine::LocalModel& model, const std::shared_ptr<const llm::AnswerForm>& form,
                  const engine::EngineResult& result) {
  if (!form->format.HasThoughts()) return 0;
  return model.CountTokens(result.tokens, ChatAnswer::Of(form, result.text).ThoughtBytes());
}

std::string RandomId(std::string_view prefix, size_t length) {
  constexpr std::string_view kLetters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::random_device device;
  std::uniform_int_distribution<size_t> any(0, kLetters.size() - 1);
  std::string id(prefix);
  for (size_t i = 0; i < length; ++i) id += kLetters[any(device)];
  return id;
}

}  // namespace throng::serve
