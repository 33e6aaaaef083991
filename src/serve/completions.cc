// POST /v1/chat/completions and /v1/completions

#include <fmt/format.h>

#include <ctime>
#include <memory>
#include <utility>

#include "base/error.h"
#include "serve/completion_request.h"
#include "serve/endpoints.h"
#include "serve/generation.h"
#include "serve/reply.h"

namespace throng::serve {
namespace {

bool IsFinished(const engine::EngineResult& result) {
  return result.finish == llm::FinishReason::kStop || result.finish == llm::FinishReason::kLength;
}

Error ErrorOf(const engine::EngineResult& result) {
  if (result.error) return *result.error;
  return MakeError(ErrorCode::kCancelled, "server: the request was cancelled because the server stops");
}

TokenCounts CountsOf(const engine::EngineResult& result) {
  return {.prompt = result.prompt_tokens, .answer = static_cast<int>(result.tokens.size())};
}

class Answer : public ReplySource {
 public:
  Answer(Context& context, CompletionRequest request, ReplyHead head)
      : head_(std::move(head)), usage_(request.stream_usage), generation_(context, std::move(request.text)) {}

  void OnChange(std::function<void()> wake) override { generation_.OnChange(std::move(wake)); }
  void Cancel() override { generation_.Cancel(); }

 protected:
  const ReplyHead head_;
  const bool usage_;
  Generation generation_;
};

class WholeAnswer : public Answer {
 public:
  using Answer::Answer;

  State Take(HttpReply& reply) override {
    std::string ignored;
    if (!generation_.Take(ignored)) return State::kWaiting;
    const engine::EngineResult& result = generation_.Result();
    if (IsFinished(result)) {
      reply.body = CompletionBody(head_, result);
    } else {
      reply = ErrorReply(ErrorOf(result));
    }
    reply.tokens = CountsOf(result);
    return State::kEnd;
  }
};

class StreamedAnswer : public Answer {
 public:
  using Answer::Answer;

  State Take(HttpReply& reply) override {
    if (!begun_) reply.body += FirstEvent(head_);
    begun_ = true;
    std::string text;
    const bool done = generation_.Take(text);
    if (!text.empty()) reply.body += TextEvent(head_, text);
    if (!done) return State::kWaiting;
    const engine::EngineResult& result = generation_.Result();
    reply.tokens = CountsOf(result);
    if (IsFinished(result)) {
      reply.body += FinishEvent(head_, result);
      if (usage_) reply.body += UsageEvent(head_, result);
      reply.body += kDoneEvent;
    } else {
      reply.body += ErrorEvent(ErrorOf(result));
    }
    return State::kEnd;
  }

 private:
  bool begun_ = false;
};

HttpReply Complete(Context& context, CompletionRequest request, bool chat) {
  ReplyHead head{.chat = chat,
                 .id = fmt::format("{}-{}", chat ? "chatcmpl" : "cmpl", ++context.last_id),
                 .created = std::time(nullptr),
                 .model = context.Model().Name()};
  HttpReply reply;
  reply.stream = request.stream;
  if (request.stream) {
    reply.type = "text/event-stream";
    reply.source = std::make_shared<StreamedAnswer>(context, std::move(request), std::move(head));
  } else {
    reply.source = std::make_shared<WholeAnswer>(context, std::move(request), std::move(head));
  }
  return reply;
}

}  // namespace

HttpReply ChatCompletions(Context& context, const HttpRequest& request) {
  return Complete(context, ParseChatRequest(request.body), /*chat=*/true);
}

HttpReply Completions(Context& context, const HttpRequest& request) {
  return Complete(context, ParseTextRequest(request.body), /*chat=*/false);
}

}  // namespace throng::serve
