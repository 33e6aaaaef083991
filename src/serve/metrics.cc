// GET /metrics

#include "serve/endpoints.h"

namespace throng::serve {

HttpReply Metrics(Context& context, const HttpRequest& request) {
  HttpReply reply;
  reply.type = "text/plain; version=0.0.4";
  reply.body = context.metrics->PrometheusText();
  return reply;
}

}  // namespace throng::serve
