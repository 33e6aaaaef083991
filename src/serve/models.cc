// GET /v1/models and /v1/models/{model}

#include "serve/endpoints.h"
#include "serve/reply.h"
#include "serve/request_error.h"

namespace throng::serve {
namespace {

Json ModelEntry(const engine::LocalModel& model) {
  return {{"id", model.Name()},
          {"object", "model"},
          {"created", 0},  // when is not known
          {"owned_by", "throng"},
          {"max_model_len", model.Options().max_context}};
}

}  // namespace

HttpReply Models(Context& context, const HttpRequest& request) {
  HttpReply reply;
  reply.body = Dump({{"object", "list"}, {"data", Json::array({ModelEntry(context.Model())})}});
  return reply;
}

HttpReply ModelById(Context& context, const HttpRequest& request) {
  const std::string& id = request.params.at("model");
  if (id != context.Model().Name()) {
    throw RequestError(404, "model", "model_not_found",
                       fmt::format("model: there is no {}; there is {}", id, context.Model().Name()));
  }
  HttpReply reply;
  reply.body = Dump(ModelEntry(context.Model()));
  return reply;
}

}  // namespace throng::serve
