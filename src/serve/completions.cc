// POST /v1/chat/completions and /v1/completions

#include <fmt/format.h>

#include <algorithm>
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

// How long it may take to notice that a client is gone.
constexpr double kPollSeconds = 0.1;
// Within this time a reply that is not a stream can still become an error status. After it the status is
// sent, because the connection can only be watched from then on.
constexpr double kStatusSeconds = 0.25;

bool IsFinished(const engine::EngineResult& result) {
  return result.finish == llm::FinishReason::kStop || result.finish == llm::FinishReason::kLength;
}

Error ErrorOf(const engine::EngineResult& result) {
  if (result.error) return *result.error;
  return MakeError(ErrorCode::kCancelled, "server: the request was cancelled because the server stops");
}

bool StreamEvents(Generation& generation, const ReplyHead& head, bool usage, ReplyWriter& writer) {
  bool alive = writer.Write(FirstEvent(head));
  for (bool done = false; alive && !done;) {
    std::string text;
    done = generation.Wait(text, kPollSeconds);
    alive = text.empty() ? writer.IsAlive() : writer.Write(TextEvent(head, text));
  }
  if (!alive) return false;
  const engine::EngineResult& result = generation.Result();
  if (!IsFinished(result)) return writer.Write(ErrorEvent(ErrorOf(result)));
  return writer.Write(FinishEvent(head, result)) && (!usage || writer.Write(UsageEvent(head, result))) &&
         writer.Write(kDoneEvent);
}

bool StreamBody(Generation& generation, const ReplyHead& head, ReplyWriter& writer) {
  std::string ignored;
  while (!generation.Wait(ignored, kPollSeconds)) {
    if (!ignored.empty()) std::exchange(ignored, {});
    if (!writer.IsAlive()) return false;
  }
  const engine::EngineResult& result = generation.Result();
  return IsFinished(result) && writer.Write(CompletionBody(head, result));
}

// Waits for the end and ignores new text. Returns false if the end has not come in time.
bool WaitForEnd(Generation& generation, double seconds) {
  const auto end = Context::Clock::now() + std::chrono::duration<double>(seconds);
  std::string ignored;
  while (true) {
    const std::chrono::duration<double> left = end - Context::Clock::now();
    if (generation.Wait(ignored, std::max(0.0, left.count()))) return true;
    if (left.count() <= 0) return false;
  }
}

HttpReply Complete(Context& context, CompletionRequest request, bool chat) {
  // Shared, because a std::function must be copyable.
  const auto generation = std::make_shared<Generation>(context, std::move(request.text));
  const ReplyHead head{.chat = chat,
                       .id = fmt::format("{}-{}", chat ? "chatcmpl" : "cmpl", ++context.last_id),
                       .created = std::time(nullptr),
                       .model = context.Model().Name()};
  HttpReply reply;
  if (request.stream) {
    reply.type = "text/event-stream";
    reply.stream = [generation, head, usage = request.stream_usage](ReplyWriter& writer) {
      return StreamEvents(*generation, head, usage, writer);
    };
  } else if (!WaitForEnd(*generation, kStatusSeconds)) {
    reply.stream = [generation, head](ReplyWriter& writer) { return StreamBody(*generation, head, writer); };
  } else {
    const engine::EngineResult& result = generation->Result();
    if (!IsFinished(result)) throw ErrorOf(result);
    reply.body = CompletionBody(head, result);
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
