// POST /v1/completions

#include "serve/complete.h"
#include "serve/endpoints.h"

namespace throng::serve {

HttpReply Completions(Context& context, const HttpRequest& request) {
  engine::LocalLlm& llm = ModelOf(context);
  CompletionRequest parsed = ParseTextRequest(request.body);
  std::vector<int32_t> prompt =
      parsed.prompt_tokens.empty() ? llm.EncodeText(parsed.prompt) : std::move(parsed.prompt_tokens);
  return Complete(context, std::move(parsed), std::move(prompt), /*chat=*/false);
}

}  // namespace throng::serve
