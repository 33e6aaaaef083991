// What a journal holds, in numbers.
#pragma once

#include <cstdint>
#include <vector>

#include "journal/reader.h"

namespace throng::journal {

struct JournalReport {
  int64_t bytes = 0;
  double bytes_per_hour = 0;  // of simulated time; 0: no step is complete, or the steps have no length
  int64_t answers = 0;
  int64_t commits = 0;
  int64_t bodies = 0;
  int64_t cells = 0;
  int64_t events = 0;
  int64_t fallbacks = 0;  // events of kind "fallback"
  sim::Step steps = 0;    // that all agents have done
  std::vector<SessionRow> sessions;
  std::vector<InterventionRow> interventions;  // as they came
  std::vector<FunctionSums> functions;         // by name
  std::vector<HourSums> hours;                 // those in which something happened
};

TokenSums TokensInVain(const Journal& journal);  // none if the manifest does not say

// How long a step is in simulated time; 0 if the manifest does not say.
int SecondsPerStep(const Journal& journal);
// Of bytes that the first `steps` steps took; 0 for steps without length.
double BytesPerHour(int64_t bytes, sim::Step steps, int seconds_per_step);

JournalReport Inspect(const Journal& journal);

}  // namespace throng::journal
