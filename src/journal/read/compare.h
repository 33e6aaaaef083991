// Compares two journals: where their runs part, and in what.
#pragma once

#include <optional>
#include <string>

#include "journal/journal.h"

namespace throng::journal {

struct Difference {
  sim::Step step = 0;            // -1: before the first step
  std::optional<int64_t> agent;  // none: an event from outside, or a cell
  std::string agent_name;
  std::string what;  // a sentence without "step" and "agent": "call 0 (act) asks something else in line 7 of
                     // its prompt"
  std::string a;     // what each journal has there; empty: nothing
  std::string b;
};

// The first difference: by step, within a step in the order events from outside, calls, events, what the step
// changed; then by agent and call. Null if they are equal in all steps that agents of both have done.
std::optional<Difference> FindDifference(const Journal& a, const Journal& b);

}  // namespace throng::journal
