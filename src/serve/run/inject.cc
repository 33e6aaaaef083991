// POST /api/events {"what", "step"}: lets something happen in a run that goes on.

#include <limits>
#include <optional>

#include "base/error.h"
#include "serve/endpoints.h"
#include "serve/http/error_reply.h"
#include "serve/run/run_request.h"

namespace throng::serve {

HttpReply RunInject(Context& context, const HttpRequest& request) {
  const ShownRun& run = RunOf(context, request);
  if (!run.inject) {
    return ErrorReply(
        403,
        "server: it lets nobody change this run; allowed: on 127.0.0.1 or with --api-key, a run "
        "whose world the program knows");
  }
  const Json body = ParseBody(request.body);
  const auto what = body.find("what");
  if (what == body.end() || !what->is_string()) {
    throw MakeError(ErrorCode::kInvalid, "what: allowed: a text, what happens in the words of the scenario");
  }
  int64_t step = 0;
  if (const auto found = body.find("step"); found != body.end() && !found->is_null()) {
    const std::optional<int64_t> number = WholeNumber(*found);
    if (!number.has_value() || *number < 0 || *number > std::numeric_limits<int32_t>::max()) {
      throw MakeError(ErrorCode::kInvalid, "step: allowed: a whole number from 0 on");
    }
    step = *number;
  }
  run.inject(what->get<std::string>(), step);
  HttpReply reply = JsonReply({{"what", *what}, {"step", step}});
  reply.status = 202;
  return reply;
}

}  // namespace throng::serve
