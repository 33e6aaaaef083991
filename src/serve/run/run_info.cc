// GET /api/run, /api/map and /api/steps: what a run is, and what happened in it.

#include <optional>
#include <string>
#include <vector>

#include "journal/people.h"
#include "journal/read/reader.h"
#include "journal/read/report.h"
#include "journal/read/timeline.h"
#include "serve/endpoints.h"
#include "serve/http/error_reply.h"
#include "serve/run/run_request.h"

namespace throng::serve {
namespace {

std::string Value(const journal::Manifest& manifest, const char* key) {
  const auto found = manifest.find(key);
  return found == manifest.end() ? "" : found->second;
}

Json OrNull(const std::optional<int64_t>& value) { return value.has_value() ? Json(*value) : Json(); }
Json OrNull(const std::optional<double>& value) { return value.has_value() ? Json(*value) : Json(); }

Json UsageRows(const std::vector<journal::UsageSums>& sums) {
  return Rows(sums, [](const journal::UsageSums& row) {
    return Json::array({row.name, row.calls, row.failed, row.prompt_tokens, row.output_tokens,
                        OrNull(row.cost), row.mean_s});
  });
}

// "asked", "begun"; null: the run is not to stand still.
Json PauseOf(const journal::Journal& journal) {
  const std::optional<journal::PauseRow> pause = journal::Reader(journal).OpenPause();
  return pause ? Json{{"asked", pause->asked}, {"begun", pause->begun}} : Json();
}

// "session", "s", "age_s", "calls"; null: nobody says what the run waits for.
Json InFlightOf(const journal::Journal& journal) {
  const std::optional<journal::InFlightRow> row = journal::CallsInFlight(journal);
  if (!row) return Json();
  return {
      {"session", row->session}, {"s", row->s}, {"age_s", row->age_s}, {"calls", Json::parse(row->calls)}};
}

}  // namespace

HttpReply RunInfo(Context& context, const HttpRequest& request) {
  const ShownRun& run = RunOf(context, request);
  const auto journal = OpenRun(context, request);
  const journal::Manifest& manifest = journal->GetManifest();
  const journal::Reader reader(*journal);
  const journal::TokenSums in_vain = journal::TokensInVain(*journal);
  return JsonReply(
      {{"name", Value(manifest, journal::JournalKeys::kWorld)},
       {"journal", run.journal},
       {"manifest", manifest},
       {"agents", Rows(reader.Agents(),
                       [](const journal::AgentRow& row) {
                         return Json::array({row.agent, row.name, row.x, row.y, row.status});
                       })},
       {"sessions", Rows(reader.Sessions(),
                         [](const journal::SessionRow& row) {
                           return Json::array({row.id, row.started, row.ended, row.outcome, row.backend});
                         })},
       {"interventions", Rows(reader.Interventions(),
                              [](const journal::InterventionRow& row) {
                                return Json::array({row.asked, row.step, row.what});
                              })},
       {"steps", journal->NumSteps()},
       {"answers", journal->NumAnswers()},
       {"tokens_in_vain", Json::array({in_vain.prompt, in_vain.output})},
       {"runs", context.options.runs.size()},
       {"has_minds", static_cast<bool>(run.mind)},
       {"may_change", run.may_change},
       {"pause", PauseOf(*journal)},
       {"in_flight", InFlightOf(*journal)},
       {"questions", Rows(journal::OpenQuestions(*journal),
                          [](const journal::OpenQuestion& row) {
                            return Json::array({row.key.step, row.key.agent, row.key.call, row.text,
                                                row.choices, row.asked});
                          })},
       {"may_interview", static_cast<bool>(run.interview)},
       {"may_inject", static_cast<bool>(run.inject)}});
}

HttpReply RunMap(Context& context, const HttpRequest& request) {
  const ShownRun& run = RunOf(context, request);
  if (run.map_json.empty()) return ErrorReply(404, "server: this run has no map");
  HttpReply reply;
  reply.body = run.map_json;
  return reply;
}

HttpReply RunSteps(Context& context, const HttpRequest& request) {
  const auto [from, to] = RangeOf(request);
  const auto journal = OpenRun(context, request);
  const journal::Reader reader(*journal);
  Json json = {{"from", from}, {"to", to}};
  json["presence"] = Rows(reader.Presence(from, to), [](const journal::PresenceRow& row) {
    return Json::array({row.step, row.agent, row.present ? 1 : 0});
  });
  json["events"] = Rows(reader.Events(from, to), [](const journal::EventRow& row) {
    return Json::array({row.step, row.agent, row.kind, row.text, OrNull(row.call)});
  });
  json["cells"] = Rows(reader.Cells(from, to), [](const journal::CellRow& row) {
    return Json::array({row.step, row.x, row.y, row.value});
  });
  return JsonReply(json);
}

HttpReply RunCosts(Context& context, const HttpRequest& request) {
  const auto journal = OpenRun(context, request);
  const journal::Reader reader(*journal);
  return JsonReply(
      {{"functions", UsageRows(reader.Functions())}, {"agents", UsageRows(reader.AgentUsage())}});
}

}  // namespace throng::serve
