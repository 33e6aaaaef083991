// GET /health, /metrics and /v1/models: what a server says about itself.

#include <fmt/format.h>

#include "serve/endpoints.h"
#include "serve/reply.h"

namespace throng::serve {

HttpReply Health(Context& context, const HttpRequest& request) {
  HttpReply reply;
  reply.body = fmt::format(R"({{"status":"ok","requests":{}}})", context.in_flight.load());
  return reply;
}

HttpReply Metrics(Context& context, const HttpRequest& request) {
  HttpReply reply;
  reply.type = "text/plain; version=0.0.4";
  reply.body = context.metrics->PrometheusText();
  return reply;
}

HttpReply Models(Context& context, const HttpRequest& request) {
  const engine::LocalModel& model = context.Model();
  HttpReply reply;
  reply.body = ModelsBody(model.Name(), /*created=*/0, model.Options().max_context);
  return reply;
}

}  // namespace throng::serve
