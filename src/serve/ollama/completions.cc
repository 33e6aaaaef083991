// POST /api/chat and /api/generate

#include <fmt/chrono.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "serve/chat_messages.h"
#include "serve/completion_request.h"
#include "serve/endpoints.h"
#include "serve/generation.h"
#include "serve/http/error_reply.h"
#include "serve/ollama/ollama.h"
#include "serve/reply.h"
#include "serve/tools/chat_answer.h"
#include "serve/tools/chat_turn.h"

namespace throng::serve {
namespace {

struct OllamaRequest {
  std::optional<model::ChatInput> chat;  // else the text's prompt is continued
  ToolRequest tools;
  ThoughtRequest thoughts;
  engine::TextRequest text;
  bool stream = true;
  const char* done_reason = nullptr;  // set if there is nothing to answer
};

// What a request without a prompt asks for: 0 is a number, or a text such as "0s".
const char* LoadOrUnload(const JsonFields& fields) {
  const Json* keep = fields.Find("keep_alive");
  if (keep == nullptr) return "load";
  const std::string text = keep->is_string() ? keep->get<std::string>() : keep->dump();
  const bool is_zero =
      text.find('0') != std::string::npos && text.find_first_of("123456789") == std::string::npos;
  return is_zero ? "unload" : "load";
}

ThoughtRequest ParseThink(const JsonFields& fields) {
  ThoughtRequest thoughts;
  thoughts.effort_field = "think";
  const Json* think = fields.Find("think");
  if (think == nullptr) return thoughts;
  if (think->is_boolean()) {
    thoughts.enabled = think->get<bool>();
  } else {
    thoughts.effort = fields.Text("think");
  }
  return thoughts;
}

void ParseOptions(const JsonFields& fields, engine::TextRequest& text) {
  const Json none = Json::object();
  const Json* given = fields.Find("options");
  const JsonFields options = fields.Object("options", given != nullptr ? *given : none);
  constexpr int kMost = std::numeric_limits<int>::max();
  ParseDrawing(options, 0.8, 0.9, text.sampling);  // Ollama's defaults, as that of top_k
  text.sampling.top_k = options.Integer("top_k", 40, 0, kMost);
  text.sampling.min_p = options.Number("min_p", 0, 0, 1);
  text.sampling.repetition_penalty = options.Number("repeat_penalty", 1, 0.01, 100);
  text.rules.presence_penalty = options.Number("presence_penalty", 0, -2, 2);
  text.rules.frequency_penalty = options.Number("frequency_penalty", 0, -2, 2);
  text.stop = ParseStop(options);
  const int most = options.Integer("num_predict", -1, -2, kMost);
  if (most == 0) FailField(options.Path("num_predict"), most, "-2, -1, or 1 or more");
  if (most > 0) text.max_tokens = most;
}

void ParseFormat(const JsonFields& fields, llm::Constraint& constraint) {
  const Json* format = fields.Find("format");
  if (format == nullptr || *format == "") return;
  if (*format == "json") {
    constraint.json_schema = kAnyObject;
  } else {
    constraint.json_schema = fields.Schema("format");
  }
}

OllamaRequest ParseRequest(Endpoint endpoint, std::string_view body) {
  const Json json = ParseBody(body);
  const JsonFields fields(endpoint, json);
  OllamaRequest request;
  if (endpoint == kOllamaChat) {
    request.chat.emplace();
    const Json* messages = fields.Find("messages");
    const bool has_messages = messages != nullptr && *messages != Json::array();
    if (has_messages) request.chat->messages = ParseMessages(fields, "messages");
    if (!has_messages) request.done_reason = LoadOrUnload(fields);
    request.tools = ParseTools(fields, /*nested=*/true);
  } else {
    const std::string prompt = fields.Text("prompt");
    if (prompt.empty()) request.done_reason = LoadOrUnload(fields);
    if (fields.Bool("raw")) {
      request.text.prompt = prompt;
    } else {
      request.chat = engine::ChatOf(fields.Text("system"), prompt);
    }
  }
  if (request.chat) request.chat->now = model::LocalNow();
  request.thoughts = ParseThink(fields);
  ParseOptions(fields, request.text);
  ParseFormat(fields, request.text.constraint);
  request.stream = fields.Bool("stream", true);
  return request;
}

std::vector<Choices> OneChoice(engine::LocalModel& model, OllamaRequest request, const char* field) {
  if (request.chat) SetTurn(model, *std::move(request.chat), request.tools, request.thoughts, request.text);
  std::vector<Choices> choices;
  choices.push_back(Choices::Of(model, std::move(request.text), field, "format"));
  return choices;
}

// Whose arguments are an object: not those of a call that was cut short.
Json CallsOf(const std::vector<ToolCall>& calls) {
  Json list = Json::array();
  for (const ToolCall& call : calls) {
    const Json arguments = Json::parse(call.arguments, nullptr, /*allow_exceptions=*/false);
    if (!arguments.is_object()) continue;
    list.push_back({{"id", call.id},
                    {"function", {{"index", list.size()}, {"name", call.name}, {"arguments", arguments}}}});
  }
  return list;
}

std::string LineOf(const std::string& model, bool chat, std::string_view text, std::string_view thought,
                   const Json& calls, const Json& rest) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  Json json = {{"model", model},
               {"created_at", OllamaTime(std::chrono::duration_cast<std::chrono::seconds>(now).count())}};
  if (chat) {
    json["message"] = {{"role", "assistant"}, {"content", text}};
  } else {
    json["response"] = text;
  }
  Json& message = chat ? json["message"] : json;
  if (!thought.empty()) message["thinking"] = thought;
  if (!calls.empty()) message["tool_calls"] = calls;
  json.update(rest);
  return Dump(json) + "\n";
}

class OllamaReply : public ReplySource {
 public:
  OllamaReply(Context& context, OllamaRequest request, bool chat)
      : chat_(chat),
        stream_(request.stream),
        model_(OllamaName(context.Model())),
        choices_(OneChoice(context.Model(), std::move(request), chat ? "messages" : "prompt")),
        generation_(context, choices_) {
    if (choices_[0].form != nullptr) answer_.emplace(choices_[0].form);
  }

