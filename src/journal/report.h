// What a journal holds, in numbers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "journal/journal.h"

namespace throng::journal {

struct SessionReport {
  int64_t id;
  std::string started;  // UTC
  std::string ended;    // empty: it runs, or was killed
  std::string outcome;
};

struct FunctionReport {  // calls of one kind
  std::string function;
  int64_t calls;
  int64_t failed;  // agents fell back
  int64_t prompt_tokens;
  int64_t output_tokens;
  double mean_s;  // from issue to arrival, on the backend's clock
};

struct InterventionReport {
  int64_t asked;  // for this step or later
  int64_t step;   // -1: not decided yet
  std::string what;
};

struct HourReport {  // an hour of simulated time
  int64_t hour;      // since step 0
  int64_t calls;
  int64_t prompt_tokens;
  int64_t output_tokens;
  int64_t commits;
  int64_t events;
};

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
  std::vector<SessionReport> sessions;
  std::vector<InterventionReport> interventions;  // as they came
  std::vector<FunctionReport> functions;          // by name
  std::vector<HourReport> hours;                  // those in which something happened
};

struct TokenSums {  // of all answers
  uint64_t prompt = 0;
  uint64_t output = 0;
};
TokenSums TokensOf(const Journal& journal);
TokenSums TokensInVain(const Journal& journal);  // none if the manifest does not say

// How long a step is in simulated time; 0 if the manifest does not say.
int SecondsPerStep(const Journal& journal);
// Of bytes that the first `steps` steps took; 0 for steps without length.
double BytesPerHour(int64_t bytes, sim::Step steps, int seconds_per_step);

JournalReport Inspect(const Journal& journal);

}  // namespace throng::journal
