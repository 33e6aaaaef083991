// Where agents are, in few bytes: what a thousand agents do in a day is a million changes.
//
// The form, of unsigned LEB128 numbers (u) and zigzag ones (s), with texts as their size in bytes (u) and
// UTF-8:
//   u from, u to                      the steps, without `to`
//   u number of statuses, then texts  each once, in the order of their first use
//   for each step with changes: u its distance from the step before (the first: from `from`), u number of
//   changes (1 or
//     more), and for each, by agent:
//     u  the agent's distance from the one before it, less 1; the first: its id
//     s s  x and y, less those of the agent's last change in this reply; its first: less 0
//     u  the status, by its number
#pragma once

#include <string>
#include <vector>

#include "journal/read/reader.h"

namespace throng::serve {

// bodies: of steps from `from` to `to`, sorted by step and agent, as the journal has them.
std::string PackPositions(int64_t from, int64_t to, const std::vector<journal::BodyRow>& bodies);

}  // namespace throng::serve
