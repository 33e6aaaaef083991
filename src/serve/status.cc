// GET /health, /ready and /metrics: what a server says about itself.

#include <fmt/format.h>

#include "serve/endpoints.h"
#include "serve/http/error_reply.h"

namespace throng::serve {

HttpReply Health(Context& context, const HttpRequest& request) {
  HttpReply reply;
  reply.body = fmt::format(R"({{"status":"ok","requests":{}}})", context.in_flight.load());
  return reply;
}

HttpReply Ready(Context& context, const HttpRequest& request) {
  if (context.stopping) return ErrorReply(503, "server: it is being stopped");
  if (context.in_flight >= context.options.max_requests) {
    return ErrorReply(
        503, fmt::format("server: it has {} requests, the most that it takes", context.options.max_requests));
  }
  HttpReply reply;
  reply.body = R"({"status":"ready"})";
  return reply;
}

HttpReply Metrics(Context& context, const HttpRequest& request) {
  HttpReply reply;
  reply.type = "text/plain; version=0.0.4";
  reply.body = context.metrics->PrometheusText();
  return reply;
}

}  // namespace throng::serve
