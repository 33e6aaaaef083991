// What changes a run, or costs its model something: POST /api/events {"what", "step"} lets something happen
// in a run that goes on, POST /api/interview {"agent", "step", "question"} has somebody answer.

#include <limits>
#include <optional>

#include "base/error.h"
#include "serve/endpoints.h"
#include "serve/http/error_reply.h"
#include "serve/run/run_request.h"

namespace throng::serve {
namespace {

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();

int64_t NumberIn(const Json& body, const char* name) {
  const auto found = body.find(name);
  const std::optional<int64_t> number = found == body.end() ? std::nullopt : WholeNumber(*found);
  if (number.has_value() && *number >= 0 && *number <= kMost) return *number;
  throw MakeError(ErrorCode::kInvalid, "{}: allowed: a whole number from 0 on", name);
}

std::string TextIn(const Json& body, const char* name, const char* allowed) {
  const auto found = body.find(name);
  if (found != body.end() && found->is_string()) return found->get<std::string>();
  throw MakeError(ErrorCode::kInvalid, "{}: allowed: a text, {}", name, allowed);
}

}  // namespace

HttpReply RunInterview(Context& context, const HttpRequest& request) {
  const ShownRun& run = RunOf(context, request);
  if (!run.interview) {
    return ErrorReply(403,
                      "server: it lets nobody ask the people of this run; allowed: on 127.0.0.1 or with "
                      "--api-key, a run of a town");
  }
  const Json body = ParseBody(request.body);
  const int64_t agent = NumberIn(body, "agent");
  const int64_t step = NumberIn(body, "step");
  const std::string question = TextIn(body, "question", "what to ask");
  if (!request.may_take_long) throw TakesLong();
  return JsonReply({{"agent", agent},
                    {"step", step},
                    {"question", question},
                    {"answer", run.interview(agent, step, question)}});
}

HttpReply RunInject(Context& context, const HttpRequest& request) {
  const ShownRun& run = RunOf(context, request);
  if (!run.inject) {
    return ErrorReply(
        403,
        "server: it lets nobody change this run; allowed: on 127.0.0.1 or with --api-key, a run "
        "whose world the program knows");
  }
  const Json body = ParseBody(request.body);
  const std::string what = TextIn(body, "what", "what happens in the words of the scenario");
  const auto at = body.find("step");
  const int64_t step = at == body.end() || at->is_null() ? 0 : NumberIn(body, "step");
  run.inject(what, step);
  HttpReply reply = JsonReply({{"what", what}, {"step", step}});
  reply.status = 202;
  return reply;
}

}  // namespace throng::serve
