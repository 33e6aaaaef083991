// GET /api/search, /api/series and /api/difference.

#include "base/error.h"
#include "journal/read/compare.h"
#include "journal/read/search.h"
#include "journal/read/series.h"
#include "serve/endpoints.h"
#include "serve/http/error_reply.h"
#include "serve/run/run_request.h"

namespace throng::serve {
namespace {

constexpr int64_t kMostHits = 50;     // of events, and of calls
constexpr int64_t kMostPoints = 500;  // of a series: about as many as a chart has pixels

}  // namespace

HttpReply RunSearch(Context& context, const HttpRequest& request) {
  const auto text = request.query.find("text");
  if (text == request.query.end() || text->second.empty()) {
    throw MakeError(ErrorCode::kInvalid, "text: found nothing, allowed: what to look for");
  }
  if (!request.may_take_long) throw TakesLong();
  const auto journal = OpenRun(context, request);
  return JsonReply(
      {{"hits", Rows(journal::Find(*journal, text->second, kMostHits), [](const journal::Hit& hit) {
          return Json::array(
              {hit.step, hit.agent, hit.call.has_value() ? Json(*hit.call) : Json(), hit.what, hit.excerpt});
        })}});
}

HttpReply RunSeries(Context& context, const HttpRequest& request) {
  const auto journal = OpenRun(context, request);
  Json all = Json::array();
  for (const journal::Series& series : journal::AllSeries(*journal, kMostPoints)) {
    all.push_back({{"name", series.name},
                   {"of_agents", series.of_agents},
                   {"points", Rows(series.points, [](const journal::SeriesPoint& point) {
                      return Json::array({point.step, point.mean, point.min, point.max});
                    })}});
  }
  return JsonReply({{"series", all}});
}

HttpReply RunDifference(Context& context, const HttpRequest& request) {
  if (!request.may_take_long) throw TakesLong();
  const auto& runs = context.options.runs;
  if (runs.size() < 2) return ErrorReply(404, "server: it was started without --beside, so there is one run");
  const auto a = journal::Journal::OpenToRead(runs[0].journal);
  const auto b = journal::Journal::OpenToRead(runs[1].journal);
  const auto found = journal::FindDifference(*a, *b);
  if (!found.has_value()) return JsonReply({{"difference", nullptr}});
  return JsonReply({{"difference",
                     {{"step", found->step},
                      {"agent", found->agent.has_value() ? Json(*found->agent) : Json()},
                      {"name", found->agent_name},
                      {"what", found->what},
                      {"a", found->a},
                      {"b", found->b}}}});
}

}  // namespace throng::serve
