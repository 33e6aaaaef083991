// POST /v1/chat/completions

#include "serve/complete.h"
#include "serve/endpoints.h"

namespace throng::serve {

HttpReply ChatCompletions(Context& context, const HttpRequest& request) {
  engine::LocalLlm& llm = ModelOf(context);
  CompletionRequest parsed = ParseChatRequest(request.body);
  std::vector<int32_t> prompt = llm.EncodeChat(parsed.messages);
  return Complete(context, std::move(parsed), std::move(prompt), /*chat=*/true);
}

}  // namespace throng::serve
