// GET /v1/models

#include "serve/complete.h"
#include "serve/endpoints.h"
#include "serve/reply.h"

namespace throng::serve {

HttpReply Models(Context& context, const HttpRequest& request) {
  engine::LocalLlm& llm = ModelOf(context);
  HttpReply reply;
  reply.body = ModelsBody(llm.ModelName(), /*created=*/0, llm.GetEngine().MaxContext());
  return reply;
}

}  // namespace throng::serve
