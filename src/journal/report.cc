#include "journal/report.h"

#include <cstdlib>
#include <map>
#include <sstream>

namespace throng::journal {

namespace {

int64_t Count(const Journal& journal, const char* sql) {
  Statement statement(journal.GetDatabase(), sql);
  return statement.Step() ? statement.Int(0) : 0;
}

std::vector<HourReport> ReportHours(const Journal& journal, int64_t steps_per_hour) {
  std::map<int64_t, HourReport> hours;
  const auto at = [&](int64_t hour) -> HourReport& {
    HourReport& report = hours[hour];
    report.hour = hour;
    return report;
  };
  Database& database = journal.GetDatabase();
  Statement calls(database,
                  "SELECT step/?1, count(*), sum(prompt_tokens), sum(output_tokens) FROM completions "
                  "GROUP BY step/?1");
  calls.Bind(steps_per_hour);
  while (calls.Step()) {
    HourReport& hour = at(calls.Int(0));
    hour.calls = calls.Int(1);
    hour.prompt_tokens = calls.Int(2);
    hour.output_tokens = calls.Int(3);
  }
  Statement commits(database, "SELECT step/?1, count(*) FROM commits GROUP BY step/?1");
  commits.Bind(steps_per_hour);
  while (commits.Step()) at(commits.Int(0)).commits = commits.Int(1);
  Statement events(database, "SELECT step/?1, count(*) FROM events GROUP BY step/?1");
  events.Bind(steps_per_hour);
  while (events.Step()) at(events.Int(0)).events = events.Int(1);
  std::vector<HourReport> list;
  for (const auto& [hour, report] : hours) list.push_back(report);
  return list;
}

}  // namespace

TokenSums TokensOf(const Journal& journal) {
  Statement sums(journal.GetDatabase(),
                 "SELECT coalesce(sum(prompt_tokens), 0), coalesce(sum(output_tokens), 0) FROM completions");
  TokenSums used;
  while (sums.Step()) used = {static_cast<uint64_t>(sums.Int(0)), static_cast<uint64_t>(sums.Int(1))};
  return used;
}

TokenSums TokensInVain(const Journal& journal) {
  const auto found = journal.GetManifest().find(JournalKeys::kTokensInVain);
  TokenSums sums;
  if (found != journal.GetManifest().end()) {
    std::istringstream text(found->second);
    char comma = 0;
    text >> sums.prompt >> comma >> sums.output;
  }
  return sums;
}

int SecondsPerStep(const Journal& journal) {
  const auto found = journal.GetManifest().find(JournalKeys::kSecondsPerStep);
  return found == journal.GetManifest().end() ? 0 : std::atoi(found->second.c_str());
}

double BytesPerHour(int64_t bytes, sim::Step steps, int seconds_per_step) {
  const double hours = static_cast<double>(steps) * seconds_per_step / 3600;
  return hours > 0 ? static_cast<double>(bytes) / hours : 0;
}

JournalReport Inspect(const Journal& journal) {
  JournalReport report;
  report.bytes = journal.Bytes();
  report.steps = journal.NumSteps();
  report.answers = journal.NumAnswers();
  report.commits = Count(journal, "SELECT count(*) FROM commits");
  report.bodies = Count(journal, "SELECT count(*) FROM bodies");
  report.cells = Count(journal, "SELECT count(*) FROM cells");
  report.events = Count(journal, "SELECT count(*) FROM events");
  report.fallbacks = Count(journal, "SELECT count(*) FROM events WHERE kind = 'fallback'");
  const int seconds = SecondsPerStep(journal);
  report.bytes_per_hour = BytesPerHour(report.bytes, report.steps, seconds);
  Statement sessions(journal.GetDatabase(), "SELECT id, started, ended, outcome FROM sessions ORDER BY id");
  while (sessions.Step()) {
    report.sessions.push_back({sessions.Int(0), sessions.Text(1), sessions.Text(2), sessions.Text(3)});
  }
  Statement interventions(journal.GetDatabase(),
                          "SELECT asked, coalesce(step, -1), what FROM interventions ORDER BY id");
  while (interventions.Step()) {
    report.interventions.push_back({interventions.Int(0), interventions.Int(1), interventions.Text(2)});
  }
  Statement functions(journal.GetDatabase(),
                      "SELECT function, count(*), sum(finish = 2), sum(prompt_tokens), sum(output_tokens), "
                      "avg(arrived_s - issued_s) FROM completions GROUP BY function ORDER BY function");
  while (functions.Step()) {
    report.functions.push_back({functions.Text(0), functions.Int(1), functions.Int(2), functions.Int(3),
                                functions.Int(4), functions.Double(5)});
  }
  if (seconds > 0) report.hours = ReportHours(journal, std::max(1, 3600 / seconds));
  return report;
}

}  // namespace throng::journal
