// POST /v1/responses, GET and DELETE /v1/responses/{id}

#include <ctime>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "serve/endpoints.h"
#include "serve/generation.h"
#include "serve/reply.h"
#include "serve/request_error.h"
#include "serve/responses/output_items.h"
#include "serve/responses/response_request.h"
#include "serve/tools/chat_answer.h"
#include "serve/tools/chat_turn.h"

namespace throng::serve {
namespace {

// Sets the request's prompt, too.
std::vector<Choices> OneChoice(engine::LocalModel& model, const ResponseRequest& request) {
  model::ChatInput chat;
  chat.now = model::LocalNow();
  chat.messages = request.chat;
  const Json system = {{"role", "system"}, {"content", request.instructions}};
  if (!request.instructions.empty()) chat.messages.insert(chat.messages.begin(), system);
  engine::TextRequest text = request.text;
  SetTurn(model, std::move(chat), request.tools, request.thoughts, text);
  std::vector<Choices> choices;
  choices.push_back(Choices::Of(model, std::move(text), "input", "text.format.schema"));
  return choices;
}

class ResponseReply : public ReplySource {
 public:
  ResponseReply(Context& context, ResponseRequest request)
      : store_(context.responses),
        request_(std::move(request)),
        model_(context.Model()),
        id_(NewItemId("resp")),
        created_(std::time(nullptr)),
        choices_(OneChoice(model_, request_)),
        answer_(choices_[0].form),
        items_([this](const char* type, Json fields) { Emit(type, std::move(fields)); }),
        generation_(context, choices_) {}

  void OnChange(std::function<void()> wake) override { generation_.OnChange(std::move(wake)); }
  void Cancel() override { generation_.Cancel(); }

  State Take(HttpReply& reply) override {
    if (next_event_ == 0) Begin();
    std::vector<Generation::Piece> pieces;
    const bool ended = generation_.Take(pieces);
    for (const Generation::Piece& piece : pieces) {
      for (const ChatPiece& told : answer_.Read(piece.text)) items_.Add(told, answer_);
    }
    if (ended) End(reply);
    if (request_.stream) reply.body += std::exchange(events_, {});
    if (!ended) return State::kWaiting;
    reply.tokens = Usage::Of(generation_, 1).ForLog();
    return State::kEnd;
  }

 private:
  // A named event, with its number.
  void Emit(const char* type, Json fields) {
    Json event = {{"type", type}, {"sequence_number", next_event_++}};
    event.update(fields);
    if (request_.stream) events_ += fmt::format("event: {}\n{}", type, Event(event));
  }

  Json Response(const char* status, Json output) const {
    Json json = {{"id", id_},
                 {"object", "response"},
                 {"created_at", created_},
                 {"status", status},
                 {"background", false},
                 {"error", nullptr},
                 {"incomplete_details", nullptr},
                 {"model", model_.Name()},
                 {"output", std::move(output)}};
    json.update(request_.settings);
    json["usage"] = nullptr;
    return json;
  }

  void Begin() {
    Emit("response.created", {{"response", Response("in_progress", Json::array())}});
    Emit("response.in_progress", {{"response", Response("in_progress", Json::array())}});
  }

  void End(HttpReply& reply) {
    const engine::EngineResult& result = generation_.Result(0);
    if (!IsFinished(result)) return Fail(ErrorOf(result), reply);
    for (const ChatPiece& told : answer_.Finish()) items_.Add(told, answer_);
    const bool whole = result.finish == llm::FinishReason::kStop;
    items_.End(whole);
    Json response = Response(whole ? "completed" : "incomplete", items_.ToJson());
    if (!whole) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
    const Usage usage = Usage::Of(generation_, 1);
    const int thought = model_.CountTokens(result.tokens, answer_.ThoughtBytes());
    response["usage"] = {{"input_tokens", usage.prompt_tokens},
                         {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
                         {"output_tokens", usage.answer_tokens},
                         {"output_tokens_details", {{"reasoning_tokens", thought}}},
                         {"total_tokens", usage.prompt_tokens + usage.answer_tokens}};
    Keep(response);
    Emit(whole ? "response.completed" : "response.incomplete", {{"response", response}});
    if (!request_.stream) reply.body = Dump(response);
  }

  void Fail(const Error& error, HttpReply& reply) {
    if (!request_.stream) {
      reply = ErrorReply(error);
      return;
    }
    Json response = Response("failed", Json::array());
    response["error"] = {{"code", "server_error"}, {"message", error.what()}};
    Emit("response.failed", {{"response", std::move(response)}});
  }

  void Keep(const Json& response) {
    if (!request_.store) return;
    Json chat = request_.chat;
    Json message = Json::parse(Dump(answer_.Message()));  // in UTF-8
    message.erase("refusal");
    chat.push_back(std::move(message));
    store_.Put({.id = id_,
                .body = Dump(response),
                .chat = std::move(chat),
                .output = Json::parse(Dump(response["output"]))});
  }

  ResponseStore& store_;
  const ResponseRequest request_;
  engine::LocalModel& model_;
  const std::string id_;
  const int64_t created_;
  const std::vector<Choices> choices_;
  ChatAnswer answer_;
  OutputItems items_;
  std::string events_;  // not sent yet
  int next_event_ = 0;
  Generation generation_;
};

RequestError NoSuchResponse(const std::string& id) {
  return {404, "response_id", "response_not_found", fmt::format("response_id: there is no response {}", id)};
}

}  // namespace

HttpReply CreateResponse(Context& context, const HttpRequest& request) {
  ResponseRequest asked = ParseResponseRequest(request.body, context.responses);
  HttpReply reply;
  reply.stream = asked.stream;
  if (asked.stream) reply.type = kEventStream;
  reply.source = std::make_shared<ResponseReply>(context, std::move(asked));
  return reply;
}

HttpReply GetResponse(Context& context, const HttpRequest& request) {
  const std::string& id = request.params.at("id");
  std::optional<StoredResponse> found = context.responses.Find(id);
  if (!found) throw NoSuchResponse(id);
  HttpReply reply;
  reply.body = std::move(found->body);
  return reply;
}

HttpReply DeleteResponse(Context& context, const HttpRequest& request) {
  const std::string& id = request.params.at("id");
  if (!context.responses.Remove(id)) throw NoSuchResponse(id);
  HttpReply reply;
  reply.body = Dump({{"id", id}, {"object", "response"}, {"deleted", true}});
  return reply;
}

}  // namespace throng::serve
