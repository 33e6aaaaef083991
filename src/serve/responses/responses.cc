// POST /v1/responses, GET and DELETE /v1/responses/{id}

#include <ctime>
#include <memory>
#include <random>
#include <utility>

#include "base/text/utf8.h"
#include "serve/endpoints.h"
#include "serve/generation.h"
#include "serve/reply.h"
#include "serve/request_error.h"
#include "serve/responses/response_request.h"

namespace throng::serve {
namespace {

// Not to be guessed, as whoever knows it can read the response.
std::string NewId(const char* kind) {
  std::random_device device;
  std::string id = fmt::format("{}_", kind);
  for (int i = 0; i < 4; ++i) id += fmt::format("{:08x}", device());
  return id;
}

std::vector<Choices> OneChoice(engine::LocalModel& model, const engine::TextRequest& text) {
  std::vector<Choices> choices;
  choices.push_back(Choices::Of(model, text, "input"));
  return choices;
}

class ResponseReply : public ReplySource {
 public:
  ResponseReply(Context& context, ResponseRequest request)
      : store_(context.responses),
        request_(std::move(request)),
        model_(context.Model().Name()),
        id_(NewId("resp")),
        message_id_(NewId("msg")),
        created_(std::time(nullptr)),
        generation_(context, OneChoice(context.Model(), request_.text)) {}

  void OnChange(std::function<void()> wake) override { generation_.OnChange(std::move(wake)); }
  void Cancel() override { generation_.Cancel(); }

  State Take(HttpReply& reply) override {
    if (request_.stream && next_event_ == 0) Begin(reply.body);
    std::vector<Generation::Piece> pieces;
    const bool ended = generation_.Take(pieces);
    for (const Generation::Piece& piece : pieces) {
      if (!request_.stream || piece.text.empty()) continue;
      Json event = OfPart();
      event["delta"] = piece.text;
      event["logprobs"] = Json::array();
      Emit("response.output_text.delta", std::move(event), reply.body);
    }
    if (!ended) return State::kWaiting;
    End(reply);
    reply.tokens = Usage::Of(generation_, 1).ForLog();
    return State::kEnd;
  }

 private:
  // A named event, with its number.
  void Emit(const char* type, Json fields, std::string& body) {
    Json event = {{"type", type}, {"sequence_number", next_event_++}};
    event.update(fields);
    body += fmt::format("event: {}\n{}", type, Event(event));
  }

  Json OfPart() const { return {{"item_id", message_id_}, {"output_index", 0}, {"content_index", 0}}; }

  static Json Part(std::string_view text) {
    return {
        {"type", "output_text"}, {"annotations", Json::array()}, {"logprobs", Json::array()}, {"text", text}};
  }

  Json Item(const char* status, Json content) const {
    return {{"id", message_id_},
            {"type", "message"},
            {"status", status},
            {"role", "assistant"},
            {"content", std::move(content)}};
  }

  Json Response(const char* status, Json output) const {
    Json json = {{"id", id_},
                 {"object", "response"},
                 {"created_at", created_},
                 {"status", status},
                 {"background", false},
                 {"error", nullptr},
                 {"incomplete_details", nullptr},
                 {"model", model_},
                 {"output", std::move(output)}};
    json.update(request_.settings);
    json["usage"] = nullptr;
    return json;
  }

  void Begin(std::string& body) {
    Emit("response.created", {{"response", Response("in_progress", Json::array())}}, body);
    Emit("response.in_progress", {{"response", Response("in_progress", Json::array())}}, body);
    Emit("response.output_item.added", {{"output_index", 0}, {"item", Item("in_progress", Json::array())}},
         body);
    Json event = OfPart();
    event["part"] = Part("");
    Emit("response.content_part.added", std::move(event), body);
  }

  void End(HttpReply& reply) {
    const engine::EngineResult& result = generation_.Result(0);
    if (!IsFinished(result)) return Fail(ErrorOf(result), reply);
    const bool whole = result.finish == llm::FinishReason::kStop;
    const char* status = whole ? "completed" : "incomplete";
    const Json item = Item(status, Json::array({Part(result.text)}));
    Json response = Response(status, Json::array({item}));
    if (!whole) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
    const Usage usage = Usage::Of(generation_, 1);
    response["usage"] = {{"input_tokens", usage.prompt_tokens},
                         {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
                         {"output_tokens", usage.answer_tokens},
                         {"output_tokens_details", {{"reasoning_tokens", 0}}},
                         {"total_tokens", usage.prompt_tokens + usage.answer_tokens}};
    Keep(response, result.text);
    if (!request_.stream) {
      reply.body = Dump(response);
      return;
    }
    Json text = OfPart();
    text["text"] = result.text;
    text["logprobs"] = Json::array();
    Emit("response.output_text.done", std::move(text), reply.body);
    Json part = OfPart();
    part["part"] = Part(result.text);
    Emit("response.content_part.done", std::move(part), reply.body);
    Emit("response.output_item.done", {{"output_index", 0}, {"item", item}}, reply.body);
    Emit(whole ? "response.completed" : "response.incomplete", {{"response", response}}, reply.body);
  }

  void Fail(const Error& error, HttpReply& reply) {
    if (!request_.stream) {
      reply = ErrorReply(error);
      return;
    }
    Json response = Response("failed", Json::array());
    response["error"] = {{"code", "server_error"}, {"message", error.what()}};
    Emit("response.failed", {{"response", std::move(response)}}, reply.body);
  }

  void Keep(const Json& response, const std::string& answer) {
    if (!request_.store) return;
    std::vector<model::ChatMessage> chat = request_.chat;
    chat.push_back({"assistant", ReplaceInvalidUtf8(answer)});
    store_.Put({.id = id_, .body = Dump(response), .chat = std::move(chat)});
  }

  ResponseStore& store_;
  const ResponseRequest request_;
  const std::string model_;
  const std::string id_, message_id_;
  const int64_t created_;
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
  if (asked.stream) reply.type = "text/event-stream";
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
