// Sums up a journal in numbers.
#pragma once

#include <cstdint>
#include <vector>

#include "journal/read/reader.h"

namespace throng::journal {

struct JournalReport {
  int64_t bytes = 0;
  double bytes_per_hour = 0;  // per hour of simulated time; 0: no step is complete, or steps have no length
  int64_t answers = 0;
  int64_t commits = 0;
  int64_t bodies = 0;
  int64_t cells = 0;
  int64_t events = 0;
  int64_t fallbacks = 0;  // events of kind "fallback"
  sim::Step steps = 0;    // steps that all agents have finished
  std::vector<SessionRow> sessions;
  std::vector<InterventionRow> interventions;  // in the order they were asked for
  std::vector<UsageSums> functions;            // sorted by name
  std::vector<UsageSums> agents;               // those with calls, by id
  std::vector<FileRow> files;                  // sorted by name
  std::vector<std::string> servers;            // what answered, in their own words
  std::vector<HourSums> hours;                 // only hours in which something happened
};

TokenSums TokensInVain(const Journal& journal);  // 0 if the manifest does not say

// Seconds of simulated time per step; 0 if the manifest does not say.
int SecondsPerStep(const Journal& journal);
// Bytes per hour of simulated time, if the first `steps` steps took `bytes`; 0 for steps without length.
double BytesPerHour(int64_t bytes, sim::Step steps, int seconds_per_step);

JournalReport Inspect(const Journal& journal);

}  // namespace throng::journal
