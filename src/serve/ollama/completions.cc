// POST /api/chat and /api/generate

#include <fmt/chrono.h>

#include <chrono>
#include <limits>
#include <memory>
#include <utility>

#include "serve/completion_request.h"
#include "serve/endpoints.h"
#include "serve/generation.h"
#include "serve/ollama/ollama.h"

namespace throng::serve {
namespace {

struct OllamaRequest {
  engine::TextRequest text;
  bool stream = true;
};

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
  const int most = options.Integer("num_predict", -1, -1, kMost);
  if (most == 0) FailField(options.Path("num_predict"), most, "-1, or 1 or more");
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
    request.text.prompt = ParseMessages(fields, "messages");
  } else {
    fields.Get("prompt");
    const std::string prompt = fields.Text("prompt");
    if (fields.Bool("raw")) {
      request.text.prompt = prompt;
    } else {
      request.text.prompt = engine::ChatOf(fields.Text("system"), prompt);
    }
  }
  ParseOptions(fields, request.text);
  ParseFormat(fields, request.text.constraint);
  request.stream = fields.Bool("stream", true);
  return request;
}

std::vector<Choices> OneChoice(engine::LocalModel& model, engine::TextRequest text, const char* field) {
  std::vector<Choices> choices;
  choices.push_back(Choices::Of(model, std::move(text), field));
  return choices;
}

class OllamaReply : public ReplySource {
 public:
  OllamaReply(Context& context, OllamaRequest request, bool chat)
      : chat_(chat),
        stream_(request.stream),
        model_(context.Model().Name()),
        generation_(context,
                    OneChoice(context.Model(), std::move(request.text), chat ? "messages" : "prompt")) {}

  void OnChange(std::function<void()> wake) override { generation_.OnChange(std::move(wake)); }
  void Cancel() override { generation_.Cancel(); }

  State Take(HttpReply& reply) override {
    std::vector<Generation::Piece> pieces;
    const bool ended = generation_.Take(pieces);
    for (const Generation::Piece& piece : pieces) {
      if (stream_ && !piece.text.empty()) reply.body += Line(piece.text, {{"done", false}});
    }
    if (!ended) return State::kWaiting;
    const engine::EngineResult& result = generation_.Result(0);
    if (IsFinished(result)) {
      reply.body += Line(stream_ ? "" : result.text, End(result));
    } else if (stream_) {
      reply.body += OllamaErrorBody(ErrorOf(result)) + "\n";
    } else {
      reply = OllamaErrorReply(ErrorOf(result));
    }
    reply.tokens = Usage::Of(generation_, 1).ForLog();
    return State::kEnd;
  }

 private:
  std::string Line(std::string_view text, const Json& rest) const {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    Json json = {{"model", model_},
                 {"created_at", OllamaTime(std::chrono::duration_cast<std::chrono::seconds>(now).count())}};
    if (chat_) {
      json["message"] = {{"role", "assistant"}, {"content", text}};
    } else {
      json["response"] = text;
    }
    json.update(rest);
    return Dump(json) + "\n";
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
  Generation generation_;
};

HttpReply Complete(Context& context, const HttpRequest& request, bool chat) {
  return AsOllama([&] {
    OllamaRequest asked = ParseRequest(chat ? kOllamaChat : kOllamaText, request.body);
    HttpReply reply;
    reply.stream = asked.stream;
    if (asked.stream) reply.type = "application/x-ndjson";
    reply.source = std::make_shared<OllamaReply>(context, std::move(asked), chat);
    return reply;
  });
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
