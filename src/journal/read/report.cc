#include "journal/read/report.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace throng::journal {

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
  const Reader reader(journal);
  report.commits = reader.NumCommits();
  report.bodies = reader.NumBodies();
  report.cells = reader.NumCells();
  report.events = reader.NumEvents();
  report.fallbacks = reader.NumFallbacks();
  const int seconds = SecondsPerStep(journal);
  report.bytes_per_hour = BytesPerHour(report.bytes, report.steps, seconds);
  report.sessions = reader.Sessions();
  report.interventions = reader.Interventions();
  report.functions = reader.Functions();
  report.agents = reader.AgentUsage();
  report.files = reader.Files();
  report.servers = reader.Servers();
  if (seconds > 0) report.hours = reader.Hours(std::max(1, 3600 / seconds));
  return report;
}

}  // namespace throng::journal