  void OnChange(std::function<void()> wake) override { generation_.OnChange(std::move(wake)); }
  void Cancel() override { generation_.Cancel(); }

  State Take(HttpReply& reply) override {
    std::vector<Generation::Piece> pieces;
    const bool ended = generation_.Take(pieces);
    for (const Generation::Piece& piece : pieces) Read(piece, reply.body);
    if (!ended) return State::kWaiting;
    const engine::EngineResult& result = generation_.Result(0);
    if (IsFinished(result)) {
      reply.body += stream_ ? Line("", "", {}, End(result)) : Whole(result);
    } else if (stream_) {
      reply.body += ShortErrorBody(ErrorOf(result).what()) + "\n";
    } else {
      reply = ErrorReply(ErrorOf(result));
    }
    reply.tokens = Usage::Of(generation_, 1).ForLog();
    return State::kEnd;
  }

 private:
  void Read(const Generation::Piece& piece, std::string& body) {
    if (!stream_) return;
    const auto write = [&](std::string_view text, std::string_view thought, const Json& calls) {
      body += Line(text, thought, calls, {{"done", false}});
    };
    if (!answer_) {
      if (!piece.text.empty()) write(piece.text, "", {});
      return;
    }
    std::vector<ChatPiece> told = answer_->Read(piece.text);
    if (piece.ended) std::ranges::move(answer_->Finish(), std::back_inserter(told));
    for (const ChatPiece& one : told) {
      if (one.kind == llm::AnswerEvent::Kind::kText) write(one.text, "", {});
      if (one.kind == llm::AnswerEvent::Kind::kThought) write("", one.text, {});
    }
    const Json calls = piece.ended ? CallsOf(answer_->Calls()) : Json();
    if (!calls.empty()) write("", "", calls);
  }

  std::string Whole(const engine::EngineResult& result) const {
    if (!answer_) return Line(result.text, "", {}, End(result));
    const ChatAnswer answer = ChatAnswer::Of(choices_[0].form, result.text);
    return Line(answer.Text(), answer.Thought(), CallsOf(answer.Calls()), End(result));
  }

  std::string Line(std::string_view text, std::string_view thought, const Json& calls,
                   const Json& rest) const {
    return LineOf(model_, chat_, text, thought, calls, rest);
  }

  static Json End(const engine::EngineResult& result) {
    const auto nanoseconds = [](double seconds) { return static_cast<int64_t>(seconds * 1e9); };
    const double prompt_seconds = result.first_token_seconds - result.queue_seconds;
    return {{"done", true},
            {"done_reason", FinishName(result.finish)},
            {"total_duration", nanoseconds(result.total_seconds)},
            {"load_duration", 0},
            {"prompt_eval_count", result.prompt_tokens},
            {"prompt_eval_duration", nanoseconds(prompt_seconds)},
            {"eval_count", result.tokens.size()},
            {"eval_duration", nanoseconds(result.total_seconds - result.first_token_seconds)}};
  }

  const bool chat_;
  const bool stream_;
  const std::string model_;
  const std::vector<Choices> choices_;
  std::optional<ChatAnswer> answer_;  // as it is streamed; none without a chat
  Generation generation_;
};

HttpReply Complete(Context& context, const HttpRequest& request, bool chat) {
  OllamaRequest asked = ParseRequest(chat ? kOllamaChat : kOllamaText, request.body);
  HttpReply reply;
  if (asked.done_reason != nullptr) {
    reply.body = LineOf(OllamaName(context.Model()), chat, "", "", {},
                        {{"done", true}, {"done_reason", asked.done_reason}});
    return reply;
  }
  reply.stream = asked.stream;
  if (asked.stream) reply.type = "application/x-ndjson";
  reply.source = std::make_shared<OllamaReply>(context, std::move(asked), chat);
  return reply;
}

}  // namespace

std::string OllamaTime(int64_t seconds_since_1970) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(seconds_since_1970)));
}

HttpReply OllamaChat(Context& context, const HttpRequest& request) {
  return Complete(context, request, /*chat=*/true);
}

HttpReply OllamaGenerate(Context& context, const HttpRequest& request) {
  return Complete(context, request, /*chat=*/false);
}

}  // namespace throng::serve
