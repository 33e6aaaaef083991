// Moments: steps of a journaled run as times of day, as far as its manifest tells, and now.
#pragma once

#include <string>

#include "journal/journal.h"

namespace throng::journal {

std::string NowUtc();  // "2025-01-31T12:00:00Z"
// Seconds since a time of that form; 0 if it has another form, or is to come: clocks of hosts differ.
double SecondsSince(const std::string& utc);

// "08:25"; empty if steps have no length.
std::string ClockAt(const Journal& journal, int64_t step);

// A step such as 500, or the first step at or after a time of the first day such as 09:30. Throws kInvalid.
int64_t ParseMoment(const Journal& journal, const std::string& text);

}  // namespace throng::journal
