// GET /api/run, /api/steps and /api/map: a journal as JSON. It is opened anew for each request, so that a run
// in progress can be watched.

#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "journal/journal.h"
#include "journal/read/reader.h"
#include "serve/endpoints.h"
#include "serve/reply.h"

namespace throng::serve {
namespace {

int64_t StepOf(const HttpRequest& request, const std::string& name, int64_t fallback) {
  const auto found = request.query.find(name);
  if (found == request.query.end()) return fallback;
  int64_t step = 0;
  const char* const last = found->second.data() + found->second.size();
  const auto [end, error] = std::from_chars(found->second.data(), last, step);
  if (error != std::errc() || end != last || step < 0 || step > 2147483647) {
    throw MakeError(ErrorCode::kInvalid, "{}={}: allowed: a step from 0 on", name, found->second);
  }
  return step;
}

std::string Value(const journal::Manifest& manifest, const char* key) {
  const auto found = manifest.find(key);
  return found == manifest.end() ? "" : found->second;
}

// An array per row.
template <typename Row, typename ToArray>
Json Rows(const std::vector<Row>& rows, const ToArray& to_array) {
  Json json = Json::array();
  for (const Row& row : rows) json.push_back(to_array(row));
  return json;
}

HttpReply NoJournal() {
  return ErrorReply(404, "server: it was started without --journal, so there is no run");
}

}  // namespace

HttpReply RunInfo(Context& context, const HttpRequest& request) {
  if (context.options.journal.empty()) return NoJournal();
  const auto journal = journal::Journal::OpenToRead(context.options.journal);
  const journal::Manifest& manifest = journal->GetManifest();
  const journal::Reader reader(*journal);
  Json json = {{"name", Value(manifest, journal::JournalKeys::kWorld)},
               {"manifest", manifest},
               {"agents", Rows(reader.Agents(),
                               [](const journal::AgentRow& row) {
                                 return Json::array({row.agent, row.name, row.x, row.y, row.status});
                               })},
               {"steps", journal->NumSteps()},
               {"answers", journal->NumAnswers()}};
  HttpReply reply;
  reply.body = Dump(json);
  return reply;
}

HttpReply RunSteps(Context& context, const HttpRequest& request) {
  if (context.options.journal.empty()) return NoJournal();
  const int64_t from = StepOf(request, "from", 0);
  const int64_t to = StepOf(request, "to", from + kMaxStepsPerReply);
  if (to < from || to - from > kMaxStepsPerReply) {
    throw MakeError(ErrorCode::kInvalid, "from={}, to={}: allowed: 0 to {} steps at once", from, to,
                    kMaxStepsPerReply);
  }
  const auto journal = journal::Journal::OpenToRead(context.options.journal);
  const journal::Reader reader(*journal);
  Json json = {{"from", from}, {"to", to}};
  json["bodies"] = Rows(reader.Bodies(from, to), [](const journal::BodyRow& row) {
    return Json::array({row.step, row.agent, row.x, row.y, row.status});
  });
  json["presence"] = Rows(reader.Presence(from, to), [](const journal::PresenceRow& row) {
    return Json::array({row.step, row.agent, row.present ? 1 : 0});
  });
  json["events"] = Rows(reader.Events(from, to), [](const journal::EventRow& row) {
    return Json::array({row.step, row.agent, row.kind, row.text});
  });
  json["cells"] = Rows(reader.Cells(from, to), [](const journal::CellRow& row) {
    return Json::array({row.step, row.x, row.y, row.value});
  });
  HttpReply reply;
  reply.body = Dump(json);
  return reply;
}

HttpReply RunMap(Context& context, const HttpRequest& request) {
  if (context.options.map_json.empty()) return ErrorReply(404, "server: this run has no map");
  HttpReply reply;
  reply.body = context.options.map_json;
  return reply;
}

}  // namespace throng::serve
