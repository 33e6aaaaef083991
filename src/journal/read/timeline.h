// When the calls of a run were made, and which agents were one cluster: what shows who ran ahead, and why.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "journal/journal.h"

namespace throng::journal {

struct CallTimes {
  int64_t step;
  int64_t agent;
  int64_t call;  // number within agent and step
  std::string function;
  std::string finish;     // stop, length, failed
  int64_t prompt_tokens;  // with those of answers that were not taken, as are output tokens
  int64_t cached_tokens;
  int64_t output_tokens;
  std::optional<double> cost;  // if the run has a price
  double issued_s;             // on the backend's clock, which begins anew with each session
  double arrived_s;            // equal to issued_s: a guess had asked it ahead, and was right
  int64_t session;             // 0: unknown
};

// By step, agent and call; steps `from` to `to`, which is excluded. Calls of agents that are ahead of the
// others count as well.
std::vector<CallTimes> CallsBetween(const Journal& journal, int64_t from, int64_t to);

struct GuessTimes {  // of a call that a guess asked ahead
  int64_t step;
  int64_t agent;
  int64_t call;
  std::string function;
  double issued_s;   // on the clock of CallTimes
  double arrived_s;  // of a call that was not used: at the latest when it was given up
  int64_t session;
  bool used;
};
// By step, agent and call. Journals of earlier programs have none.
std::vector<GuessTimes> GuessesBetween(const Journal& journal, int64_t from, int64_t to);

struct ProgressRow {
  int64_t session;
  double s;           // on the clock of CallTimes
  std::string steps;  // JSON: [agent, steps that it has done, ...]
};
// At most `count` of those after the first `from`, in the order of time. Journals of earlier programs have
// none.
std::vector<ProgressRow> ProgressFrom(const Journal& journal, int64_t from, int64_t count);

struct InFlightRow {  // what the session that goes on waits for
  int64_t session;
  double s;      // on the clock of CallTimes: when it told so
  double age_s;  // seconds since then: more than a few, and the program hangs or was killed
  // JSON: [step, agent, call, function, issued s, arrived s or null, 0 or 1: a guess, 1: queued in the run's
  // process, 0: somebody has it, null: not known; the server that has it or null], ...
  std::string calls;
};
// Nothing: no session goes on, none has told, or an earlier program runs it.
std::optional<InFlightRow> CallsInFlight(const Journal& journal);

// The members of each cluster of two or more that did this step together.
std::vector<std::vector<int64_t>> ClustersAt(const Journal& journal, int64_t step);

}  // namespace throng::journal
