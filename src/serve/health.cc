// GET /health

#include <fmt/format.h>

#include "serve/endpoints.h"

namespace throng::serve {

HttpReply Health(Context& context, const HttpRequest& request) {
  HttpReply reply;
  reply.body = fmt::format(R"({{"status":"ok","requests":{}}})", context.in_flight.load());
  return reply;
}

}  // namespace throng::serve
