#include "serve/reply.h"

#include <nlohmann/json.hpp>

namespace throng::serve {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) {
  // Tokens are bytes: an answer may hold some that are not UTF-8.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Event(const Json& json) { return "data: " + Dump(json) + "\n\n"; }

const char* FinishName(llm::FinishReason finish) {
  return finish == llm::FinishReason::kLength ? "length" : "stop";
}

Json Usage(const engine::EngineResult& result) {
  const auto answer = static_cast<int>(result.tokens.size());
  return {{"prompt_tokens", result.prompt_tokens},
          {"completion_tokens", answer},
          {"total_tokens", result.prompt_tokens + answer},
          {"prompt_tokens_details", {{"cached_tokens", result.cached_prompt_tokens}}}};
}

Json Head(const ReplyHead& head, bool chunk) {
  const char* object = !head.chat ? "text_completion" : chunk ? "chat.completion.chunk" : "chat.completion";
  return {{"id", head.id}, {"object", object}, {"created", head.created}, {"model", head.model}};
}

Json Chunk(const ReplyHead& head, Json delta, const Json& finish) {
  Json json = Head(head, true);
  Json choice = {{"index", 0}};
  if (head.chat) {
    choice["delta"] = std::move(delta);
  } else {
    choice["text"] = delta.value("content", "");
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = finish;
  json["choices"] = Json::array({std::move(choice)});
  return json;
}

}  // namespace

std::string CompletionBody(const ReplyHead& head, const engine::EngineResult& result) {
  Json json = Head(head, false);
  Json choice = {{"index", 0}};
  if (head.chat) {
    choice["message"] = {{"role", "assistant"}, {"content", result.text}};
  } else {
    choice["text"] = result.text;
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = FinishName(result.finish);
  json["choices"] = Json::array({std::move(choice)});
  json["usage"] = Usage(result);
  return Dump(json);
}

std::string FirstEvent(const ReplyHead& head) {
  if (!head.chat) return "";
  return Event(Chunk(head, {{"role", "assistant"}, {"content", ""}}, nullptr));
}

std::string TextEvent(const ReplyHead& head, std::string_view text) {
  return Event(Chunk(head, {{"content", text}}, nullptr));
}

std::string FinishEvent(const ReplyHead& head, const engine::EngineResult& result) {
  return Event(Chunk(head, Json::object(), FinishName(result.finish)));
}

std::string UsageEvent(const ReplyHead& head, const engine::EngineResult& result) {
  Json json = Head(head, true);
  json["choices"] = Json::array();
  json["usage"] = Usage(result);
  return Event(json);
}

std::string ErrorEvent(const Error& error) {
  return "data: " + ErrorBody(StatusOf(error.Code()), error.what()) + "\n\n";
}

std::string ModelsBody(std::string_view model, int64_t created, int max_context) {
  const Json entry = {{"id", model},
                      {"object", "model"},
                      {"created", created},
                      {"owned_by", "throng"},
                      {"max_model_len", max_context}};
  return Dump({{"object", "list"}, {"data", Json::array({entry})}});
}

}  // namespace throng::serve
