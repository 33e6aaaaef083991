#include "journal/read/reader.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "journal/store/database.h"

namespace throng::journal {

namespace {

// Returns the rows of a query whose two parameters are a range of steps.
template <typename Row, typename MakeRow>
std::vector<Row> RowsBetween(Database& database, const char* sql, int64_t from, int64_t to,
                             const MakeRow& make_row) {
  std::vector<Row> rows;
  Statement statement(database, sql);
  statement.Bind(from).Bind(to);
  while (statement.Step()) rows.push_back(make_row(statement));
  return rows;
}

}  // namespace

std::vector<AgentRow> Reader::Agents() const {
  std::vector<AgentRow> rows;
  Statement row(journal_.GetDatabase(), "SELECT agent, name, x, y, status FROM starts ORDER BY agent");
  while (row.Step()) rows.push_back({row.Int(0), row.Text(1), row.Int(2), row.Int(3), row.Text(4)});
  return rows;
}

std::vector<BodyRow> Reader::Bodies(int64_t from, int64_t to) const {
  return RowsBetween<BodyRow>(
      journal_.GetDatabase(),
      "SELECT step, agent, x, y, status FROM bodies WHERE step >= ? AND step < ? ORDER BY step, agent", from,
      to, [](const Statement& row) {
        return BodyRow{row.Int(0), row.Int(1), row.Int(2), row.Int(3), row.Text(4)};
      });
}

std::vector<PresenceRow> Reader::Presence(int64_t from, int64_t to) const {
  return RowsBetween<PresenceRow>(
      journal_.GetDatabase(),
      "SELECT step, agent, present FROM presence WHERE step >= ? AND step < ? ORDER BY step, agent", from, to,
      [](const Statement& row) {
        return PresenceRow{row.Int(0), row.Int(1), row.Int(2) != 0};
      });
}

std::vector<EventRow> Reader::Events(int64_t from, int64_t to) const {
  return RowsBetween<EventRow>(journal_.GetDatabase(),
                               "SELECT step, agent, kind, text, call FROM chronicle WHERE step >= ? AND step "
                               "< ? ORDER BY step, agent, "
                               "seq",
                               from, to, [](const Statement& row) {
                                 EventRow event{row.Int(0), row.Int(1), row.Text(2), row.Text(3), {}};
                                 if (!row.IsNull(4)) event.call = row.Int(4);
                                 return event;
                               });
}

std::vector<CellRow> Reader::Cells(int64_t from, int64_t to) const {
  return RowsBetween<CellRow>(
      journal_.GetDatabase(),
      "SELECT step, x, y, value FROM cells WHERE step >= ? AND step < ? ORDER BY step, x, y", from, to,
      [](const Statement& row) {
        return CellRow{row.Int(0), row.Int(1), row.Int(2), row.Text(3)};
      });
}

std::vector<SessionRow> Reader::Sessions() const {
  std::vector<SessionRow> rows;
  Statement row(journal_.GetDatabase(),
                "SELECT id, started, ended, outcome, program, machine, backend, first_step, parameters "
                "FROM sessions ORDER BY id");
  while (row.Step()) {
    rows.push_back({row.Int(0), row.Text(1), row.Text(2), row.Text(3), row.Text(4), row.Text(5), row.Text(6),
                    row.Int(7), row.Text(8)});
  }
  return rows;
}

std::optional<PauseRow> Reader::OpenPause() const {
  std::optional<PauseRow> pause;
  Statement row(journal_.GetDatabase(), "SELECT asked, begun FROM pauses WHERE ended = ''");
  while (row.Step()) pause = {row.Text(0), row.Text(1)};
  return pause;
}

std::vector<InterventionRow> Reader::Interventions() const {
  std::vector<InterventionRow> rows;
  Statement row(journal_.GetDatabase(),
                "SELECT asked, coalesce(step, -1), what FROM interventions ORDER BY id");
  while (row.Step()) rows.push_back({row.Int(0), row.Int(1), row.Text(2)});
  return rows;
}

std::vector<UsageSums> Reader::Functions() const {
  return Usage(
      "SELECT function, calls, failed, prompt_tokens, output_tokens, cost, mean_s FROM function_usage "
      "ORDER BY function");
}

std::vector<UsageSums> Reader::AgentUsage() const {
  return Usage(
      "SELECT name, calls, failed, prompt_tokens, output_tokens, cost, mean_s FROM agent_usage "
      "WHERE calls > 0 ORDER BY agent");
}

std::vector<UsageSums> Reader::Usage(const char* sql) const {
  std::vector<UsageSums> rows;
  Statement row(journal_.GetDatabase(), sql);
  while (row.Step()) {
    UsageSums sums{row.Text(0), row.Int(1), row.Int(2), row.Int(3), row.Int(4), {}, row.Double(6)};
    if (!row.IsNull(5)) sums.cost = row.Double(5);
    rows.push_back(std::move(sums));
  }
  return rows;
}

std::vector<std::string> Reader::Servers() const {
  std::vector<std::string> names;
  Statement row(journal_.GetDatabase(), "SELECT name FROM servers ORDER BY id");
  while (row.Step()) names.push_back(row.Text(0));
  return names;
}

std::vector<FileRow> Reader::Files() const {
  std::vector<FileRow> rows;
  Statement row(journal_.GetDatabase(),
                "SELECT name, bytes, digest, content IS NOT NULL FROM files ORDER BY name");
  while (row.Step()) rows.push_back({row.Text(0), row.Int(1), row.GetDigest(2).Hex(), row.Int(3) != 0});
  return rows;
}

std::vector<HourSums> Reader::Hours(int64_t steps_per_hour) const {
  std::map<int64_t, HourSums> hours;
  const auto at = [&](int64_t hour) -> HourSums& {
    HourSums& sums = hours[hour];
    sums.hour = hour;
    return sums;
  };
  Database& database = journal_.GetDatabase();
  Statement calls(database,
                  "SELECT step/?1, count(*), sum(prompt_tokens), sum(output_tokens) FROM answers "
                  "GROUP BY 1");
  calls.Bind(steps_per_hour);
  while (calls.Step()) {
    HourSums& hour = at(calls.Int(0));
    hour.calls = calls.Int(1);
    hour.prompt_tokens = calls.Int(2);
    hour.output_tokens = calls.Int(3);
  }
  Statement commits(database, "SELECT step/?1, count(*) FROM commits GROUP BY 1");
  commits.Bind(steps_per_hour);
  while (commits.Step()) at(commits.Int(0)).commits = commits.Int(1);
  Statement events(database, "SELECT step/?1, count(*) FROM chronicle GROUP BY 1");
  events.Bind(steps_per_hour);
  while (events.Step()) at(events.Int(0)).events = events.Int(1);
  std::vector<HourSums> list;
  for (const auto& [hour, sums] : hours) list.push_back(sums);
  return list;
}

TokenSums Reader::Tokens() const {
  Statement sums(journal_.GetDatabase(),
                 "SELECT coalesce(sum(prompt_tokens + spent_prompt_tokens), 0), "
                 "coalesce(sum(output_tokens + spent_output_tokens), 0) FROM answers");
  TokenSums used;
  while (sums.Step()) used = {static_cast<uint64_t>(sums.Int(0)), static_cast<uint64_t>(sums.Int(1))};
  return used;
}

std::optional<size_t> Reader::EmbeddingLength() const {
  Statement row(journal_.GetDatabase(),
                "SELECT result FROM effects WHERE kind = 'embedding' AND outcome = 'done' AND result <> '[]' "
                "LIMIT 1");
  std::optional<size_t> length;
  while (row.Step()) length = nlohmann::json::parse(row.Text(0)).at(0).size();
  return length;
}

int64_t Reader::NumCommits() const { return Count("SELECT count(*) FROM commits"); }
int64_t Reader::NumBodies() const { return Count("SELECT count(*) FROM bodies"); }
int64_t Reader::NumCells() const { return Count("SELECT count(*) FROM cells"); }
int64_t Reader::NumEvents() const { return Count("SELECT count(*) FROM chronicle"); }
int64_t Reader::NumFallbacks() const {
  return Count("SELECT count(*) FROM chronicle WHERE kind = 'fallback'");
}

int64_t Reader::Count(const char* sql) const {
  Statement statement(journal_.GetDatabase(), sql);
  return statement.Step() ? statement.Int(0) : 0;
}

}  // namespace throng::journal
