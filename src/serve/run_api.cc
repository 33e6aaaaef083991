// GET /api/run, /api/steps and /api/map: a journal as JSON. It is opened anew for each request, so that a run
// that goes on can be watched.

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "journal/journal.h"
#include "serve/endpoints.h"
#include "serve/reply.h"

namespace throng::serve {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

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

// A row per array; columns of type 't' are texts, the others integers.
Json Rows(journal::Database& database, const char* sql, std::string_view columns, int64_t from, int64_t to) {
  Json rows = Json::array();
  journal::Statement statement(database, sql);
  statement.Bind(from).Bind(to);
  while (statement.Step()) {
    Json row = Json::array();
    for (int i = 0; i < static_cast<int>(columns.size()); ++i) {
      if (columns[static_cast<size_t>(i)] == 't') {
        row.push_back(statement.Text(i));
      } else {
        row.push_back(statement.Int(i));
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

HttpReply NoJournal() {
  return ErrorReply(404, "server: it was started without --journal, so there is no run");
}

}  // namespace

HttpReply RunInfo(Context& context, const HttpRequest& request) {
  if (context.options.journal.empty()) return NoJournal();
  const auto journal = journal::Journal::OpenToRead(context.options.journal);
  const journal::Manifest& manifest = journal->GetManifest();
  Json json = {{"name", Value(manifest, journal::JournalKeys::kWorld)},
               {"manifest", manifest},
               {"agents", Rows(journal->GetDatabase(),
                               "SELECT agent, name, x, y, status FROM agents WHERE agent >= ? AND agent < ? "
                               "ORDER BY agent",
                               "itiit", 0, int64_t{1} << 40)},
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
  journal::Database& database = journal->GetDatabase();
  Json json = {
      {"from", from},
      {"to", to},
      {"bodies", Rows(database,
                      "SELECT step, agent, x, y, status FROM bodies WHERE step >= ? AND step < ? ORDER BY "
                      "step, agent",
                      "iiiit", from, to)},
      {"presence",
       Rows(database,
            "SELECT step, agent, present FROM presence WHERE step >= ? AND step < ? ORDER BY step, agent",
            "iii", from, to)},
      {"events", Rows(database,
                      "SELECT step, agent, kind, text FROM events WHERE step >= ? AND step < ? ORDER BY "
                      "step, agent, seq",
                      "iitt", from, to)},
      {"cells",
       Rows(database, "SELECT step, x, y, value FROM cells WHERE step >= ? AND step < ? ORDER BY step, x, y",
            "iiit", from, to)}};
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
