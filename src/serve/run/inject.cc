// What changes a run, or costs its model something: POST /api/events {"what", "step"} lets something happen
// in a run that goes on, POST /api/pause {"paused"} has it stand still or go on, POST /api/answer {"step",
// "agent", "call", "answer"} answers for a person, POST /api/interview {"agent", "step", "question"} has
// somebody answer.

#include <algorithm>
#include <limits>
#include <optional>

#include "base/error.h"
#include "journal/people.h"
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

HttpReply MayNotChange() {
  return ErrorReply(403, "server: it lets nobody change this run; allowed: on 127.0.0.1 or with --api-key");
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

HttpReply RunPause(Context& context, const HttpRequest& request) {
  const ShownRun& run = RunOf(context, request);
  if (!run.may_change) return MayNotChange();
  const Json body = ParseBody(request.body);
  const auto paused = body.find("paused");
  if (paused == body.end() || !paused->is_boolean())
    throw MakeError(ErrorCode::kInvalid, "paused: allowed: true or false");
  journal::Journal::SetPaused(run.journal, paused->get<bool>());
  return JsonReply({{"paused", *paused}});
}

HttpReply RunAnswer(Context& context, const HttpRequest& request) {
  const ShownRun& run = RunOf(context, request);
  if (!run.may_change) return MayNotChange();
  const Json body = ParseBody(request.body);
  const llm::CallKey key{.agent = static_cast<uint32_t>(NumberIn(body, "agent")),
                         .step = static_cast<int32_t>(NumberIn(body, "step")),
                         .call = static_cast<uint32_t>(NumberIn(body, "call"))};
  const std::string answer = TextIn(body, "answer", "what the person says");
  const std::vector<journal::OpenQuestion> open = journal::OpenQuestions(*OpenRun(context, request));
  const auto question =
      std::find_if(open.begin(), open.end(), [&](const auto& other) { return other.key == key; });
  if (question == open.end() || !journal::AnswerQuestion(run.journal, *question, answer)) {
    return ErrorReply(409,
                      fmt::format("step {}, agent {}: this question waits for no answer any more: somebody "
                                  "else has answered it, or its time was up",
                                  key.step, key.agent));
  }
  return JsonReply({{"answer", answer}});
}

}  // namespace throng::serve
