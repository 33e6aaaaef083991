// GET /api/calls, /api/progress, /api/call, /api/mind and /api/clusters: who asked what, when, how far they
// were, what they had in mind, and who did a step together.

#include "journal/read/export.h"
#include "journal/read/timeline.h"
#include "serve/endpoints.h"
#include "serve/http/error_reply.h"
#include "serve/run/run_request.h"

namespace throng::serve {

HttpReply RunCalls(Context& context, const HttpRequest& request) {
  const auto [from, to] = RangeOf(request);
  const auto journal = OpenRun(context, request);
  Json json = {{"from", from}, {"to", to}};
  json["calls"] = Rows(journal::CallsBetween(*journal, from, to), [](const journal::CallTimes& call) {
    return Json::array({call.step, call.agent, call.call, call.function, call.finish, call.prompt_tokens,
                        call.cached_tokens, call.output_tokens,
                        call.cost.has_value() ? Json(*call.cost) : Json(), call.issued_s, call.arrived_s,
                        call.session});
  });
  json["guesses"] = Rows(journal::GuessesBetween(*journal, from, to), [](const journal::GuessTimes& guess) {
    return Json::array({guess.step, guess.agent, guess.call, guess.function, guess.issued_s, guess.arrived_s,
                        guess.session, guess.used ? 1 : 0});
  });
  return JsonReply(json);
}

HttpReply RunProgress(Context& context, const HttpRequest& request) {
  const int64_t from = NumberOf(request, "from", 0);
  const auto journal = OpenRun(context, request);
  const std::vector<journal::ProgressRow> rows = journal::ProgressFrom(*journal, from, kMaxStepsPerReply);
  return JsonReply({{"from", from}, {"progress", Rows(rows, [](const journal::ProgressRow& row) {
                                       return Json::array({row.session, row.s, Json::parse(row.steps)});
                                     })}});
}

HttpReply RunCall(Context& context, const HttpRequest& request) {
  const int64_t step = NumberOf(request, "step");
  const int64_t number = NumberOf(request, "call");
  const journal::CallFilter filter{
      .agent = NumberOf(request, "agent"), .from = step, .to = step + 1, .function = {}};
  const auto journal = OpenRun(context, request);
  Json found;
  journal::ForEachCall(*journal, filter, [&](const Json& call) {
    if (call["call"] == number) found = call;
  });
  if (found.is_null()) {
    return ErrorReply(404, fmt::format("step={}, agent={}, call={}: the journal has no such call", step,
                                       *filter.agent, number));
  }
  return JsonReply(found);
}

HttpReply RunMind(Context& context, const HttpRequest& request) {
  const ShownRun& run = RunOf(context, request);
  if (!run.mind)
    return ErrorReply(404, "server: of this run's world it does not know what its agents remember");
  const int64_t agent = NumberOf(request, "agent");
  const int64_t step = NumberOf(request, "step");
  if (!request.may_take_long) throw TakesLong();
  HttpReply reply;
  reply.body = run.mind(agent, step);
  return reply;
}

HttpReply RunClusters(Context& context, const HttpRequest& request) {
  const int64_t step = NumberOf(request, "step");
  const auto journal = OpenRun(context, request);
  return JsonReply({{"step", step}, {"clusters", journal::ClustersAt(*journal, step)}});
}

}  // namespace throng::serve
